//! AlpacaEval annotations.json.

use super::{Format, ReadReport, Sink};
use crate::{LogError, Source};

pub(super) const FORMAT: Format =
    Format { name: "alpaca-eval", version: 1, needs: "AlpacaEval annotations.json", sniff, read };

fn sniff(_source: &Source) -> bool {
    false
}

fn read(_source: &Source, _sink: &mut dyn Sink) -> Result<ReadReport, LogError> {
    Ok(ReadReport::default())
}
