"""Peer of the engine's scoring bench: lm-evaluation-harness with transformers on the CPU.

Times HFLM.loglikelihood alone on the requests that lm-eval itself makes of a reference task; loading the model, reading
the task and two requests as a warm-up are left out. Prints one JSON object; CPU seconds are user and system time of
this process. One thread on one core unless told otherwise:

    python bench_lm_eval.py MODEL_FOLDER 0shot --batch 8 --core 0
    python bench_lm_eval.py MODEL_FOLDER 5shot --batch 8 --docs 20 --core 0
"""

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("WEIGHBRIDGE_SHARED", ROOT.parent / "shared"))
WARM_UP = 2


def main():
    options = arguments()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    # All of these are read when the packages are loaded.
    os.environ.update(OMP_NUM_THREADS=str(options.threads), TOKENIZERS_PARALLELISM="false")
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["HF_DATASETS_CACHE"] = cache
        print(json.dumps(bench(options)))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a checkpoint, as dequantise.py makes it")
    parser.add_argument("task", choices=["0shot", "5shot"])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--docs", type=int, help="only the first so many; default: all 500")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--core", type=int, help="run on this core only")
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "lm_eval_ref", help="folder of tasks/ and data/")
    options = parser.parse_args()
    options.model = options.model.resolve()
    if options.core is not None and options.threads > 1:
        parser.error("several threads do not fit on one core; leave --core or --threads out")
    return options


def bench(options):
    from importlib.metadata import version

    import torch
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(options.threads)
    model = HFLM(pretrained=str(options.model), dtype=options.dtype, device="cpu", batch_size=options.batch)
    docs, requests = read_requests(options)
    model.loglikelihood(requests[:WARM_UP], disable_tqdm=True)

    tokens = 0

    def count(_module, inputs, named):
        nonlocal tokens
        ids = inputs[0] if inputs else named["input_ids"]
        tokens += ids.numel()

    model.model.register_forward_pre_hook(count, with_kwargs=True)
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    answers = model.loglikelihood(requests, disable_tqdm=True)
    wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "task": options.task,
        "model": options.model.name,
        "dtype": options.dtype,
        "batch": options.batch,
        "threads": options.threads,
        "docs": docs,
        "requests": len(requests),
        # As computed: padding is in, contexts that lm-eval shares between choices are counted once.
        "tokens": tokens,
        "cpu_s": round(cpu, 3),
        "wall_s": round(wall, 3),
        "docs_per_cpu_s": round(docs / cpu, 4),
        "peak_rss_mb": round(after.ru_maxrss / 1024, 1),
        "sum_logprob": round(sum(logprob for logprob, _ in answers), 4),
        "versions": {name: version(name) for name in ("lm_eval", "transformers", "torch")},
    }


def read_requests(options):
    """The number of documents and lm-eval's own requests for them, in its order."""
    from lm_eval.tasks import TaskManager

    # The tasks name their data relative to this folder.
    os.chdir(options.data)
    name = f"wb_mc_{options.task}"
    manager = TaskManager(include_path="tasks", include_defaults=False)
    task = manager.load(name)["tasks"][name]
    task.build_all_requests(limit=options.docs, rank=0, world_size=1)
    return len({request.doc_id for request in task.instances}), task.instances


if __name__ == "__main__":
    main()
