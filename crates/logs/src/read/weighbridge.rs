//! Our own run logs, settled: each sample once, as it ended last, with the scores that it was given last.
//!
//! A run that went on after a break may hold a sample twice (it failed, and was asked again), and a re-score adds scores
//! behind it. The file is read twice: once for which line of a sample counts, once for the lines.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use serde::Deserialize;
use weighbridge_core::{LogLine, Rescore, SampleKey};

use super::{Format, ReadReport, Sink};
use crate::file::{Entry, LogReader};
use crate::{LogError, Source};

pub(super) const FORMAT: Format =
    Format { name: "weighbridge", version: 1, needs: "a run log of `weighbridge run`", sniff, read };

fn sniff(source: &Source) -> bool {
    source.head().starts_with(b"{\"run\":{\"weighbridge_run\"")
}

/// What of a sample counts.
struct Last {
    line: u64,
    scores: Option<Box<Rescore>>,
}

/// A line, as far as it is looked at in the first pass.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Glance {
    Sample(SampleKey),
    Rescore(Box<Rescore>),
    #[serde(untagged)]
    Other(serde::de::IgnoredAny),
}

fn read(source: &Source, sink: &mut dyn Sink) -> Result<ReadReport, LogError> {
    let mut last = last_of_each(source)?;
    let mut reader = LogReader::open(source.path())?;
    let mut notes = Vec::new();
    loop {
        match reader.next_entry()? {
            Entry::Line(line) => match *line {
                LogLine::Run(header) => sink.begin(*header)?,
                LogLine::Sample(mut sample) => {
                    let Slot::Occupied(slot) = last.entry(digest(&sample.key)) else { continue };
                    if slot.get().line != reader.lines() {
                        continue;
                    }
                    if let Some(scores) = slot.remove().scores {
                        (sample.state, sample.scores) = (scores.state, scores.scores);
                    }
                    sink.line(LogLine::Sample(sample))?;
                }
                LogLine::Rescore(_) => {}
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

/// For each sample the line that counts. A key is kept as 128 bits of its hash: memory grows by 40 bytes a sample.
fn last_of_each(source: &Source) -> Result<HashMap<u128, Last>, LogError> {
    let mut last = HashMap::new();
    let mut reader = LogReader::open(source.path())?;
    while let Ok(text) = reader.next_text()? {
        let glance = serde_json::from_slice(text);
        let line = reader.lines();
        match glance {
            Ok(Glance::Sample(key)) => {
                last.insert(digest(&key), Last { line, scores: None });
            }
            Ok(Glance::Rescore(rescore)) => {
                if let Some(known) = last.get_mut(&digest(&rescore.key)) {
                    known.scores = Some(rescore);
                }
            }
            // What is wrong with a line is said in the second pass.
            Ok(Glance::Other(_)) | Err(_) => {}
        }
    }
    Ok(last)
}

fn digest(key: &SampleKey) -> u128 {
    let mut hasher = blake3::Hasher::new();
    for part in [&key.task, &key.model, &key.sample] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.update(&key.epoch.to_le_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_le_bytes(bytes)
}
