"""Makes ifeval_golden.txt: what lm-evaluation-harness decides about synthetic answers to every prompt of IFEval.

It needs lm_eval with langdetect 1.0.9, immutabledict and NLTK's punkt_tab. From the root of the checkout:

    PYTHONPATH=PEERS NLTK_DATA=PEERS/nltk_data /opt/wb-peers/venv/bin/python \
        crates/run/tests/scorer/ifeval_golden.py SHARED/data/tasks/ifeval/input_data.jsonl

where PEERS is a folder with the packages that the environment lacks. A line of the golden has the key of the prompt
and, for each answer, the verdicts on its instructions: strict/loose, 1 for followed. A verdict that rests on chance
in lm_eval is `?`.
"""

import json
import logging
import pathlib
import sys

import langdetect
from lm_eval.tasks.ifeval import utils

logging.disable(logging.CRITICAL)
HERE = pathlib.Path(__file__).parent
POOL = json.loads((HERE / "ifeval_pool.json").read_text(encoding="utf-8"))
LANGUAGES = json.loads((HERE / "ifeval_languages.json").read_text(encoding="utf-8"))
ANSWERS = 6


def strings(value):
    """All texts within the settings of a row, in their order."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    return []


def answer(index, k, row):
    """The k-th answer to a prompt, by the rule that the test follows too."""
    count = 1 + (index * 3 + k * 5) % 7
    parts = [POOL[(index * 7 + k * 13 + j * (5 + k)) % len(POOL)] for j in range(count)]
    said = strings(row["kwargs"])
    if k == 1:
        return "\n\n".join([*parts, " ".join(said)])
    if k == 2:
        return "\n\n".join([row["prompt"], *parts])
    languages = [settings["language"] for settings in row["kwargs"] if "language" in settings]
    if k == 3 and languages:
        return LANGUAGES[languages[0]]
    if k == 3:
        return '"' + " ".join(parts) + '"'
    if k == 4:
        repeated = [text for text in said for _ in range(4)]
        return "\n\n".join([said[-1] if said else "Intro", *parts, " ".join(repeated), *said])
    if k == 5:
        text = "\n".join(parts * 3).replace(",", "")
        return text.upper() if index % 2 else text.lower()
    return "\n\n".join(parts)


def chance(kind, settings):
    letter = settings.get("letter")
    return kind == "keywords:letter_frequency" and not (len(letter) == 1 and "a" <= letter.lower() <= "z")


def main():
    langdetect.DetectorFactory.seed = 0
    lines = []
    for index, line in enumerate(open(sys.argv[1], encoding="utf-8")):
        row = json.loads(line)
        given = utils.InputExample(row["key"], row["instruction_id_list"], row["prompt"], row["kwargs"])
        unsure = [chance(*pair) for pair in zip(row["instruction_id_list"], row["kwargs"])]
        verdicts = []
        for k in range(ANSWERS):
            text = answer(index, k, row)
            both = (utils.test_instruction_following_strict, utils.test_instruction_following_loose)
            verdicts.append("/".join(
                "".join("?" if u else str(int(f)) for u, f in zip(unsure, test(given, text).follow_instruction_list))
                for test in both
            ))
        lines.append(f"{row['key']} {' '.join(verdicts)}\n")
    (HERE / "ifeval_golden.txt").write_text("".join(lines), encoding="utf-8")


main()
