#!/usr/bin/env python3
"""Writes golden.json: what lm_eval 0.4.13 itself makes of awkward samples.

    /opt/wb-peers/venv/bin/python crates/run/tests/lm_eval_scoring/make_golden.py

Filters and metrics run through lm_eval's own classes (build_filter_ensemble, ConfigurableTask.process_results,
_compute_task_aggregations, Group.aggregate's functions); nothing is computed here.
"""

import json
import os
import random
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

os.environ["DISABLE_MULTIPROC"] = "1"

import numpy as np
from lm_eval.api import metrics as M
from lm_eval.api.registry import get_aggregation, get_metric, get_metric_aggregation
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator_utils import _compute_task_aggregations
from lm_eval.filters import build_filter_ensemble
from lm_eval.tasks.truthfulqa.utils import process_results_mc2

rng = random.Random(7)


def pipelines(filters):
    return [
        build_filter_ensemble(
            f["name"], [[s["function"], {k: v for k, v in s.items() if k != "function"}] for s in f["steps"]]
        )
        for f in filters
    ]


def task(output_type, metric_list, **attributes):
    """A ConfigurableTask without its data set: only what process_results reads."""
    t = ConfigurableTask.__new__(ConfigurableTask)
    t._config = SimpleNamespace(process_results=None, doc_to_choice=None, task="golden")
    t.OUTPUT_TYPE = output_type
    t.multiple_input = 0
    t.multiple_target = 0
    t._metric_fn_list, t._metric_fn_kwargs, t._aggregation_list, t._higher_is_better = {}, {}, {}, {}
    for m in metric_list:
        name = m["metric"]
        t._metric_fn_list[name] = get_metric(name)
        t._metric_fn_kwargs[name] = dict(m.get("options", {}))
        agg = m.get("aggregation")
        t._aggregation_list[name] = get_aggregation(agg) if agg else get_metric_aggregation(name)
    for k, v in attributes.items():
        setattr(t, k, v)
    return t


ConfigurableTask.config = property(lambda self: self._config)


