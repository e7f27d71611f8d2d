"""Prints what Python's random.Random(seed).sample(range(n), k) draws, run on within one seed, as JSON.

python3 crates/run/tests/lm_eval/sample.py > crates/run/tests/lm_eval/sample.json
"""
import json
import random

rows = []
for seed in (0, 1, 1234, 2**32 - 1, 2**40 + 7):
    rng = random.Random(seed)
    for n in (1, 5, 6, 21, 22, 85, 86, 300, 1000, 7473):
        for k in (1, 3, 5, 6, 8, 25):
            if k <= n:
                rows.append([seed, n, k, rng.sample(range(n), k)])
print(json.dumps(rows, separators=(",", ":")).replace("]],[", "]],\n["))
