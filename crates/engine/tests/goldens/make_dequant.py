"""Makes dequant/blocks.json: random blocks of every quantised type, and the numbers that gguf-py reads from them.

    python3 -m venv ENV && ENV/bin/pip install gguf==0.19.0 numpy==2.4.6
    ENV/bin/python make_dequant.py

Bytes are random but for the half-precision scales, which are finite: normal, subnormal, zero and negative.
"""

import json
import pathlib

import gguf
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T

# Where the half-precision numbers of a block lie.
HALVES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
}
BLOCKS = 5


def bits(numbers: np.ndarray) -> str:
    return np.ascontiguousarray(numbers, dtype="<f4").tobytes().hex()


def main() -> None:
    random = np.random.default_rng(20260811)
    cases = []
    for kind, offsets in HALVES.items():
        _, size = GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
        scales = random.normal(0, 0.05, (BLOCKS, len(offsets))).astype("<f2")
        scales[1] = np.array(3e-7, dtype="<f2")
        scales[2, 0] = np.array(-0.0, dtype="<f2")
        scales[3] = np.array(-60000.0, dtype="<f2")
        for column, offset in enumerate(offsets):
            blocks[:, offset : offset + 2] = scales[:, column : column + 1].copy().view(np.uint8)
        numbers = gguf.quants.dequantize(blocks, kind)
        cases.append({"dtype": kind.name, "bytes": blocks.tobytes().hex(), "f32": bits(numbers)})

    halves = np.arange(0, 65536, 257, dtype="<u2").view("<f2")
    halves = halves[np.isfinite(halves)]
    cases.append({"dtype": "F16", "bytes": halves.tobytes().hex(), "f32": bits(halves.astype("<f4"))})
    upper = random.integers(0, 1 << 15, 300, dtype="<u2")
    whole = upper.astype("<u4") << 16
    cases.append({"dtype": "BF16", "bytes": upper.tobytes().hex(), "f32": whole.view("<f4").tobytes().hex()})
    doubles = np.concatenate([random.normal(0, 1, 100), [1e300, -1e-300, 0.0]]).astype("<f8")
    with np.errstate(over="ignore"):
        cases.append({"dtype": "F64", "bytes": doubles.tobytes().hex(), "f32": bits(doubles.astype("<f4"))})

    path = pathlib.Path(__file__).parent / "dequant" / "blocks.json"
    made = {"made_by": f"make_dequant.py with gguf 0.19.0 and numpy {np.__version__}", "cases": cases}
    path.write_text(json.dumps(made, indent=1) + "\n")


main()
