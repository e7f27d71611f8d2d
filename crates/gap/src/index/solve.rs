//! Least squares for the index: Newton steps with Levenberg-Marquardt damping, in block form.
//!
//! A score couples one model with one benchmark, so the capabilities are eliminated exactly (each is a 1 x 1 block) and
//! only a dense system of two unknowns a benchmark is factored: 113 unknowns instead of 335 for the ECI data. Bounds are
//! kept by an active set: a parameter at its bound whose gradient points outward is held for the step, and steps are
//! projected.

use super::problem::{LOCATION_BOUNDS, Observation, Problem, RIDGE, SLOPE_BOUNDS};
use weighbridge_stats::linear::Cholesky;

/// A fit stops when a step changes the objective by less than this share of it.
const FIT_TOLERANCE: f64 = 1e-11;
/// A bootstrap draw stops sooner: what is left moves 99 % of scores by less than 0.002 points (`benches`), against intervals of several.
pub(super) const DRAW_TOLERANCE: f64 = 1e-6;
/// Gains shrink fast when one is at most this share of the one before.
const FAST: f64 = 0.1;
/// Where they shrink slowly the tolerance is this much smaller.
const SLOW_TOLERANCE: f64 = 1e-2;
/// Gauss-Newton steps, whose matrix is never indefinite, lead until one gains less than this share of the objective;
/// from there full Newton steps converge in a handful.
const NEWTON_GAIN: f64 = 1e-3;
/// Damping of the first step.
const FIRST_DAMPING: f64 = 3e-3;
/// No more than this many accepted or rejected steps are tried.
const MAX_STEPS: usize = 400;
/// Damping above which no step helps any more.
const MAX_DAMPING: f64 = 1e8;

/// Parameters of the index on the raw scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// Capability of each model.
    pub capability: Vec<f64>,
    /// Difficulty of each benchmark.
    pub difficulty: Vec<f64>,
    /// Slope of each benchmark.
    pub slope: Vec<f64>,
}

impl Parameters {
    /// The start of a first fit: capabilities and difficulties 0, slopes 1.
    ///
    /// Epoch AI starts from normal noise of deviation 0.1; the optimum is the same.
    #[must_use]
    pub fn start(problem: &Problem) -> Self {
        Self {
            capability: vec![0.0; problem.models.len()],
            difficulty: vec![0.0; problem.benchmarks.len()],
            slope: vec![1.0; problem.benchmarks.len()],
        }
    }
}

/// A fitted index on the raw scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The optimum.
    pub parameters: Parameters,
    /// Half the weighted sum of squares plus half the penalty, as scipy counts it.
    pub cost: f64,
    /// Steps tried.
    pub steps: usize,
    /// False when the step limit was reached first.
    pub converged: bool,
}

/// Minimises the objective over the scores, each counted `weights[i]` times, from `start`.
///
/// `weights` has one entry a score: 1 for the fit itself, resample counts for a bootstrap draw.
#[must_use]
pub fn solve(problem: &Problem, weights: &[f64], start: &Parameters) -> Fit {
    let mut system = System::new(problem);
    solve_in(&mut system, problem, weights, start, FIT_TOLERANCE)
}

/// As [`solve`], with the work space of an earlier call on the same problem and a tolerance of its own.
pub(super) fn solve_in(
    system: &mut System,
    problem: &Problem,
    weights: &[f64],
    start: &Parameters,
    tolerance: f64,
) -> Fit {
    system.take_scores(problem, weights);
    let mut at = start.clone();
    let mut cost = system.evaluate(problem, &at);
    let mut damping = FIRST_DAMPING;
    let mut curvature = Curvature::GaussNewton;
    let mut converged = false;
    let mut steps = 0;
    let mut moved = true;
    let mut last_gain = f64::INFINITY;
    while steps < MAX_STEPS && damping <= MAX_DAMPING {
        steps += 1;
        if moved {
            system.assemble(problem, &at, curvature);
        }
        let Some(trial) = system.step(problem, &at, damping) else {
            damping *= 4.0;
            moved = false;
            continue;
        };
        let trial_cost = system.evaluate(problem, &trial);
        let gain = cost - trial_cost;
        moved = gain > 0.0;
        if moved {
            at = trial;
            cost = trial_cost;
            damping = (damping * 0.3).max(1e-12);
            if gain < NEWTON_GAIN * cost {
                curvature = Curvature::Newton;
            }
        } else {
            damping *= 4.0;
        }
        // A small gain ends the search where gains shrink fast; where they shrink slowly much may still lie ahead.
        let fast = gain.abs() <= FAST * last_gain;
        let enough = if fast { tolerance } else { tolerance * SLOW_TOLERANCE };
        if gain.abs() <= enough * cost {
            converged = true;
            break;
        }
        last_gain = gain.abs();
    }
    Fit { parameters: at, cost, steps, converged }
}

fn ridge(problem: &Problem) -> f64 {
    RIDGE / problem.parameters() as f64
}

/// A score and how often it counts.
#[derive(Clone, Copy)]
struct Weighted {
    score: Observation,
    weight: f64,
}

