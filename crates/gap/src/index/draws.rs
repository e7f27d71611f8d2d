//! Bootstrap draws of the index: scores resampled within each model, refitted from the point estimate, rescaled.
//!
//! Epoch AI's procedure: 500 draws, warm start, anchors recomputed in every draw. Draw `k` depends on the seed and on
//! `k` alone, so the draws are the same whatever the number of threads.

use rayon::prelude::*;
use weighbridge_stats::bootstrap::Resampler;

use super::problem::Problem;
use super::scale::Scale;
use super::solve::{DRAW_TOLERANCE, Fit, System, solve_in};

/// Draws of the index scores of every model.
#[derive(Clone, Debug, PartialEq)]
pub struct Draws {
    models: usize,
    /// Row-major, one row a draw.
    scores: Vec<f64>,
    /// Draws that were left out because the refit did not converge or its anchors coincided.
    pub failed: usize,
}

impl Draws {
    /// Takes scores in row-major order, one row a draw.
    ///
    /// # Panics
    /// Never: a trailing partial row is cut off.
    #[must_use]
    pub fn from_rows(models: usize, mut scores: Vec<f64>, failed: usize) -> Self {
        scores.truncate(scores.len() / models.max(1) * models.max(1));
        Self { models, scores, failed }
    }

    /// Number of models.
    #[must_use]
    pub fn models(&self) -> usize {
        self.models
    }

    /// Number of usable draws.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scores.len() / self.models.max(1)
    }

    /// True without a usable draw.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// Index scores of all models, draw after draw.
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> + Clone {
        self.scores.chunks_exact(self.models.max(1))
    }

    /// The draws of one model.
    #[must_use]
    pub fn of(&self, model: usize) -> Vec<f64> {
        self.rows().map(|row| row[model]).collect()
    }
}

/// Makes `count` draws around `fit`; `tick` is called after each, from any thread.
pub fn draw(
    problem: &Problem,
    fit: &Fit,
    anchors: [usize; 2],
    count: usize,
    seed: u64,
    tick: &(dyn Fn() + Sync),
) -> Draws {
    let groups: Vec<usize> = problem.starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let rows: Vec<Option<Vec<f64>>> = (0..count)
        .into_par_iter()
        .map_init(
            || (System::new(problem), vec![0.0; problem.observations.len()]),
            |(system, weights), k| {
                Resampler::new(seed, k as u64).counts_by_group(&groups, weights);
                let refit = solve_in(system, problem, weights, &fit.parameters, DRAW_TOLERANCE);
                tick();
                if !refit.converged {
                    return None;
                }
                let capability = refit.parameters.capability;
                let scale = Scale::through(capability[anchors[0]], capability[anchors[1]])?;
                Some(capability.iter().map(|&c| scale.score(c)).collect())
            },
        )
        .collect();
    let failed = rows.iter().filter(|row| row.is_none()).count();
    Draws::from_rows(problem.models.len(), rows.into_iter().flatten().flatten().collect(), failed)
}
