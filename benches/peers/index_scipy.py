"""Peer of the index benchmark: the capability index fit and its bootstrap in scipy.

The model is y = sigmoid(alpha_b (C_m - D_b)) with one ridge residual, solved by
scipy.optimize.least_squares (trust region, bounds, analytic Jacobian, warm start).
Prints one JSON object; times are CPU seconds of this single process.
"""

import argparse
import csv
import json
import platform
import time

import numpy as np
import scipy
from scipy.optimize import least_squares
from scipy.sparse import csr_matrix

RIDGE = 0.1
CLIP = 1e-3
FIXED_SLOPE = "Winogrande"
LOW, HIGH = ("Claude 3.5 Sonnet", 130.0), ("GPT-5", 150.0)


class Fit:
    """The least-squares problem of one set of rows: residuals, Jacobian, bounds."""

    def __init__(self, model, bench, score, models, benches, fixed, dense):
        self.model, self.bench, self.score = model, bench, score
        self.models, self.benches, self.fixed, self.dense = models, benches, fixed, dense
        self.size = models + 2 * benches - 1
        self.free = np.delete(np.arange(benches), fixed)
        self.lower = np.r_[np.full(models + benches, -10.0), np.full(benches - 1, 0.1)]
        self.upper = np.full(self.size, 10.0)
        self._pattern()

    def _pattern(self):
        """Column indices of the Jacobian, which depend on the rows but not on the parameters."""
        slope = self.models + self.benches + self.bench - (self.bench > self.fixed)
        # The fixed slope has no column: its entry goes to the row's difficulty column with value 0.
        self.slope_is_free = self.bench != self.fixed
        slope = np.where(self.slope_is_free, slope, self.models + self.bench)
        rows = np.stack([self.model, self.models + self.bench, slope], axis=1)
        self.columns = np.r_[rows.ravel(), np.arange(self.size)]
        count = len(self.score)
        self.offsets = np.r_[np.arange(0, 3 * count + 1, 3), 3 * count + self.size]

    def unpack(self, theta):
        slope = np.ones(self.benches)
        slope[self.free] = theta[self.models + self.benches :]
        return theta[: self.models], theta[self.models : self.models + self.benches], slope

    def predict(self, theta):
        ability, difficulty, slope = self.unpack(theta)
        slope = slope[self.bench]
        distance = ability[self.model] - difficulty[self.bench]
        return slope, distance, 1.0 / (1.0 + np.exp(-slope * distance))

    def residuals(self, theta):
        penalty = np.sqrt(RIDGE * (theta @ theta) / self.size)
        return np.append(self.predict(theta)[2] - self.score, penalty)

    def jacobian(self, theta):
        slope, distance, fitted = self.predict(theta)
        weight = fitted * (1.0 - fitted)
        by_ability = weight * slope
        by_slope = weight * distance * self.slope_is_free
        penalty = np.sqrt(RIDGE * (theta @ theta) / self.size)
        ridge = RIDGE / (self.size * penalty) * theta
        shape = (len(self.score) + 1, self.size)
        if self.dense:
            matrix, row = np.zeros(shape), np.arange(len(self.score))
            matrix[row, self.columns[2 : 3 * len(row) : 3]] = by_slope
            matrix[row, self.model] = by_ability
            matrix[row, self.models + self.bench] = -by_ability
            matrix[-1] = ridge
            return matrix
        values = np.stack([by_ability, -by_ability, by_slope], axis=1).ravel()
        return csr_matrix((np.r_[values, ridge], self.columns, self.offsets), shape=shape)

    def solve(self, start, tolerance, x_scale):
        return least_squares(
            self.residuals,
            start,
            jac=self.jacobian,
            bounds=(self.lower, self.upper),
            method="trf",
            x_scale=x_scale,
            ftol=tolerance,
            xtol=tolerance,
            gtol=tolerance,
        )


def load(path):
    """Rows of the input in file order, with models and benchmarks numbered by first appearance."""
    models, benches, rows = {}, {}, []
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            model = models.setdefault(row["model"], len(models))
            bench = benches.setdefault(row["benchmark"], len(benches))
            rows.append((model, bench, float(row["performance"])))
    model, bench, score = (np.array(column) for column in zip(*rows))
    return models, benches, model, bench, np.clip(score, CLIP, 1.0 - CLIP)


def scale(theta, models):
    """Scores on the published scale, fixed by the two anchor models."""
    low, high = theta[models[LOW[0]]], theta[models[HIGH[0]]]
    return LOW[1] + (HIGH[1] - LOW[1]) / (high - low) * (theta[: len(models)] - low)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benchmarks", help="path of eci_benchmarks.csv")
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--seed", type=int, default=12345)
    parser.add_argument("--tolerance", type=float, default=1e-8, help="ftol, xtol and gtol (scipy's default 1e-8)")
    parser.add_argument("--unscaled", action="store_true", help="x_scale = 1 as in the published fit (slower)")
    parser.add_argument("--dense", action="store_true", help="dense Jacobian, exact trust-region solver (slower)")
    args = parser.parse_args()

    models, benches, model, bench, score = load(args.benchmarks)
    options = (args.tolerance, 1.0 if args.unscaled else "jac")
    sizes = (len(models), len(benches), benches[FIXED_SLOPE], args.dense)
    generator = np.random.default_rng(args.seed)
    start = np.r_[0.1 * generator.standard_normal(len(models) + len(benches)), np.ones(len(benches) - 1)]

    clock = time.process_time()
    central = Fit(model, bench, score, *sizes).solve(start, *options)
    fit_cpu = time.process_time() - clock

    rows_of = [np.flatnonzero(model == index) for index in range(len(models))]
    draws, evaluations, failures = [], 0, 0
    clock = time.process_time()
    for _ in range(args.draws):
        pick = np.concatenate([generator.choice(rows, size=rows.size) for rows in rows_of])
        drawn = Fit(model[pick], bench[pick], score[pick], *sizes).solve(central.x, *options)
        evaluations += drawn.nfev
        failures += not drawn.success
        draws.append(scale(drawn.x, models))
    draws_cpu = time.process_time() - clock

    scores = scale(central.x, models)
    best = max(models, key=lambda name: scores[models[name]])
    report = {
        "fit_cpu_s": round(fit_cpu, 4),
        "draws_cpu_s": round(draws_cpu, 3),
        "draws": args.draws,
        "cost": central.cost,
        "optimality": central.optimality,
        "evaluations": {"fit": central.nfev, "draws": evaluations},
        "failures": failures,
        "jacobian": "dense" if args.dense else "sparse",
        "x_scale": options[1],
        "tolerance": args.tolerance,
        "top": {"model": best, "score": round(float(scores[models[best]]), 4)},
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__},
    }
    if draws:
        lower, upper = np.quantile(np.array(draws)[:, models[best]], [0.05, 0.95])
        report["top"] |= {"lower": round(float(lower), 3), "upper": round(float(upper), 3)}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
