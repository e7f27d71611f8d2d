//! Our own run logs.

use weighbridge_core::LogLine;

use super::{Format, ReadReport, Sink};
use crate::file::{Entry, LogReader};
use crate::{LogError, Source};

pub(super) const FORMAT: Format =
    Format { name: "weighbridge", version: 1, needs: "a run log of `weighbridge run`", sniff, read };

fn sniff(source: &Source) -> bool {
    source.head().starts_with(b"{\"run\":{\"weighbridge_run\"")
}

fn read(source: &Source, sink: &mut dyn Sink) -> Result<ReadReport, LogError> {
    let mut reader = LogReader::open(source.path())?;
    let mut notes = Vec::new();
    loop {
        match reader.next_entry()? {
            Entry::Line(line) => match *line {
                LogLine::Run(header) => sink.begin(*header)?,
                line => sink.line(line)?,
            },
            Entry::End => break,
            Entry::CutOff => {
                notes.push("the log ends in the middle of a line: the run goes on, or was killed".to_owned());
                break;
            }
        }
    }
    Ok(ReadReport { notes, ..ReadReport::default() })
}
