//! Bradley-Terry ratings from pairwise votes, with a sandwich covariance.
//!
//! `P(a beats b) = 1 / (1 + exp(beta_b - beta_a))`; a tie is half a win for each. Newton steps with the dense Hessian
//! maximise the likelihood over `sum beta = 0`. The covariance is `H^-1 G H^-1`, both on that subspace, with the Hessian
//! `H` and `G` the sum over votes of the squared score `r = y - p`, where y is 1, 1/2 (a tie is one vote) or 0.
//! `rating = 1000 + 400 / ln(10) * beta`, so 400 points are ten to one and the mean over models is 1000.
//! References: Bradley and Terry (1952); Ford (1957) for when ratings exist; Chiang et al., "Chatbot Arena" (arXiv
//! 2403.04132), section 4, for the sandwich.

use thiserror::Error;

use crate::comparison_graph::strong_groups;
use crate::linear::{Cholesky, NotPositiveDefinite};
use crate::{Interval, StatError};

/// Rating points per unit of beta: 400 points are odds of ten to one.
pub const POINTS: f64 = 400.0 / std::f64::consts::LN_10;
/// The mean rating.
pub const MEAN_RATING: f64 = 1000.0;

/// The fit ends with a step in which no beta moves by more than this. Newton squares the error with every step, so what
/// is left then is below what an `f64` can hold.
const LAST_STEP: f64 = 1e-9;
const MAX_STEPS: usize = 200;

/// Votes between two models, by position; counts may be fractions (weights).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pairing {
    /// First model.
    pub a: usize,
    /// Second model.
    pub b: usize,
    /// Votes for the first model.
    pub wins_a: f64,
    /// Votes for the second model.
    pub wins_b: f64,
    /// Votes for neither.
    pub ties: f64,
}

/// Why votes give no ratings.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum BradleyTerryError {
    /// There are fewer than two models.
    #[error("ratings need at least 2 models, found {0}")]
    TooFewModels(usize),
    /// A vote names a model that does not exist, or one model twice.
    #[error("pairing {row} is between models {a} and {b}; it must name two different ones of {models}")]
    NotAPair {
        /// Position of the pairing.
        row: usize,
        /// Its first model.
        a: usize,
        /// Its second model.
        b: usize,
        /// Number of models.
        models: usize,
    },
    /// A count is negative or not finite.
    #[error("pairing {row} has a count of {value}; a count must be finite and not negative")]
    BadCount {
        /// Position of the pairing.
        row: usize,
        /// The count.
        value: f64,
    },
    /// Some models were never compared with the rest, so their ratings have no common scale.
    #[error("the models fall into {} groups that were never compared with each other", groups.len())]
    Disconnected {
        /// The groups, each by position.
        groups: Vec<Vec<usize>>,
    },
    /// Some models won (or lost) every vote against the rest, so their ratings run off to infinity.
    #[error("no finite rating exists: {} groups of models won every vote against the groups after them", groups.len())]
    Separated {
        /// The groups from best to worst, each by position. Ratings exist within a group.
        groups: Vec<Vec<usize>>,
    },
    /// The steps did not settle.
    #[error("the fit did not settle in {steps} steps: the largest gradient is still {gradient}")]
    NotConverged {
        /// Steps taken.
        steps: usize,
        /// Largest gradient, in votes.
        gradient: f64,
    },
    /// The Hessian could not be factored: win counts differ by too many orders of magnitude.
    #[error("the votes are too unbalanced to be fitted: {0}")]
    Hessian(#[from] NotPositiveDefinite),
}

/// A fitted model.
#[derive(Clone, Debug, PartialEq)]
pub struct BradleyTerry {
    beta: Vec<f64>,
    gradient: f64,
    steps: usize,
    /// Inverse Hessian on the subspace `sum beta = 0`, row-major.
    inverse: Vec<f64>,
    /// For each pairing its models and its share of G.
    scores: Vec<(usize, usize, f64)>,
}

/// A rating with its uncertainty, in rating points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rating {
    /// `1000 + 400 / ln(10) * beta`.
    pub rating: f64,
    /// Sandwich standard error.
    pub se: f64,
    /// Standard error from the Hessian alone, which takes the model (and ties as half wins) at its word.
    pub se_hessian: f64,
}

impl Rating {
    /// The normal interval from the sandwich standard error.
    ///
    /// # Errors
    /// `level` is not strictly between 0 and 1.
    pub fn interval(&self, level: f64) -> Result<Interval, StatError> {
        Interval::normal(self.rating, self.se, level)
    }
}

impl BradleyTerry {
    /// Fits `models` ratings to votes; pairings of the same two models are added up.
    ///
    /// # Errors
    /// A pairing is malformed, or the votes determine no finite ratings.
    pub fn fit(models: usize, pairings: &[Pairing]) -> Result<Self, BradleyTerryError> {
        if models < 2 {
            return Err(BradleyTerryError::TooFewModels(models));
        }
        let pairings = aggregate(models, pairings)?;
        identify(models, &pairings)?;
        let mut newton = Newton::new(models, &pairings);
        let steps = newton.climb()?;
        let scores = pairings.iter().map(|pairing| (pairing.a, pairing.b, newton.squared_score(pairing))).collect();
        let (inverse, gradient) = newton.inverse()?;
        Ok(Self { beta: newton.beta, gradient, steps, inverse, scores })
    }

