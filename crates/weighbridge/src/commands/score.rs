//! `weighbridge score`: the answers of a log, scored again without asking a model.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use weighbridge_core::{LogLine, Rescore, RunHeader, SampleRecord};
use weighbridge_logs::{LogError, LogWriter, Sink, Source};
use weighbridge_run::{Scorer, Scoring};

use crate::Answer;
use crate::cli::{Format, ScoreArgs};
use crate::render::{Screen, count, json};
use crate::run_summary::Summary;

/// Runs the command.
///
/// # Errors
/// The log cannot be read or does not say how it is scored, or new scores cannot be written.
pub fn run(args: &ScoreArgs, screen: Screen) -> anyhow::Result<Answer> {
    let mut again =
        Again { args, scorers: Vec::new(), summary: Summary::default(), new: Vec::new(), moved: 0, samples: 0 };
    weighbridge_logs::read(&Source::open(&args.log)?, &mut again).map_err(plain)?;
    let Again { summary, new, moved, samples, .. } = again;
    if args.write && !new.is_empty() {
        write(&args.log, new)?;
    }
    let text = match args.format {
        Format::Json => json(&summary.lines())?,
        format => summary.table().render(format, &screen)?,
    };
    let note = format!("{} scored, {moved} other than in the log", count(samples, "sample"));
    Ok(Answer { note: Some(note), ..Answer::plain(text) })
}

/// The cause of a stop of our own.
fn plain(error: LogError) -> anyhow::Error {
    match error {
        LogError::Sink(cause) => anyhow!(cause),
        error => error.into(),
    }
}

struct Again<'a> {
    args: &'a ScoreArgs,
    /// By task of the header.
    scorers: Vec<(String, Scorer)>,
    summary: Summary,
    /// Scores that differ, where they are to be written.
    new: Vec<Rescore>,
    moved: usize,
    samples: usize,
}

impl Sink for Again<'_> {
    fn begin(&mut self, header: RunHeader) -> Result<(), LogError> {
        self.scorers = scorers(&header, self.args).map_err(|error| LogError::Sink(error.into()))?;
        self.summary.begin(header)
    }

    fn line(&mut self, line: LogLine) -> Result<(), LogError> {
        let LogLine::Sample(mut sample) = line else { return self.summary.line(line) };
        let Some((_, scorer)) = self.scorers.iter().find(|(task, _)| *task == sample.key.task) else {
            let problem = format!("a sample of the task '{}', which the header does not name", sample.key.task);
            return Err(LogError::Sink(problem.into()));
        };
        self.samples += 1;
        let (state, scores) = scorer.score(&unscored(&sample));
        if (state, &scores) != (sample.state, &sample.scores) {
            self.moved += 1;
            if self.args.write {
                self.new.push(Rescore { key: sample.key.clone(), state, scores: scores.clone() });
            }
        }
        (sample.state, sample.scores) = (state, scores);
        self.summary.add(&sample);
        Ok(())
    }
}

/// A record as it was before it was scored: its state says what became of the calls alone.
fn unscored(sample: &SampleRecord) -> SampleRecord {
    use weighbridge_core::{CallState, SampleState};
    let of_finish =
        sample.answers.iter().filter_map(|answer| answer.finish).find_map(|f| CallState::of_finish(f).sample_state());
    let state = match sample.state {
        SampleState::ProviderError | SampleState::Refused => sample.state,
        _ => of_finish.unwrap_or(SampleState::Missing),
    };
    SampleRecord { state, scores: Vec::new(), ..sample.clone() }
}

fn scorers(header: &RunHeader, args: &ScoreArgs) -> anyhow::Result<Vec<(String, Scorer)>> {
    let of = |task: &weighbridge_core::TaskFacts| {
        let scoring = if args.scorer.is_empty() {
            let Some(stated) = &task.scoring else {
                bail!("the log does not say how '{}' is scored; name a scorer with --scorer", task.name);
            };
            serde_json::from_value(stated.clone()).with_context(|| {
                format!("the scoring of '{}' is not understood; name a scorer with --scorer", task.name)
            })?
        } else {
            Scoring::Scorers(args.scorer.clone())
        };
        let scorer = Scorer::new(&scoring).map_err(|problem| anyhow!("task '{}': {problem}", task.name))?;
        Ok((task.name.clone(), scorer))
    };
    header.tasks.iter().map(of).collect()
}

fn write(log: &Path, new: Vec<Rescore>) -> anyhow::Result<()> {
    let mut writer = LogWriter::resume(log, &mut |_| Ok(()))?;
    for rescore in new {
        writer.write(&LogLine::Rescore(Box::new(rescore)))?;
    }
    Ok(writer.finish()?)
}
