"""Prints what lm-evaluation-harness itself asks of models, for the tests of crates/run, as JSON.

For each task: the first rows' requests as plain text, and for written answers also as conversations. Run from the
repository with lm_eval 0.4.13:

    WEIGHBRIDGE_SHARED=../shared python crates/run/tests/lm_eval/prompts.py
"""
import importlib
import json
import os
import pathlib
import sys
import zlib

import yaml

HERE = pathlib.Path(__file__).resolve().parent
SHARED = pathlib.Path(os.environ.get("WEIGHBRIDGE_SHARED", HERE.parents[4] / "shared")).resolve()
LIMIT = 4
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")

from lm_eval.api.task import ConfigurableTask  # noqa: E402
from lm_eval.tasks._yaml_loader import load_yaml  # noqa: E402


class Turns(list):
    """A conversation in the place of the text that a chat template would give."""


def as_turns(messages, **_):
    return Turns(messages)


def requests(task, shots, style, system):
    task.set_fewshot_seed(1234)
    chat = style != "text"
    task.build_all_requests(
        limit=LIMIT,
        system_instruction=system,
        apply_chat_template=chat,
        fewshot_as_multiturn=style == "chat_multiturn",
        chat_template=as_turns if chat else None,
    )
    return [[request.doc_id, list(request.args)] for request in task.instances]


def case(name, path, folder, shots=None, systems=(None,), styles=("text",)):
    os.chdir(folder)
    config = load_yaml(path)
    for key in ("tag", "group", "task_list"):
        config.pop(key, None)
    task = ConfigurableTask(config=config)
    if shots is not None and task.config.num_fewshot != 0:
        task.set_config("num_fewshot", shots)
    elif task.config.num_fewshot is None:
        task.set_config("num_fewshot", 0)
    if task.OUTPUT_TYPE == "generate_until":
        styles = ("text", "chat", "chat_multiturn")
        systems = (None, "Be brief.")
    docs = list(task.eval_docs)[:LIMIT]
    return {
        "task": name,
        "few_shot": shots,
        "targets": [task.doc_to_target(doc) for doc in docs],
        "choices": [task.doc_to_choice(doc) if task.config.doc_to_choice is not None else None for doc in docs],
        "runs": [
            {"style": style, "system": system, "requests": requests(task, shots, style, system)}
            for style in styles
            for system in systems
        ],
    }


def digest(value):
    """Lengths and checksums in the place of texts: those of benchmarks stay out of the repository."""
    if isinstance(value, str):
        return f"{len(value)}:{zlib.crc32(value.encode()):08x}"
    if isinstance(value, (list, tuple)):
        return [digest(one) for one in value]
    if isinstance(value, dict):
        return {key: digest(one) for key, one in value.items()}
    return value


def digest_run(run):
    return {**run, "requests": digest(run["requests"])}


def write(name, cases):
    (HERE / name).write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")


reference = SHARED / "data/lm_eval_ref"
write(
    "reference.json",
    [
        case(name, reference / "tasks" / f"{name}.yaml", reference)
        for name in ("wb_mc_0shot", "wb_mc_5shot", "wb_gen")
    ],
)
write(
    "own.json",
    [
        {key: value if key in ("task", "few_shot") else [digest_run(run) for run in value] if key == "runs" else digest(value)
         for key, value in case(path.stem, path, SHARED, shots).items()}
        for path in sorted((HERE / "tasks").glob("*.yaml"))
        for shots in (None, 2)
    ],
)
native = HERE / "native"
cases = []
for path in sorted(native.glob("*.yaml")):
    # The functions of lm-evaluation-harness itself, under the names that the file has for them.
    family = path.stem.split("_")[0]
    for module in ("utils", "preprocess_winogrande", "preprocess_wikitext"):
        sys.modules.pop(module, None)
        try:
            sys.modules[module] = importlib.import_module(f"lm_eval.tasks.{family}.{module}")
        except ModuleNotFoundError:
            pass
    cases += [case(path.stem, path, native, shots) for shots in (None, 1)]
write("native.json", cases)
print(sys.version.split()[0], file=sys.stderr)
