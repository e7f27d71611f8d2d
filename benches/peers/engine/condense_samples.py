"""Condenses the samples that lm-eval logged to goldens: `python condense_samples.py OUT GOLDENS`.

OUT holds a folder a run (mc_0shot, mc_5shot, gen, ...). Each becomes GOLDENS/<run>.jsonl with one line per request, in
the order of lm-eval's requests; what all contexts of a run begin with stands once, in a first line of its own.
summary.json gets the scores of each run and the versions behind them.
"""

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("lm_eval", "transformers", "torch", "datasets", "tokenizers", "gguf")
# A shorter common prefix is not worth a reader that has to join it.
LEAST_PREFIX = 200


def main():
    out, goldens = Path(sys.argv[1]), Path(sys.argv[2])
    goldens.mkdir(parents=True, exist_ok=True)
    runs = {}
    for folder in sorted(path for path in out.iterdir() if path.is_dir()):
        results = json.loads(one(folder, "results_*.json").read_text())
        rows = [json.loads(line) for line in one(folder, "samples_*.jsonl").read_text().splitlines()]
        rows.sort(key=lambda row: row["doc_id"])
        requests = [request for row in rows for request in condense(row)]
        write(goldens / f"{folder.name}.jsonl", requests)
        runs[folder.name] = summary(results, rows, requests)
    versions = {name: version(name) for name in PACKAGES}
    text = json.dumps({"versions": versions, "runs": runs}, indent=1)
    (goldens / "summary.json").write_text(text + "\n")


def one(folder, pattern):
    found = list(folder.rglob(pattern))
    if len(found) != 1:
        sys.exit(f"{folder} holds {len(found)} files like {pattern}, expected one; remove the old ones")
    return found[0]


def condense(row):
    requests = []
    for at, arguments in enumerate(row["arguments"].values()):
        context, second = arguments["arg_0"], arguments["arg_1"]
        answer = row["resps"][at][0]
        if isinstance(second, dict):
            requests.append({"doc": row["doc_id"], "context": context, "until": second["until"], "text": answer})
        else:
            logprob, greedy = answer
            found = {"logprob": round(float(logprob), 7), "greedy": str(greedy) == "True"}
            requests.append({"doc": row["doc_id"], "context": context, "continuation": second} | found)
    return requests


def write(path, requests):
    prefix = os.path.commonprefix([request["context"] for request in requests])
    prefix = prefix[: prefix.rfind("\n\n") + 2] if len(prefix) >= LEAST_PREFIX and "\n\n" in prefix else ""
    lines = [{"prefix": prefix}] if prefix else []
    lines += [request | {"context": request["context"][len(prefix) :]} for request in requests]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def summary(results, rows, requests):
    (task, scores), config = next(iter(results["results"].items())), results["config"]
    generation = results["configs"][task].get("generation_kwargs")
    numbers = {key.split(",")[0]: value for key, value in scores.items() if isinstance(value, float)}
    return {
        "task": task,
        "model": Path(config["model_args"]["pretrained"]).name,
        "model_args": {key: value for key, value in config["model_args"].items() if key != "pretrained"},
        "batch_size": config["batch_size"],
        "docs": len(rows),
        "requests": len(requests),
        "scores": numbers,
    } | ({"generation_kwargs": generation} if generation else {})


if __name__ == "__main__":
    main()
