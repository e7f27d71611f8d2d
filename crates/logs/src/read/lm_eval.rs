//! lm-evaluation-harness results and samples.

use super::{Format, ReadReport, Sink};
use crate::{LogError, Source};

pub(super) const FORMAT: Format =
    Format { name: "lm-eval", version: 1, needs: "lm-evaluation-harness results and samples", sniff, read };

fn sniff(_source: &Source) -> bool {
    false
}

fn read(_source: &Source, _sink: &mut dyn Sink) -> Result<ReadReport, LogError> {
    Ok(ReadReport::default())
}
