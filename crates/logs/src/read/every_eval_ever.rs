//! Every Eval Ever aggregate or instance file.

use super::{Format, ReadReport, Sink};
use crate::{LogError, Source};

pub(super) const FORMAT: Format =
    Format { name: "every-eval-ever", version: 1, needs: "Every Eval Ever aggregate or instance file", sniff, read };

fn sniff(_source: &Source) -> bool {
    false
}

fn read(_source: &Source, _sink: &mut dyn Sink) -> Result<ReadReport, LogError> {
    Ok(ReadReport::default())
}