def plain(x):
    if isinstance(x, dict):
        return {str(k): plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    if isinstance(x, np.ndarray):
        return [plain(v) for v in x.tolist()]
    if isinstance(x, np.generic):
        return x.item()
    return x


TEXTS = [
    "The answer is 5.\n#### 5",
    "#### 1,234.50 #### -7",
    "no number at all",
    "",
    "  $12.50 and 3 ",
    "Ответ — 42. é½ ٣",
    "[invalid]",
    "(B) because (A) is wrong",
    "The answer is Guilty of Romance, not Guilty",
    "answer:  C",
    "Answer:\u3000D.",
    "naïve CAFÉ\u2029 ok\x1f",
    "yes Yes YES, no",
    "कि क \u200d and word_word",
    "[('I', 'PRON'), ('run', 'VERB')]",
    "A\0",
    "a.b.c. 1..2,,3",
    "The answer is 7\n",
    "The answer is (a).\r\nThe answer is (b).",
    "İstanbul ẞ ﬁ Σας",
    "5", "2", "1.",
]

PIPELINES = [
    [{"function": "regex", "regex_pattern": r"#### (\-?[0-9\.\,]+)"}, {"function": "take_first"}],
    [{"function": "regex", "group_select": -1, "regex_pattern": r"(-?[$0-9.,]{2,})|(-?[0-9]+)"}, {"function": "take_first"}],
    [{"function": "regex", "group_select": 0, "regex_pattern": r"(-?[$0-9.,]{2,})|(-?[0-9]+)", "fallback": ""}, {"function": "take_first"}],
    [{"function": "regex", "regex_pattern": r"((?<=The answer is )(.*)(?=.)|(?<=answer is \()(.*)(?=.))"}, {"function": "take_first"}],
    [{"function": "regex", "regex_pattern": r"\b(Yes|No|yes|no)\b", "group_select": -1}, {"function": "take_first"}],
    [{"function": "regex", "regex_pattern": r"\b\w+\b", "group_select": -1}, {"function": "take_first"}],
    [{"function": "regex", "regex_pattern": r"\w+$"}, {"function": "take_first"}],
    [{"function": "regex", "regex_pattern": r"\S+\Z"}, {"function": "take_first"}],
    [{"function": "regex", "regex_pattern": r"(?i)(?P<x>[a-hé]+)\W"}, {"function": "take_first"}],
    [{"function": "regex", "regex_pattern": r"[^\W\d_]{2,}"}, {"function": "take_first"}],
    [{"function": "regex", "regex_pattern": r"^\s*([A-D])"}, {"function": "take_first"}],
    [{"function": "regex", "regex_pattern": r"(?=(answer|and))"}, {"function": "take_first"}],
    [{"function": "regex", "regex_pattern": r"x*", "group_select": -1}, {"function": "take_first"}],
    [{"function": "regex", "regex_pattern": r"(?<= )([\" \[\(<{}>\)\]]+)|([\" \[\(<{}>\)\]]+)"}, {"function": "take_first"}],
    [{"function": "regex", "regex_pattern": "[0-9]+"}, {"function": "take_first"}, {"function": "map", "mapping_dict": {"5": "five", "1": "one", "4": "four"}, "default_value": "none"}, {"function": "take_first"}],
    [{"function": "remove_whitespace"}, {"function": "take_first"}],
    [{"function": "lowercase"}, {"function": "take_first"}],
    [{"function": "uppercase"}, {"function": "remove_whitespace"}, {"function": "take_first"}],
    [{"function": "map", "mapping_dict": {"5": 5, "2": "two"}, "default_value": "-"}, {"function": "take_first"}],
    [{"function": "regex_pos"}, {"function": "take_first"}],
    [{"function": "take_first"}],
    [{"function": "take_first_k", "k": 1}, {"function": "regex", "regex_pattern": "[0-9]"}, {"function": "majority_vote"}, {"function": "take_first"}],
    [{"function": "multi_choice_regex", "regex_pattern": r"(\([A-Z]\))", "group_select": 0}, {"function": "take_first"}],
    [{"function": "multi_choice_regex", "regex_pattern": r"(\([A-Z]\))", "group_select": -1, "ignore_case": True, "ignore_punctuation": True}, {"function": "take_first"}],
    [{"function": "multi_choice_regex", "regex_pattern": "zzz", "ignore_case": True, "regexes_to_ignore": ["the ", "\\."]}, {"function": "take_first"}],
]
CHOICES = ["Guilty", "Guilty of Romance", "The answer", "é½", "no"]


def filters_golden():
    out = []
    for steps in PIPELINES:
        (e,) = pipelines([{"name": "f", "steps": steps}])
        instances = [SimpleNamespace(resps=[t], doc={"choices": CHOICES}, filtered_resps={}) for t in TEXTS]
        e.apply(instances)
        out.append({"steps": steps, "filtered": [plain(i.filtered_resps["f"]) for i in instances]})
    votes = []
    for resps in [["a 1", "b 2", "c 2"], ["1", "2"], ["x", "y", "3"], ["3", "x", "x"]]:
        steps = [{"function": "regex", "regex_pattern": "[0-9]"}, {"function": "majority_vote"}, {"function": "take_first"}]
        (e,) = pipelines([{"name": "f", "steps": steps}])
        i = SimpleNamespace(resps=resps, doc={}, filtered_resps={})
        e.apply([i])
        votes.append({"steps": steps, "texts": resps, "filtered": i.filtered_resps["f"]})
    return {"texts": TEXTS, "choices": CHOICES, "pipelines": out, "votes": votes}


def aggregated(t, items, iters=2000):
    """items: {metric: [value]} -> lm_eval's numbers."""
    numbers, n = _compute_task_aggregations(t, {(k, "none"): v for k, v in items.items()}, iters)
    return {k: (None if v == "N/A" else float(v)) for k, v in numbers.items()}


def exact_golden():
    options = [
        {},
        {"ignore_case": True},
        {"ignore_punctuation": True},
        {"ignore_case": True, "ignore_punctuation": True, "ignore_numbers": True},
        {"regexes_to_ignore": [",", "\\$", "(?s).*#### ", "\\.$"]},
        {"regexes_to_ignore": ["\\s+", "\\b(the|a)\\b"], "ignore_case": True},
    ]
    pairs = [
        ("5", ["5"]), ("5.", ["5"]), ("$1,234", ["#### 1234"]), ("A\0", ["A"]), ("a ", ["a"]), ("", [""]),
        ("The Cat", ["cat"]), ("Straße", ["STRASSE"]), ("é", ["É"]), ("a1b2", ["AB"]), ("x!y?", ["xy"]),
        ("«x»", ["x"]), ("no", ["yes", "no"]), ("NO.", ["yes", "no", "maybe"]), ("1.\n", ["1"]), ("٣", [""]),
        ("the क", ["क"]), ("[invalid]", ["[invalid]"]),
    ]
    out = []
    for o in options:
        values = []
        for pred, targets in pairs:
            t = task("generate_until", [{"metric": "exact_match", "options": o}], multiple_target=len(targets) > 1 and len(targets))
            t.doc_to_target = lambda doc: doc["t"]
            doc = {"t": targets if len(targets) > 1 else targets[0]}
            values.append(float(t.process_results(doc, [pred])["exact_match"]))
        t = task("generate_until", [{"metric": "exact_match"}])
        out.append({"options": o, "values": values, "aggregate": aggregated(t, {"exact_match": values})})
    return {"pairs": [[p, t] for p, t in pairs], "cases": out}


def choice_golden():
    names = ["acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match"]
    samples, rows = [], defaultdict(list)
    for i in range(40):
        choices = [["yes", "ﬁne é", "no no no", "日本語"], ["a", "bb", "ccc"], ["A", "B"], ["x y z", "x"]][i % 4]
        lls = [(round(rng.uniform(-9, -0.1), 3), rng.random() < 0.3) for _ in choices]
        alone = [(round(rng.uniform(-9, -0.1), 3), False) for _ in choices]
        if i == 5:
            lls = [(-2.0, False)] * len(choices)
        gold = rng.randrange(len(choices))
        if i == 7:
            gold = 17
        if i % 10 == 9:
            gold = [0, 1]
        t = task("multiple_choice", [{"metric": n} for n in names], multiple_target=2 if isinstance(gold, list) else 0)
        if isinstance(gold, list):
            del t._metric_fn_list["acc_mutual_info"]
        t.doc_to_choice = lambda doc: choices
        t.doc_to_target = lambda doc: gold
        r = t.process_results({}, lls + (alone if not isinstance(gold, list) else []))
        for k, v in r.items():
            rows[k].append(v)
        g = gold if isinstance(gold, list) else [gold]
        samples.append({"choices": choices, "logprobs": lls + alone, "gold": [x if x < len(choices) else -100 for x in g], "values": plain(r)})
    t = task("multiple_choice", [{"metric": n} for n in names])
    return {"samples": samples, "aggregate": aggregated(t, rows)}


def classes_golden(k, metrics):
    samples, rows = [], defaultdict(list)
    for _ in range(60):
        choices = ["no", "yes", "maybe"][:k]
        gold = rng.randrange(k)
        lls = [(round(rng.uniform(-5, -0.1) + (1.5 if j == gold else 0), 3), False) for j in range(k)]
        t = task("multiple_choice", [{"metric": n} for n in metrics])
        t.doc_to_choice = lambda doc: choices
        t.doc_to_target = lambda doc: gold
        r = t.process_results({}, lls)
        for key, v in r.items():
            rows[key].append(v)
        samples.append({"choices": choices, "logprobs": lls, "gold": [gold]})
    t = task("multiple_choice", [{"metric": n} for n in metrics])
    return {"samples": samples, "metrics": metrics, "aggregate": aggregated(t, rows)}


def likelihood_golden():
    samples, rows = [], defaultdict(list)
    t = task("loglikelihood", [{"metric": "perplexity"}, {"metric": "acc"}])
    for _ in range(50):
        one = (round(rng.uniform(-12, -0.01), 3), rng.random() < 0.4)
        for k, v in t.process_results({}, [one]).items():
            rows[k].append(v)
        samples.append(one)
    rolling, rows2 = [], defaultdict(list)
    t2 = task("loglikelihood_rolling", [{"metric": m} for m in ["word_perplexity", "byte_perplexity", "bits_per_byte"]])
    for text in ["a b c", " leading and trailing \n", "日本語 テキスト", "one"]:
        ll = round(rng.uniform(-90, -5), 3)
        t2.doc_to_target = lambda doc: text
        r = t2.process_results({}, [ll])
        for k, v in r.items():
            rows2[k].append(v)
        rolling.append({"text": text, "logprob": ll, "words": r["word_perplexity"][1], "bytes": r["byte_perplexity"][1]})
    return {"samples": samples, "aggregate": aggregated(t, rows), "rolling": rolling, "rolling_aggregate": aggregated(t2, rows2)}


def translation_golden():
    pairs = [
        ("The cat sat on the mat.", "The cat sat on the mat."),
        ("the the the the the the the", "The cat is on the mat."),
        ("It's 3.5% of $1,000, isn't it?", "It is 3.5 % of $ 1,000 , is n't it ?"),
        ("", "An empty answer."),
        ("Naïve café — déjà-vu 12-13 a-\nb", "Naïve café - déjà vu 12-13 ab"),
        ("&quot;AT&amp;T&quot; &lt;b&gt; <skipped>x", "\"AT&T\" <b> x"),
        ("日本語 の テスト。", "日本語のテスト。"),
        ("(hi) [there] 'you' ... a.b 1.2.3, 4,5", "(hi there) you... a. b 1.2.3 , 4,5"),
        ("short", "a much longer reference than the answer, which costs brevity"),
        ("x", ""),
    ]
    names = ["bleu", "chrf", "chrf++"]
    out = {"pairs": pairs, "single": []}
    t = task("generate_until", [{"metric": n} for n in names])
    rows = defaultdict(list)
    for pred, gold in pairs:
        t.doc_to_target = lambda doc: gold
        r = t.process_results({}, [pred])
        for k, v in r.items():
            rows[k].append(v)
        out["single"].append({k: float(get_aggregation(k)([v])) for k, v in r.items()})
    out["aggregate"] = aggregated(t, rows)
    # Several references, as sacrebleu itself scores them.
    several = [("the cat is here", ["the cat was there", "a cat is here now"]), ("no dogs", ["no dog", "not a dog"])]
    items = [(refs, pred) for pred, refs in several]
    out["several"] = {"pairs": several, **{n: float(get_aggregation(n)(items)) for n in names}}
    return out


def mean_golden():
    values = [round(rng.gauss(0.4, 0.3), 6) for _ in range(101)]
    out = {"values": values}
    for n in ["mean", "median", "nanmean"]:
        t = task("multiple_choice", [{"metric": "acc", "aggregation": n}])
        out[n] = aggregated(t, {"acc": values})
    t = task("multiple_choice", [{"metric": "acc"}])
    out["one"] = aggregated(t, {"acc": [0.5]})
    parts = [(0.61, 0.02, 120), (0.4, 0.05, 33), (0.9, 0.1, 7)]
    v, s, n = zip(*parts)
    out["group"] = {
        "parts": parts,
        "weighted": [float(M.aggregate_subtask_metrics(v, n, True)), float(M.pooled_sample_stderr(s, n))],
        "plain": [float(M.aggregate_subtask_metrics(v, n, False)), float(M.unweighted_mean_stderr(s))],
    }
    return out


def mc2_golden():
    out = []
    for n in [2, 5, 9]:
        lls = [(round(rng.uniform(-60, -1), 3), False) for _ in range(n)]
        labels = [1] + [rng.randrange(2) for _ in range(n - 1)]
        r = process_results_mc2({"mc2_targets": {"labels": labels}}, lls)
        out.append({"logprobs": lls, "labels": labels, "value": float(r["acc"])})
    return out


def math_golden():
    from lm_eval.tasks.hendrycks_math.utils import process_results

    pairs = [
        ("The answer is $\\frac12$.", "so $\\boxed{\\frac{1}{2}}$"), ("1/2", "\\boxed{\\frac{1}{2}}"),
        ("0.5", "\\boxed{\\dfrac12}"), (".5", "\\boxed{0.5}"), ("x = 7", "\\boxed{7}"), ("x=7", "\\boxed{7}"),
        ("abc=7", "\\boxed{7}"), ("a/b", "\\boxed{a/b}"), ("a / b", "\\boxed{a/b}"), ("01/2", "\\boxed{\\frac{1}{2}}"),
        ("-1/2", "\\boxed{-\\frac{1}{2}}"), ("-1/2", "\\boxed{\\frac{-1}{2}}"), ("\\sqrt3", "\\boxed{\\sqrt{3}}"),
        ("\\sqrt", "\\boxed{\\sqrt}"), ("\\frac1{72}", "\\boxed{\\frac{1}{72}}"), ("\\frac1", "\\boxed{\\frac1}"),
        ("5 \\text{ cm}", "\\boxed{5}"), ("\\text{ a}\\text{ b}", "\\boxed{\\text{ a}\\text{ b}}"),
        ("90^\\circ", "\\boxed{90}"), ("50\\%", "\\boxed{50}"), ("\\left(1,2\\right)", "\\boxed{(1, 2)}"),
        ("$", "\\boxed{}"), ("$$", "\\boxed{}"), ("", "\\boxed{}"), ("3 $ 4 $ 5 $ 6", "\\boxed 4 $"),
        ("{1}", "\\boxed{\\boxed{1}}"), ("é", "\\boxed{\\text{é}}"), ("1_0/2", "\\boxed{1_0/2}"), ("2", "\\boxed{1} or \\boxed{2}"),
    ]
    return [{"answer": a, "solution": s, "value": process_results({"solution": s}, [a])["exact_match"]} for a, s in pairs]


golden = {
    "filters": filters_golden(),
    "exact": exact_golden(),
    "choice": choice_golden(),
    "two_classes": classes_golden(2, ["f1", "mcc", "brier_score"]),
    "three_classes": classes_golden(3, ["mcc", "brier_score"]),
    "likelihood": likelihood_golden(),
    "translation": translation_golden(),
    "mean": mean_golden(),
    "mc2": mc2_golden(),
    "math": math_golden(),
}
path = Path(__file__).with_name("golden.json")
path.write_text(json.dumps(golden, ensure_ascii=True, separators=(",", ":")) + "\n")
print(path, path.stat().st_size)
