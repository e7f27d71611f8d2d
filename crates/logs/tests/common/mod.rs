//! Reads a source into memory, for tests.

use std::path::Path;

use weighbridge_core::{LogLine, ResultRecord, RunHeader, SampleRecord, SampleState};
use weighbridge_logs::{LogError, ReadReport, Sink, Source, read};

/// A run as it was read.
pub struct Run {
    pub header: RunHeader,
    pub samples: Vec<SampleRecord>,
    pub results: Vec<ResultRecord>,
}

#[derive(Default)]
struct Runs(Vec<Run>);

impl Sink for Runs {
    fn begin(&mut self, header: RunHeader) -> Result<(), LogError> {
        self.0.push(Run { header, samples: Vec::new(), results: Vec::new() });
        Ok(())
    }

    fn line(&mut self, line: LogLine) -> Result<(), LogError> {
        let run = self.0.last_mut().unwrap();
        match line {
            LogLine::Sample(sample) => run.samples.push(*sample),
            LogLine::Result(result) => run.results.push(*result),
            other => panic!("{other:?}"),
        }
        Ok(())
    }
}

pub fn runs(path: &Path) -> (Vec<Run>, ReadReport) {
    try_runs(path).unwrap_or_else(|error| panic!("{error}"))
}

pub fn try_runs(path: &Path) -> Result<(Vec<Run>, ReadReport), LogError> {
    let mut runs = Runs::default();
    let report = read(&Source::open(path)?, &mut runs)?;
    for run in &runs.0 {
        for sample in &run.samples {
            assert!(run.header.tasks.iter().any(|task| task.name == sample.key.task), "{}", sample.key.task);
            assert!(run.header.models.iter().any(|model| model.name == sample.key.model), "{}", sample.key.model);
            for score in &sample.scores {
                assert!(score.value.is_none() || score.state == SampleState::Scored, "{score:?}");
            }
        }
    }
    Ok((runs.0, report))
}

impl Run {
    /// The sum of a score over samples.
    pub fn sum(&self, score: &str) -> f64 {
        self.samples.iter().flat_map(|s| &s.scores).filter(|s| s.name == score).filter_map(|s| s.value).sum()
    }

    /// Samples in a state.
    pub fn count(&self, state: SampleState) -> usize {
        self.samples.iter().filter(|sample| sample.state == state).count()
    }
}
