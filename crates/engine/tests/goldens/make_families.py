"""Makes the small random checkpoints of each model family and the outputs that the engine must reproduce.

`python make_families.py [NAME ...]` writes a folder per checkpoint beside this script: config.json as transformers
saves it, config.v4.json with the older names of the same fields where they differ, safetensors, expected.json and
greedy.json. README.md says what stands in them and which versions made those that are kept.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
    set_seed,
)
from transformers.utils import logging

HERE = Path(__file__).resolve().parent
WINDOW = 16
CONTEXT = 128
LENGTHS = (1, 7, 33, 64, CONTEXT)
GREEDY = 24
LOGITS = 64
STD = 0.2
# No argmax may hang on the last digits of f32.
MARGIN = 1e-2
TRIES = 20

COMMON = {"bos_token_id": 0, "eos_token_id": 1}
DECODER = COMMON | {
    "vocab_size": 256,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "max_position_embeddings": CONTEXT,
}
GROUPED = DECODER | {"num_attention_heads": 4, "num_key_value_heads": 2}
NEOX = DECODER | {"num_attention_heads": 2, "hidden_act": "gelu", "tie_word_embeddings": False}
LLAMA = GROUPED | {"rms_norm_eps": 1e-5, "tie_word_embeddings": False}
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
PARTIAL_ROPE = ROPE | {"partial_rotary_factor": 0.25}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
GPT2 = COMMON | {"vocab_size": 256, "n_positions": CONTEXT, "n_embd": 32, "n_layer": 2, "n_head": 4}

FAMILIES = {
    "gpt2": lambda: GPT2Config(**GPT2),
    # As published: names without "transformer.", causal masks stored as tensors.
    "gpt2_bare_names": lambda: GPT2Config(**GPT2 | {"vocab_size": 160, "n_inner": 32, "n_positions": 100}),
    "gpt_neo": lambda: GPTNeoConfig(
        **COMMON,
        vocab_size=256,
        hidden_size=32,
        intermediate_size=64,
        num_layers=3,
        num_heads=4,
        max_position_embeddings=CONTEXT,
        window_size=WINDOW,
        attention_types=[[["local"], 2], [["global"], 1]],
    ),
    "gpt_neox": lambda: GPTNeoXConfig(**NEOX, use_parallel_residual=True, rope_parameters=dict(PARTIAL_ROPE)),
    "gpt_neox_sequential": lambda: GPTNeoXConfig(
        **NEOX, use_parallel_residual=False, rope_parameters=dict(PARTIAL_ROPE)
    ),
    # As Pythia is published: half precision, causal masks and frequencies stored as tensors.
    "gpt_neox_f16": lambda: GPTNeoXConfig(**NEOX, use_parallel_residual=True, rope_parameters=dict(PARTIAL_ROPE)),
    "llama": lambda: LlamaConfig(**LLAMA, rope_parameters=dict(ROPE)),
    "llama_bf16": lambda: LlamaConfig(**LLAMA | {"tie_word_embeddings": True}, rope_parameters=dict(ROPE)),
    "llama_sharded": lambda: LlamaConfig(**LLAMA, rope_parameters=ROPE | {"rope_theta": 500.0}),
    "llama_rope_llama3": lambda: LlamaConfig(
        **LLAMA | {"num_attention_heads": 2, "num_key_value_heads": 1}, head_dim=16, rope_parameters=dict(LLAMA3_ROPE)
    ),
    "mistral": lambda: MistralConfig(
        **GROUPED, sliding_window=WINDOW, tie_word_embeddings=False, rope_parameters=dict(ROPE)
    ),
    "qwen2": lambda: Qwen2Config(**GROUPED, tie_word_embeddings=True, rope_parameters=ROPE | {"rope_theta": 1e6}),
    "qwen3": lambda: Qwen3Config(
        **GROUPED, head_dim=12, tie_word_embeddings=False, rope_parameters=ROPE | {"rope_theta": 1e6}
    ),
    "gemma3_text": lambda: Gemma3TextConfig(
        **DECODER
        | {
            "vocab_size": 192,
            "intermediate_size": 32,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "bos_token_id": 2,
            "pad_token_id": 0,
        },
        query_pre_attn_scalar=24,
        sliding_window=WINDOW,
        layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
        tie_word_embeddings=True,
        rope_parameters={
            "sliding_attention": dict(ROPE),
            "full_attention": ROPE | {"rope_theta": 1e6},
        },
    ),
}
DTYPES = {"llama_bf16": torch.bfloat16, "gpt_neox_f16": torch.float16}


def main():
    logging.disable_progress_bar()
    names = sys.argv[1:] or list(FAMILIES)
    for name in names:
        # Each has seeds of its own, so that one made again does not depend on the others.
        seeds = range(list(FAMILIES).index(name), TRIES * len(FAMILIES), len(FAMILIES))
        if not any(make(name, seed) for seed in seeds):
            sys.exit(f"{name}: each seed gives an argmax that is too close to the second")


def make(name, seed):
    """Writes one checkpoint and tells whether every argmax in it is clear."""
    set_seed(seed)
    config = FAMILIES[name]()
    config._attn_implementation = "eager"
    dtype = DTYPES.get(name, torch.float32)
    model = AutoModelForCausalLM.from_config(config).eval()
    randomise(model)
    model.to(dtype)

    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    save(model, folder, name)
    write_old_config(folder)

    single = load(folder, torch.float32)
    exact = load(folder, torch.float64)
    check_old_config(folder, single)
    context = config.max_position_embeddings
    cases, margin = [], float("inf")
    for length in LENGTHS:
        ids = torch.randint(0, config.vocab_size, (min(length, context),)).tolist()
        case, distance = expected(exact, single, ids)
        cases.append(case)
        margin = min(margin, distance)
    (folder / "expected.json").write_text(dump_cases(cases))
    prompt = cases[1]["ids"]
    ids, distance = greedy(exact, prompt)
    margin = min(margin, distance)
    (folder / "greedy.json").write_text(json.dumps({"prompt": prompt, "ids": ids}) + "\n")
    size = sum(path.stat().st_size for path in folder.iterdir())
    far = max(case["max_abs_f32_vs_f64"] for case in cases)
    print(f"{name}: {size} bytes, f32 to f64 {far:.1e}, smallest margin of an argmax {margin:.1e}", flush=True)
    return margin >= MARGIN


def load(folder, dtype):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()


def randomise(model):
    """Every weight, bias and norm gets values that matter: nothing may be forgotten without a trace."""
    zero_centred = model.config.model_type == "gemma3_text"
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0.0, STD)
            elif name.endswith("bias"):
                weight.normal_(0.0, 0.15)
            else:
                weight.normal_(0.0 if zero_centred else 1.0, 0.3)


def save(model, folder, name):
    with tempfile.TemporaryDirectory() as scratch:
        limit = "80KB" if name == "llama_sharded" else "10MB"
        model.save_pretrained(scratch, max_shard_size=limit)
        for path in sorted(Path(scratch).iterdir()):
            if path.name != "generation_config.json":
                shutil.copyfile(path, folder / path.name)
    if name == "llama_sharded" and len(list(folder.glob("*.safetensors"))) != 2:
        sys.exit("expected two shards; change the limit")
    weights = folder / "model.safetensors"
    if name == "gpt2_bare_names":
        tensors = {key.removeprefix("transformer."): value for key, value in load_file(weights).items()}
        context = model.config.n_positions
        for layer in range(model.config.n_layer):
            tensors[f"h.{layer}.attn.bias"] = torch.ones(context, context).tril().reshape(1, 1, context, context)
        save_file(tensors, weights, metadata={"format": "pt"})
    if name == "gpt_neox_f16":
        tensors = load_file(weights)
        for layer in range(model.config.num_hidden_layers):
            part = f"gpt_neox.layers.{layer}.attention"
            mask = torch.ones(CONTEXT, CONTEXT, dtype=torch.bool).tril()
            tensors[f"{part}.bias"] = mask.reshape(1, 1, CONTEXT, CONTEXT)
            tensors[f"{part}.masked_bias"] = torch.tensor(-1e9, dtype=torch.float32)
            tensors[f"{part}.rotary_emb.inv_freq"] = model.gpt_neox.rotary_emb.inv_freq.half().clone()
        save_file(tensors, weights, metadata={"format": "pt"})


def write_old_config(folder):
    """The same configuration in the names that checkpoints of transformers 4 carry, where they differ."""
    config = json.loads((folder / "config.json").read_text())
    rope = config.pop("rope_parameters", None)
    if rope is None:
        return
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.51.0"
    layers = config.pop("layer_types", None)
    if config["model_type"] == "gemma3_text":
        config["rope_theta"] = rope["full_attention"]["rope_theta"]
        config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        config["rope_scaling"] = None
        # transformers 5 saves its default here, also where layer_types say otherwise.
        del config["_sliding_window_pattern"]
        config["sliding_window_pattern"] = layers.index("full_attention") + 1
    elif config["model_type"] == "gpt_neox":
        config["rotary_emb_base"] = rope["rope_theta"]
        config["rotary_pct"] = rope["partial_rotary_factor"]
    else:
        config["rope_theta"] = rope.pop("rope_theta")
        config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    (folder / "config.v4.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def check_old_config(folder, model):
    if not (folder / "config.v4.json").exists():
        return
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copytree(folder, scratch, dirs_exist_ok=True)
        shutil.copyfile(folder / "config.v4.json", Path(scratch) / "config.json")
        old = load(scratch, torch.float32)
    ids = torch.arange(60)[None]
    with torch.no_grad():
        if not torch.equal(old(ids).logits, model(ids).logits):
            sys.exit(f"{folder.name}: config.v4.json means another model than config.json")


def expected(exact, single, ids):
    with torch.no_grad():
        out = exact(torch.tensor([ids]), output_hidden_states=True, use_cache=False)
        rounded = single(torch.tensor([ids]), use_cache=False).logits[0]
    logits = out.logits[0]
    logprobs = logits.log_softmax(-1)
    probs = logprobs.exp()
    mean = (probs * logprobs).sum(-1)
    var = (probs * (logprobs - mean[:, None]) ** 2).sum(-1)
    case = {
        "ids": ids,
        "last_logits_f32": floats(rounded[-1, :LOGITS]),
        "last_logits_f64": floats(logits[-1, :LOGITS]),
        "max_abs_f32_vs_f64": float(f"{float((rounded.double() - logits).abs().max()):.3g}"),
        "argmax": int(logits[-1].argmax()),
        "token_logprobs_f64": floats(logprobs[range(len(ids) - 1), ids[1:]]),
        "mean_logprob_f64": floats(mean),
        "var_logprob_f64": floats(var),
    }
    if len(ids) == LENGTHS[1]:
        case["hidden_last_f64"] = [floats(layer[0, -1]) for layer in out.hidden_states]
    return case, gap(logits[-1])


def greedy(model, prompt):
    ids, margin = list(prompt), float("inf")
    with torch.no_grad():
        for _ in range(GREEDY):
            logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
            margin = min(margin, gap(logits))
            ids.append(int(logits.argmax()))
    return ids[len(prompt) :], margin


def gap(logits):
    first, second = logits.topk(2).values.tolist()
    return first - second


def floats(tensor):
    """As many digits as the type has."""
    digits = 9 if tensor.dtype == torch.float32 else 13
    return [float(f"{value:.{digits}g}") for value in tensor.tolist()]


def dump_cases(cases):
    """JSON with a line for each field, so that a change can be read."""
    objects = [",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in case.items()) for case in cases]
    return "[\n" + ",\n".join(f" {{\n{fields}\n }}" for fields in objects) + "\n]\n"


if __name__ == "__main__":
    main()