    /// Natural-scale abilities, which add up to 0.
    #[must_use]
    pub fn beta(&self) -> &[f64] {
        &self.beta
    }

    /// The largest gradient at the end, in votes: how well the fit converged.
    #[must_use]
    pub fn gradient(&self) -> f64 {
        self.gradient
    }

    /// Newton steps taken.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The rating of each model.
    #[must_use]
    pub fn ratings(&self) -> Vec<Rating> {
        let n = self.beta.len();
        let rows = self.inverse.chunks_exact(n);
        rows.zip(&self.beta)
            .enumerate()
            .map(|(model, (row, beta))| Rating {
                rating: MEAN_RATING + POINTS * beta,
                se: POINTS * self.sandwich(|m| row[m]).sqrt(),
                se_hessian: POINTS * row[model].max(0.0).sqrt(),
            })
            .collect()
    }

    /// Rating of `a` minus rating of `b`, with the standard error of the difference (ratings are correlated).
    ///
    /// # Panics
    /// A position is not below the number of models.
    #[must_use]
    pub fn difference(&self, a: usize, b: usize) -> Rating {
        let n = self.beta.len();
        let (row_a, row_b) = (&self.inverse[a * n..][..n], &self.inverse[b * n..][..n]);
        let hessian = row_a[a] + row_b[b] - 2.0 * row_a[b];
        Rating {
            rating: POINTS * (self.beta[a] - self.beta[b]),
            se: POINTS * self.sandwich(|m| row_a[m] - row_b[m]).sqrt(),
            se_hessian: POINTS * hessian.max(0.0).sqrt(),
        }
    }

    /// `c' H^-1 G H^-1 c`, where `of` gives the entries of `H^-1 c`.
    fn sandwich(&self, of: impl Fn(usize) -> f64) -> f64 {
        self.scores
            .iter()
            .map(|&(a, b, score)| {
                let reach = of(a) - of(b);
                score * reach * reach
            })
            .sum()
    }
}

/// Checks the pairings and adds up those of the same two models, so that every later pass runs over distinct pairs.
fn aggregate(models: usize, pairings: &[Pairing]) -> Result<Vec<Pairing>, BradleyTerryError> {
    let mut ordered = Vec::with_capacity(pairings.len());
    for (row, &Pairing { a, b, wins_a, wins_b, ties }) in pairings.iter().enumerate() {
        if a == b || a.max(b) >= models {
            return Err(BradleyTerryError::NotAPair { row, a, b, models });
        }
        for value in [wins_a, wins_b, ties] {
            if value < 0.0 || !value.is_finite() {
                return Err(BradleyTerryError::BadCount { row, value });
            }
        }
        ordered.push(if a < b {
            Pairing { a, b, wins_a, wins_b, ties }
        } else {
            Pairing { a: b, b: a, wins_a: wins_b, wins_b: wins_a, ties }
        });
    }
    ordered.sort_by_key(|pairing| (pairing.a, pairing.b));
    ordered.dedup_by(|next, kept| {
        let same = (next.a, next.b) == (kept.a, kept.b);
        if same {
            kept.wins_a += next.wins_a;
            kept.wins_b += next.wins_b;
            kept.ties += next.ties;
        }
        same
    });
    ordered.retain(|pairing| pairing.wins_a + pairing.wins_b + pairing.ties > 0.0);
    Ok(ordered)
}

/// Finite ratings exist, and only one set of them, when each model is reached from each other along "did not lose every
/// vote against" (Ford 1957).
fn identify(models: usize, pairings: &[Pairing]) -> Result<(), BradleyTerryError> {
    let both_ways = pairings.iter().flat_map(|p| [(p.a, p.b), (p.b, p.a)]);
    let mut groups = strong_groups(models, both_ways);
    if groups.len() > 1 {
        groups.sort_unstable();
        return Err(BradleyTerryError::Disconnected { groups });
    }
    let beaten = pairings.iter().flat_map(|p| {
        let a_won = (p.wins_a + p.ties > 0.0).then_some((p.a, p.b));
        let b_won = (p.wins_b + p.ties > 0.0).then_some((p.b, p.a));
        a_won.into_iter().chain(b_won)
    });
    let groups = strong_groups(models, beaten);
    if groups.len() > 1 { Err(BradleyTerryError::Separated { groups }) } else { Ok(()) }
}

/// The climb to the maximum, with the work space that its steps share.
struct Newton<'a> {
    pairings: &'a [Pairing],
    beta: Vec<f64>,
    gradient: Vec<f64>,
    hessian: Cholesky,
    /// Added along the direction in which all ratings move together, where the Hessian is 0.
    anchor: f64,
}