/// How the capability of a model is coupled with the unknowns of one benchmark.
#[derive(Clone, Copy)]
struct Coupling {
    /// Position of the benchmark's difficulty among the unknowns; its slope is next.
    column: usize,
    /// Second derivatives by capability and difficulty, and by capability and slope.
    values: [f64; 2],
}

/// Which second derivatives enter the step.
#[derive(Clone, Copy, PartialEq)]
enum Curvature {
    /// Products of first derivatives only.
    GaussNewton,
    /// All of them.
    Newton,
}

/// The second-order model of the objective at one point, and the work space to solve it.
///
/// Benchmark unknowns are laid out as (difficulty, slope) pairs: `2 b` and `2 b + 1`.
pub(super) struct System {
    /// Scores of positive weight, by model and then by benchmark.
    scores: Vec<Weighted>,
    /// `scores[starts[m]..starts[m + 1]]` belong to model `m`.
    starts: Vec<usize>,
    /// Predictions of `scores` at the point that was evaluated last.
    predicted: Vec<f64>,
    model_diagonal: Vec<f64>,
    model_gradient: Vec<f64>,
    model_held: Vec<bool>,
    /// Coupling of a model with a benchmark's pair, one for each of `scores`.
    coupling: Vec<Coupling>,
    pair_block: Vec<[f64; 3]>,
    pair_gradient: Vec<f64>,
    pair_held: Vec<bool>,
    factor: Cholesky,
    step: Vec<f64>,
}

impl System {
    pub(super) fn new(problem: &Problem) -> Self {
        let (m, b) = (problem.models.len(), problem.benchmarks.len());
        Self {
            scores: Vec::with_capacity(problem.observations.len()),
            starts: Vec::with_capacity(m + 1),
            predicted: Vec::with_capacity(problem.observations.len()),
            model_diagonal: vec![0.0; m],
            model_gradient: vec![0.0; m],
            model_held: vec![false; m],
            coupling: Vec::with_capacity(problem.observations.len()),
            pair_block: vec![[0.0; 3]; b],
            pair_gradient: vec![0.0; 2 * b],
            pair_held: vec![false; 2 * b],
            factor: Cholesky::new(2 * b),
            step: vec![0.0; 2 * b],
        }
    }

    /// Keeps the scores of positive weight.
    fn take_scores(&mut self, problem: &Problem, weights: &[f64]) {
        self.scores.clear();
        self.starts.clear();
        for range in problem.starts.windows(2) {
            self.starts.push(self.scores.len());
            let weighted = problem.observations[range[0]..range[1]].iter().zip(&weights[range[0]..range[1]]);
            let kept = weighted.filter(|(_, w)| **w > 0.0);
            self.scores.extend(kept.map(|(&o, &weight)| Weighted { score: o, weight }));
        }
        self.starts.push(self.scores.len());
    }

    /// The objective at a point: half the weighted sum of squares plus half the penalty.
    fn evaluate(&mut self, problem: &Problem, at: &Parameters) -> f64 {
        self.predicted.clear();
        let mut squares = 0.0;
        for &Weighted { score: o, weight } in &self.scores {
            let z = at.slope[o.benchmark] * (at.capability[o.model] - at.difficulty[o.benchmark]);
            let p = 1.0 / (1.0 + (-z).exp());
            self.predicted.push(p);
            squares += weight * (p - o.score) * (p - o.score);
        }
        let anchor = at.slope[problem.slope_anchor];
        let penalty: f64 = at.capability.iter().chain(&at.difficulty).chain(&at.slope).map(|t| t * t).sum();
        0.5 * (squares + ridge(problem) * (penalty - anchor * anchor))
    }

    /// Gradient and Hessian blocks at the point that was evaluated last.
    fn assemble(&mut self, problem: &Problem, at: &Parameters, curvature: Curvature) {
        let ridge = ridge(problem);
        let second = if curvature == Curvature::Newton { 1.0 } else { 0.0 };
        for (m, &c) in at.capability.iter().enumerate() {
            self.model_diagonal[m] = ridge;
            self.model_gradient[m] = ridge * c;
        }
        for b in 0..problem.benchmarks.len() {
            self.pair_block[b] = [ridge, 0.0, ridge];
            self.pair_gradient[2 * b] = ridge * at.difficulty[b];
            self.pair_gradient[2 * b + 1] = ridge * at.slope[b];
        }
        self.coupling.clear();
        for i in 0..self.scores.len() {
            self.add(i, at, second);
        }
        self.hold_at_bounds(problem, at);
    }

