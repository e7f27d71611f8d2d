//! Where a model runs: on the processor with the kernels of this crate, or on a graphics processor through the tensor
//! library, where the build has it.

#[cfg(feature = "tensors")]
mod parts;
#[cfg(feature = "tensors")]
mod plan;
#[cfg(feature = "tensors")]
mod tensors;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::error::EngineError;
use crate::files::Checkpoint;
use crate::forward::Forward;
use crate::load;

#[cfg(feature = "tensors")]
pub(crate) use parts::Held;

/// Where a model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// A graphics processor of NVIDIA, by its number from 0. Needs the feature `cuda`.
    Cuda(usize),
    /// The graphics processor of an Apple computer. Needs the feature `metal`.
    Metal,
    /// The processor, through the same code as a graphics processor: to check that. Needs the feature `tensors`, which
    /// each of the other two has.
    Tensors,
}

/// A name that is no device.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("'{0}' is no device; expected cpu, cuda, cuda:N or metal")]
pub struct UnknownDevice(String);

impl FromStr for Device {
    type Err = UnknownDevice;

    fn from_str(name: &str) -> Result<Self, UnknownDevice> {
        match name {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            "tensors" => Ok(Self::Tensors),
            _ => {
                let number = name.strip_prefix("cuda:").and_then(|number| number.parse().ok());
                number.map(Self::Cuda).ok_or_else(|| UnknownDevice(name.to_owned()))
            }
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal => f.write_str("metal"),
            Self::Tensors => f.write_str("tensors"),
        }
    }
}

impl Device {
    /// Loads a checkpoint to run here.
    ///
    /// # Errors
    /// This build does not have the device or the machine does not, or the checkpoint does not load.
    pub fn load(self, checkpoint: Arc<Checkpoint>) -> Result<Box<dyn Forward>, EngineError> {
        let feature = match self {
            Self::Cpu => return Ok(Box::new(load::decoder(checkpoint)?)),
            Self::Cuda(_) => "cuda",
            Self::Metal => "metal",
            Self::Tensors => "tensors",
        };
        #[cfg(feature = "tensors")]
        if let Some(device) = tensors::open(self)? {
            return Ok(Box::new(tensors::Tensors::load(checkpoint, device)?));
        }
        Err(EngineError::NotBuilt { device: self, feature })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices() {
        for (name, device) in
            [("cpu", Device::Cpu), ("cuda:0", Device::Cuda(0)), ("cuda:3", Device::Cuda(3)), ("metal", Device::Metal)]
        {
            assert_eq!(name.parse(), Ok(device));
            assert_eq!(device.to_string(), name);
        }
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        for name in ["", "gpu", "cuda:", "cuda:-1", "cuda:1:2", "CPU"] {
            assert_eq!(name.parse::<Device>(), Err(UnknownDevice(name.to_owned())));
        }
    }
}
