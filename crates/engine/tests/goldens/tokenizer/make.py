"""Makes the golden vectors beside this file: small vocabularies, and the ids that the original libraries give.

    python3 -m venv .venv && .venv/bin/pip install sentencepiece==0.2.3 tokenizers==0.23.3
    .venv/bin/python make.py

The corpus is written out here, so the same versions make the same files.
"""

import io
import json
import pathlib

import sentencepiece
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog sleeps on.",
    "A number is only as good as the measurement behind it: 3.14159, 2,718, 1e-9, 100 %.",
    "weights are weighed; the weighbridge weighs the weights of the weighers",
    "def add(a, b):\n    return a + b\n\n\nfor i in range(10):\n\tprint(i)\n",
    "Grüße aus Köln, déjà vu, naïve café, señor, Łódź, Ελληνικά, русский текст, 日本語の文章, 中文, 한국어.",
    "I'm sure you'll see that they've done what we'd said it's worth.",
    "aaaa aaa aa a aaaaaaaa bbb bb b abababab",
    "line one\nline two\r\nline three\n\n  indented    wide   spaces",
] * 4
TEXTS = [
    "", " ", "  ", "   ", "\n", "\t", "\n\n", " \n ", "a", " a", "a ", "  a  b  ", "Hello, world!", "Hello  World",
    "The weighbridge weighs 12345 things.", "it's they've I'M", "aaaaaaaaaaaaa", "abababa", "def f(x):\n    return x\n",
    "Grüße", "日本語", "русский", "한국어", "😀", "👨‍👩‍👧‍👦", "🦙 llama", "\u0000", "\u00a0nbsp", "e\u0301", "ﬁ", "ABC-xyz_123",
    "\r\n", "tab\tseparated\tvalues", "▁", "▁▁a", "a▁b", "<0x41>", "x<s>y", "…—“”", "١٢٣", "½ ⅓ ²", "\u2028line", "🇩🇪",
]


def write(name, content):
    # One line for each entry, so that a difference can be read.
    lines = [f" {json.dumps(key)}: " + (
        "[\n" + ",\n".join("  " + json.dumps(entry, ensure_ascii=True) for entry in value) + "\n ]"
        if key == "vectors" else json.dumps(value, ensure_ascii=True)) for key, value in content.items()]
    (HERE / name).write_text("{\n" + ",\n".join(lines) + "\n}\n")


def sentence_piece(name, add_dummy_prefix):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for text in CORPUS for line in text.splitlines()), model_writer=model,
        vocab_size=480, model_type="bpe", byte_fallback=True, character_coverage=0.98,
        add_dummy_prefix=add_dummy_prefix, remove_extra_whitespaces=False, normalization_rule_name="identity",
        num_threads=1)
    sp = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    kind = lambda i: 2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i) else 1
    ids = range(sp.get_piece_size())
    # Special tokens that are written out are parsed by us and not by sentencepiece, so those texts are left out.
    texts = [text for text in TEXTS if "<s>" not in text]
    write(name, {
        "made_by": f"sentencepiece {sentencepiece.__version__}, by make.py", "model": "llama",
        "add_space_prefix": add_dummy_prefix, "tokens": [sp.id_to_piece(i) for i in ids],
        "scores": [round(sp.get_score(i), 6) for i in ids], "types": [kind(i) for i in ids],
        "vectors": [[text, sp.encode(text)] for text in texts]})


def byte_level(name, pre, steps):
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps + [pre_tokenizers.ByteLevel(False, use_regex=False)])
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    write(name, {
        "made_by": f"tokenizers {tokenizers.__version__}, by make.py", "model": "gpt2", "pre": pre, "tokens": tokens,
        "types": [3 if token == "<|endoftext|>" else 1 for token in tokens],
        "merges": [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]],
        "vectors": [[text, tokenizer.encode(text, add_special_tokens=False).ids] for text in TEXTS]})


def split(expression):
    return pre_tokenizers.Split(tokenizers.Regex(expression), "isolated")


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|"
         r"\s+")
sentence_piece("spm.json", True)
sentence_piece("spm-plain.json", False)
byte_level("gpt-2.json", "gpt-2", [split(GPT2)])
byte_level("smollm.json", "smollm", [split(r"\p{N}"), split(GPT2)])
byte_level("qwen2.json", "qwen2", [split(QWEN2)])