    /// Adds score `i`; `second` is the weight of its second derivatives, 0 or 1.
    fn add(&mut self, i: usize, at: &Parameters, second: f64) {
        let (Weighted { score: o, weight: w }, p) = (self.scores[i], self.predicted[i]);
        let (b, m) = (o.benchmark, o.model);
        let (slope, distance) = (at.slope[b], at.capability[m] - at.difficulty[b]);
        let first = p * (1.0 - p);
        let g = w * (p - o.score) * first;
        // Curvature along z = slope * distance, and the mixed term of z itself.
        let curvature = w * first * first + second * g * (1.0 - 2.0 * p);
        let mixed = second * g;
        let (along, across) = (curvature * slope * slope, curvature * slope * distance + mixed);
        self.model_gradient[m] += g * slope;
        self.model_diagonal[m] += along;
        self.pair_gradient[2 * b] -= g * slope;
        self.pair_gradient[2 * b + 1] += g * distance;
        let block = &mut self.pair_block[b];
        block[0] += along;
        block[1] -= across;
        block[2] += curvature * distance * distance;
        self.coupling.push(Coupling { column: 2 * b, values: [-along, across] });
    }

    /// Marks the parameters that sit at a bound and would leave it.
    fn hold_at_bounds(&mut self, problem: &Problem, at: &Parameters) {
        let held = |value: f64, gradient: f64, (low, high): (f64, f64)| {
            (value <= low && gradient > 0.0) || (value >= high && gradient < 0.0)
        };
        for (m, &c) in at.capability.iter().enumerate() {
            self.model_held[m] = held(c, self.model_gradient[m], LOCATION_BOUNDS);
        }
        for b in 0..problem.benchmarks.len() {
            self.pair_held[2 * b] = held(at.difficulty[b], self.pair_gradient[2 * b], LOCATION_BOUNDS);
            self.pair_held[2 * b + 1] =
                b == problem.slope_anchor || held(at.slope[b], self.pair_gradient[2 * b + 1], SLOPE_BOUNDS);
        }
    }

    /// The projected Newton step from `at`, or `None` where the damped Hessian is not positive definite.
    fn step(&mut self, problem: &Problem, at: &Parameters, damping: f64) -> Option<Parameters> {
        if self.model_diagonal.iter().zip(&self.model_held).any(|(&d, &held)| !held && d + damping <= 0.0) {
            return None;
        }
        self.reduce(problem, damping);
        self.factor.factor().ok()?;
        self.factor.solve(&mut self.step);
        let mut trial = at.clone();
        for b in 0..problem.benchmarks.len() {
            trial.difficulty[b] = (at.difficulty[b] + self.step[2 * b]).clamp(LOCATION_BOUNDS.0, LOCATION_BOUNDS.1);
            if b != problem.slope_anchor {
                trial.slope[b] = (at.slope[b] + self.step[2 * b + 1]).clamp(SLOPE_BOUNDS.0, SLOPE_BOUNDS.1);
            }
        }
        for m in 0..problem.models.len() {
            if self.model_held[m] {
                continue;
            }
            let mut rest = -self.model_gradient[m];
            for c in &self.coupling[self.starts[m]..self.starts[m + 1]] {
                rest -= c.values[0] * self.step[c.column] + c.values[1] * self.step[c.column + 1];
            }
            let moved = at.capability[m] + rest / (self.model_diagonal[m] + damping);
            trial.capability[m] = moved.clamp(LOCATION_BOUNDS.0, LOCATION_BOUNDS.1);
        }
        Some(trial)
    }

    /// Eliminates the capabilities: the Schur complement on the benchmark unknowns and its right-hand side.
    fn reduce(&mut self, problem: &Problem, damping: f64) {
        let n = 2 * problem.benchmarks.len();
        let matrix = self.factor.matrix_mut();
        matrix.fill(0.0);
        for (b, block) in self.pair_block.iter().enumerate() {
            let row = 2 * b;
            matrix[row * n + row] = block[0] + damping;
            matrix[(row + 1) * n + row] = block[1];
            matrix[(row + 1) * n + row + 1] = block[2] + damping;
        }
        for (to, from) in self.step.iter_mut().zip(&self.pair_gradient) {
            *to = -from;
        }
        for m in 0..problem.models.len() {
            if self.model_held[m] {
                continue;
            }
            let inverse = 1.0 / (self.model_diagonal[m] + damping);
            let of_model = &self.coupling[self.starts[m]..self.starts[m + 1]];
            for (i, ci) in of_model.iter().enumerate() {
                let scaled = [ci.values[0] * inverse, ci.values[1] * inverse];
                self.step[ci.column] += scaled[0] * self.model_gradient[m];
                self.step[ci.column + 1] += scaled[1] * self.model_gradient[m];
                // Scores of a model are in the order of their benchmarks, so this stays in the lower triangle.
                let (upper, lower) = matrix[ci.column * n..(ci.column + 2) * n].split_at_mut(n);
                for cj in &of_model[..=i] {
                    let [j0, j1] = cj.values;
                    upper[cj.column] -= scaled[0] * j0;
                    upper[cj.column + 1] -= scaled[0] * j1;
                    lower[cj.column] -= scaled[1] * j0;
                    lower[cj.column + 1] -= scaled[1] * j1;
                }
            }
        }
        for (k, &held) in self.pair_held.iter().enumerate() {
            if held {
                matrix[k * n..k * n + k].fill(0.0);
                for below in k + 1..n {
                    matrix[below * n + k] = 0.0;
                }
                matrix[k * n + k] = 1.0;
                self.step[k] = 0.0;
            }
        }
    }
}
