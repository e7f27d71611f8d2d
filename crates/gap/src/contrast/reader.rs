//! Reads a run sample by sample: epochs averaged, repeated rows dropped, states counted, in constant memory.

use weighbridge_core::{SampleState, SampleStream, SampleView, StateCounts, StreamError};
use weighbridge_stats::mean::MeanAccumulator;

use super::RunFacts;
use crate::caveat::Caveat;

/// One row of a stream, kept so that the next one can be looked at.
#[derive(Default)]
struct Row {
    sample: String,
    epoch: u32,
    group: Option<String>,
    state: Option<SampleState>,
    score: Option<f64>,
    output_chars: Option<u64>,
    cost_usd: Option<f64>,
}

impl Row {
    /// Copies a view into the row, reusing its memory.
    fn take(&mut self, view: SampleView<'_>) {
        self.sample.clear();
        self.sample.push_str(view.sample);
        match (view.group, &mut self.group) {
            (Some(group), Some(kept)) => {
                kept.clear();
                kept.push_str(group);
            }
            (group, kept) => *kept = group.map(str::to_owned),
        }
        self.epoch = view.epoch;
        self.state = Some(view.state);
        self.score = view.score;
        self.output_chars = view.output_chars;
        self.cost_usd = view.cost_usd;
    }
}

/// Groups the rows of a stream by sample.
pub(super) struct Reader<'s> {
    stream: &'s mut dyn SampleStream,
    /// The row that begins the next sample; its `state` is `None` at the end of the stream.
    next: Row,
    started: bool,
    current: Row,
    /// Scores of the current sample's epochs.
    scored: MeanAccumulator,
    /// What has been read so far.
    pub(super) tally: Tally,
}

/// What a run holds, counted while it is read.
#[derive(Default)]
pub(super) struct Tally {
    /// Rows by state.
    pub(super) states: StateCounts,
    /// Samples.
    pub(super) samples: u64,
    /// Samples with at least one score.
    scored_samples: u64,
    /// Sum of their means.
    sum: f64,
    length: Length,
    /// Dollars of the rows that state a cost, and how many do not.
    cost_usd: f64,
    without_cost: u64,
    /// Rows that repeat a sample and epoch.
    pub(super) dropped: u64,
    /// Of these, rows with another score.
    pub(super) conflicts: u64,
}

/// Whether all answers so far have one length.
#[derive(Default)]
enum Length {
    #[default]
    Unseen,
    Same(u64),
    Varies,
}

impl<'s> Reader<'s> {
    pub(super) fn new(stream: &'s mut dyn SampleStream) -> Self {
        Self {
            stream,
            next: Row::default(),
            started: false,
            current: Row::default(),
            scored: MeanAccumulator::default(),
            tally: Tally::default(),
        }
    }

    /// The sample that the reader stands on; `None` at the end.
    pub(super) fn sample(&self) -> Option<&str> {
        self.current.state.map(|_| self.current.sample.as_str())
    }

    /// Mean score of the sample over its scored epochs.
    pub(super) fn score(&self) -> Option<f64> {
        self.current.state?;
        self.scored.mean().ok()
    }

    pub(super) fn group(&self) -> Option<&str> {
        self.current.group.as_deref()
    }

    /// Moves to the next sample, reading all its epochs.
    pub(super) fn advance(&mut self) -> Result<(), StreamError> {
        if !self.started {
            self.started = true;
            self.pull()?;
        }
        std::mem::swap(&mut self.current, &mut self.next);
        self.scored = MeanAccumulator::default();
        if self.current.state.is_none() {
            return Ok(());
        }
        self.tally.samples += 1;
        self.count_current();
        loop {
            self.pull()?;
            if self.next.state.is_none() || self.next.sample != self.current.sample {
                break;
            }
            if self.next.epoch == self.current.epoch {
                self.tally.dropped += 1;
                self.tally.conflicts += u64::from(self.next.score != self.current.score);
                continue;
            }
            (self.current.epoch, self.current.state, self.current.score) =
                (self.next.epoch, self.next.state, self.next.score);
            (self.current.output_chars, self.current.cost_usd) = (self.next.output_chars, self.next.cost_usd);
            self.count_current();
        }
        if let Ok(mean) = self.scored.mean() {
            self.tally.scored_samples += 1;
            self.tally.sum += mean;
        }
        Ok(())
    }

    /// Reads one row into `next`.
    fn pull(&mut self) -> Result<(), StreamError> {
        match self.stream.next_sample()? {
            Some(view) => self.next.take(view),
            None => self.next.state = None,
        }
        Ok(())
    }

    fn count_current(&mut self) {
        let Some(state) = self.current.state else { return };
        self.tally.states.add(state, 1);
        if let (SampleState::Scored, Some(score)) = (state, self.current.score) {
            self.scored.push(score);
        }
        match self.current.cost_usd {
            Some(cost) => self.tally.cost_usd += cost,
            None => self.tally.without_cost += 1,
        }
        self.tally.length = match (&self.tally.length, self.current.output_chars) {
            (Length::Unseen, Some(chars)) => Length::Same(chars),
            (Length::Same(seen), Some(chars)) if *seen == chars => Length::Same(chars),
            _ => Length::Varies,
        };
    }
}

impl Tally {
    /// True where the length of every answer is known and the same.
    pub(super) fn constant_length(&self) -> bool {
        matches!(self.length, Length::Same(_))
    }

    /// Dollars of the whole run; `None` unless every row states its cost.
    pub(super) fn cost(&self) -> Option<f64> {
        (self.without_cost == 0 && self.samples > 0).then_some(self.cost_usd)
    }

    /// Records without a score among samples that have one in another epoch.
    pub(super) fn unscored_repeats(&self, facts: &RunFacts) -> Option<Caveat> {
        let repeated = self.states.total() > self.samples;
        let (unscored, records) = (self.states.unscored(), self.states.total());
        (repeated && unscored > 0).then(|| Caveat::UnscoredRepeats { model: facts.model.clone(), unscored, records })
    }

    /// Samples of the dataset that have no score, with what the mean would be at worst and at best.
    pub(super) fn missing(&self, facts: &RunFacts) -> Option<Caveat> {
        let expected = facts.dataset_size.map_or(self.samples, |size| u64::from(size).max(self.samples));
        let missing = expected - self.scored_samples;
        (missing > 0).then(|| Caveat::MissingSamples {
            model: facts.model.clone(),
            scored: self.scored_samples,
            expected,
            if_wrong: self.sum / expected as f64,
            if_right: (self.sum + missing as f64) / expected as f64,
        })
    }
}