impl<'a> Newton<'a> {
    fn new(models: usize, pairings: &'a [Pairing]) -> Self {
        let zeros = vec![0.0; models];
        Self { pairings, gradient: zeros.clone(), beta: zeros, hessian: Cholesky::new(models), anchor: 0.0 }
    }

    /// Steps to the maximum and returns how many it took.
    fn climb(&mut self) -> Result<usize, BradleyTerryError> {
        let mut best = self.likelihood(&self.beta);
        for steps in 1..=MAX_STEPS {
            self.derive();
            self.hessian.factor()?;
            let mut step = self.gradient.clone();
            self.hessian.solve(&mut step);
            let last = largest(&step) <= LAST_STEP;
            let mut trial = moved(&self.beta, &step);
            let mut found = self.likelihood(&trial);
            // A full step can overshoot far from the maximum only; near it the likelihood is flat to rounding.
            while found < best - best.abs() * 1e-12 && largest(&step) > LAST_STEP {
                for x in &mut step {
                    *x *= 0.5;
                }
                trial = moved(&self.beta, &step);
                found = self.likelihood(&trial);
            }
            self.beta = trial;
            best = found;
            if last {
                return Ok(steps);
            }
        }
        self.derive();
        Err(BradleyTerryError::NotConverged { steps: MAX_STEPS, gradient: self.largest_gradient() })
    }

    /// Gradient and Hessian of the log-likelihood at `beta`.
    fn derive(&mut self) {
        let n = self.beta.len();
        self.hessian.matrix_mut().fill(0.0);
        self.gradient.fill(0.0);
        let mut total = 0.0;
        for pairing in self.pairings {
            let (win, lose) = self.chances(pairing);
            let (for_a, for_b) = (pairing.wins_a + 0.5 * pairing.ties, pairing.wins_b + 0.5 * pairing.ties);
            let pull = for_a * lose - for_b * win;
            let curvature = (for_a + for_b) * win * lose;
            self.gradient[pairing.a] += pull;
            self.gradient[pairing.b] -= pull;
            // Lower triangle: a < b after aggregation.
            let hessian = self.hessian.matrix_mut();
            hessian[pairing.a * n + pairing.a] += curvature;
            hessian[pairing.b * n + pairing.b] += curvature;
            hessian[pairing.b * n + pairing.a] -= curvature;
            total += curvature;
        }
        // As large as the mean diagonal, so that it neither drowns the rest nor is drowned.
        self.anchor = 2.0 * total / n as f64;
        let anchor = self.anchor / n as f64;
        for (i, row) in self.hessian.matrix_mut().chunks_exact_mut(n).enumerate() {
            for x in &mut row[..=i] {
                *x += anchor;
            }
        }
    }

    /// The inverse Hessian on `sum beta = 0`, and the largest gradient.
    fn inverse(&mut self) -> Result<(Vec<f64>, f64), NotPositiveDefinite> {
        self.derive();
        self.hessian.factor()?;
        let mut inverse = self.hessian.inverse();
        let anchor = 1.0 / (self.anchor * self.beta.len() as f64);
        for x in &mut inverse {
            *x -= anchor;
        }
        Ok((inverse, self.largest_gradient()))
    }

    /// Chance of a win of `a` and of `b`, each computed on its own: `1 - p` would lose the digits of a small one.
    fn chances(&self, pairing: &Pairing) -> (f64, f64) {
        let ratio = (self.beta[pairing.b] - self.beta[pairing.a]).exp();
        let win = 1.0 / (1.0 + ratio);
        (win, if ratio.is_finite() { ratio * win } else { 1.0 })
    }

    fn squared_score(&self, pairing: &Pairing) -> f64 {
        let (win, lose) = self.chances(pairing);
        let tie = 0.5 - win;
        pairing.wins_a * lose * lose + pairing.wins_b * win * win + pairing.ties * tie * tie
    }

    fn likelihood(&self, beta: &[f64]) -> f64 {
        let of = |pairing: &Pairing| {
            let lead = beta[pairing.a] - beta[pairing.b];
            let (for_a, for_b) = (pairing.wins_a + 0.5 * pairing.ties, pairing.wins_b + 0.5 * pairing.ties);
            // ln P(a) = -softplus(-lead), ln P(b) = ln P(a) - lead.
            let softplus = (-lead).max(0.0) + (-lead.abs()).exp().ln_1p();
            -(for_a + for_b) * softplus - for_b * lead
        };
        self.pairings.iter().map(of).sum()
    }

    fn largest_gradient(&self) -> f64 {
        largest(&self.gradient)
    }
}

fn moved(beta: &[f64], step: &[f64]) -> Vec<f64> {
    let mean = step.iter().sum::<f64>() / step.len() as f64;
    beta.iter().zip(step).map(|(beta, step)| beta + step - mean).collect()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| value.abs().max(largest))
}
