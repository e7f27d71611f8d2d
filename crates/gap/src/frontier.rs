//! The frontier of a side: on each day, the best score among the models released by then.
//!
//! Everything here works on one score vector, so that the same code runs on the fitted scores and on every bootstrap
//! draw. Days are Julian day numbers.

use time::Date;

/// A model on one side of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrant {
    /// Day of release.
    pub day: i32,
    /// Position of the model's score in a score vector.
    pub column: usize,
}

impl Entrant {
    /// An entrant by calendar date.
    #[must_use]
    pub fn new(released: Date, column: usize) -> Self {
        Self { day: released.to_julian_day(), column }
    }
}

/// The models of one side, earliest release first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    entrants: Vec<Entrant>,
}

impl Side {
    /// Orders the models by release; of models released on one day the first given stays first.
    #[must_use]
    pub fn new(mut entrants: Vec<Entrant>) -> Self {
        entrants.sort_by_key(|e| e.day);
        Self { entrants }
    }

    /// The models, earliest release first.
    #[must_use]
    pub fn entrants(&self) -> &[Entrant] {
        &self.entrants
    }

    /// The models released on `day` or before.
    #[must_use]
    pub fn until(&self, day: i32) -> Self {
        let end = self.entrants.partition_point(|e| e.day <= day);
        Self { entrants: self.entrants[..end].to_vec() }
    }

    /// The frontier under one score vector.
    #[must_use]
    pub fn frontier(&self, scores: &[f64]) -> Frontier {
        let mut steps: Vec<Step> = Vec::new();
        for e in &self.entrants {
            let score = scores[e.column];
            if steps.last().is_none_or(|last| score > last.score) {
                // Of two records on one day only the higher one ever stood.
                if steps.last().is_some_and(|last| last.day == e.day) {
                    steps.pop();
                }
                steps.push(Step { day: e.day, score, column: e.column });
            }
        }
        Frontier { steps }
    }
}

/// A new best score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Day from which it stands.
    pub day: i32,
    /// The score.
    pub score: f64,
    /// Position of the model in the score vector.
    pub column: usize,
}

/// The running best of a side: strictly increasing scores at strictly increasing days.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frontier {
    steps: Vec<Step>,
}

impl Frontier {
    /// The steps, earliest first.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The step that stands on `day`; `None` before the first release.
    #[must_use]
    pub fn on(&self, day: i32) -> Option<Step> {
        let after = self.steps.partition_point(|s| s.day <= day);
        after.checked_sub(1).map(|i| self.steps[i])
    }

    /// The first step whose score is above `score`.
    #[must_use]
    pub fn first_above(&self, score: f64) -> Option<Step> {
        self.steps.get(self.steps.partition_point(|s| s.score <= score)).copied()
    }

    /// How many days of `[from, to]` each step stood, in order; steps that never stood in it are left out.
    pub fn days_held(&self, from: i32, to: i32) -> impl Iterator<Item = (Step, i32)> + '_ {
        self.steps.iter().enumerate().filter_map(move |(i, step)| {
            let end = self.steps.get(i + 1).map_or(to + 1, |next| next.day).min(to + 1);
            let days = end - step.day.max(from);
            (days > 0).then_some((*step, days))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(days: &[i32]) -> Side {
        Side::new(days.iter().enumerate().map(|(column, &day)| Entrant { day, column }).collect())
    }

    #[test]
    fn a_frontier_keeps_records_only() {
        let frontier = side(&[10, 20, 20, 30, 40]).frontier(&[1.0, 2.0, 3.0, 2.5, 4.0]);
        let steps: Vec<_> = frontier.steps().iter().map(|s| (s.day, s.score)).collect();
        assert_eq!(steps, [(10, 1.0), (20, 3.0), (40, 4.0)]);
    }

    #[test]
    fn a_tie_keeps_the_first_holder() {
        let frontier = side(&[10, 20]).frontier(&[1.0, 1.0]);
        assert_eq!(frontier.steps().len(), 1);
        assert_eq!(frontier.on(25).unwrap().column, 0);
    }

    #[test]
    fn days_before_and_between_are_told_apart() {
        let frontier = side(&[10, 20]).frontier(&[1.0, 2.0]);
        assert_eq!(frontier.on(9), None);
        assert_eq!(frontier.on(10).unwrap().score, 1.0);
        assert_eq!(frontier.on(20).unwrap().score, 2.0);
        assert_eq!(frontier.first_above(1.0).unwrap().day, 20);
        assert_eq!(frontier.first_above(2.0), None);
    }

    #[test]
    fn days_held_add_up() {
        let frontier = side(&[10, 20, 40]).frontier(&[1.0, 2.0, 3.0]);
        let held: Vec<_> = frontier.days_held(15, 29).map(|(s, d)| (s.column, d)).collect();
        assert_eq!(held, [(0, 5), (1, 10)]);
        assert_eq!(frontier.days_held(0, 100).map(|(_, d)| d).sum::<i32>(), 91);
    }
}
