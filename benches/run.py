"""Runs one benchmark, with its peer where it has one, and prints the figures: `python benches/run.py NAME`.

Peers run in the interpreter that runs this script (see README.md for its set-up); cold, contrast and build need
nothing beyond Python, and engine and api go on without a peer that is not there. Runs are interleaved, so that both
sides meet the same machine. Figures are the median with the smallest and the largest in brackets; CPU seconds are user
and system together, of every thread. Linux only.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("WEIGHBRIDGE_SHARED", ROOT.parent / "shared"))
PEERS = ROOT / "benches" / "peers"
DRAWS = 500


class Run(NamedTuple):
    """One process from start to end."""

    wall: float
    cpu: float
    peak_mb: float
    out: str


def run(*command, cwd=ROOT, errors=None, **variables):
    """Runs a command to its end and measures it; its standard error is passed on, or goes to `errors`."""
    command = [str(part) for part in command]
    with tempfile.TemporaryFile("w+") as out:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=errors, cwd=cwd, env=os.environ | variables)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            if errors:
                print(Path(errors.name).read_text(encoding="utf-8", errors="replace"), file=sys.stderr)
            sys.exit(f"{' '.join(command)} ended with {process.returncode}")
        out.seek(0)
        return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, out.read())


KEPT = tempfile.TemporaryDirectory()


def built(*command):
    """Builds with cargo and returns the path of a copy of the executable.

    A copy, because another build in the same target directory would change what is measured halfway through.
    """
    lines = run("cargo", *command, "--message-format=json").out.splitlines()
    executables = [json.loads(line).get("executable") for line in lines]
    return shutil.copy2([path for path in executables if path][-1], KEPT.name)


def peer(script, *arguments):
    """Runs a peer and returns its report. Extra threads of numeric libraries would only spin."""
    return json.loads(run(sys.executable, PEERS / script, *arguments, OMP_NUM_THREADS="1").out)


def reference(name):
    path = SHARED / "data" / "reference" / name
    if not path.exists():
        sys.exit(f"no reference data at {path}; put them there or set WEIGHBRIDGE_SHARED")
    return path


def spread(values, unit="", digits=3):
    """Median with minimum and maximum, to some significant digits."""
    figures = (statistics.median(values), min(values), max(values))
    middle, low, high = (f"{v:.0f}" if v >= 10**digits else f"{v:.{digits}g}" for v in figures)
    return f"{middle} [{low}, {high}]{unit}"


def say(what, figure):
    print(f"  {what:<58} {figure}", flush=True)


def machine():
    """The machine and how busy it is: a figure means nothing without them."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    megahertz = next((f", {float(line.split(':')[1]):.0f} MHz" for line in lines if line.startswith("cpu MHz")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    day = time.strftime("%Y-%m-%d")
    print(f"{day}: {os.cpu_count()} cores ({model}{megahertz}), {memory:.0f} GiB, load {load:.1f} before the runs")


def index(args):
    """Index fit and 500 bootstrap draws against scipy least_squares, in both of its settings."""
    data = reference("eci_2026-08-11/eci_benchmarks.csv")
    ours = built("bench", "-p", "weighbridge-gap", "--bench", "index", "--no-run")
    settings = {"scipy, its fastest setting": [], "scipy, the published setting": ["--unscaled"]}
    seconds, walls, ends = [], [], set()
    theirs, ratios = ({name: [] for name in settings} for _ in range(2))
    for _ in range(args.repeats):
        for name, options in settings.items():
            report = json.loads(run(ours, DRAWS).out)
            seconds.append(report["fit_cpu_s"] + report["draws_cpu_s"])
            walls.append(report["wall_s"])
            ends.add(f"objective {report['cost']}, {report['failed']} draws failed")
            off = report["off"]
            report = peer("index_scipy.py", data, "--draws", args.peer_draws, *options)
            theirs[name].append(report["fit_cpu_s"] + report["draws_cpu_s"] * DRAWS / args.peer_draws)
            ratios[name].append(theirs[name][-1] / seconds[-1])
    say(f"ours: fit and {DRAWS} draws, CPU", spread(seconds, " s"))
    say(f"ours: the same, wall on {os.cpu_count()} cores", spread(walls, " s"))
    say("ours: at the end", "; ".join(sorted(ends)))
    if off:
        say("ours: draws off the minimum, points", ", ".join(f"{name} {value:.1g}" for name, value in off.items()))
    scaled = "" if args.peer_draws == DRAWS else f", {args.peer_draws} draws times {DRAWS / args.peer_draws:g}"
    for name in settings:
        say(f"{name}: CPU{scaled}", spread(theirs[name], " s"))
        say(f"{name}: CPU ratio", spread(ratios[name], " times"))


def votes(args):
    """Bradley-Terry ratings with sandwich intervals against the package arena-rank."""
    data, table = reference("chatbotarena_20240814.json"), reference("bt_reference_20240814.csv")
    ours = built("bench", "-p", "weighbridge-stats", "--bench", "votes", "--no-run")
    settings = {"defaults": [], "tight": ["--tolerance", "1e-15", "--hessian-ridge", "1e-8"]}
    variants = {"as it comes": "warm_cpu_s", "compiled code cached": "warm_cached_compile_cpu_s"}
    first, warm, differences = [], [], {}
    theirs = {(setting, variant): [] for setting in settings for variant in variants}
    ratios = {key: [] for key in theirs}
    for _ in range(args.repeats):
        for setting, options in settings.items():
            report = json.loads(run(ours, 100).out)
            first.append(report["first_cpu_s"])
            warm.append(report["warm_cpu_s"])
            differences["ours"] = report["max_difference"]
            report = peer("bradley_terry_arena_rank.py", data, "--reference", table, *options)
            differences[f"arena-rank, {setting}"] = report["max_difference"]
            for variant, key in variants.items():
                theirs[setting, variant].append(report[key])
                ratios[setting, variant].append(report[key] / warm[-1])
    say("ours: fit with intervals, warm, CPU", spread(warm, " s"))
    say("ours: the first fit of a process, CPU", spread(first, " s"))
    for (setting, variant), seconds in theirs.items():
        say(f"arena-rank, {setting}, {variant}: warm, CPU", spread(seconds, " s"))
        say(f"arena-rank, {setting}, {variant}: CPU ratio", spread(ratios[setting, variant], " times"))
    for name, found in differences.items():
        off = f"rating {found['rating']:.1e}, standard error {found['se']:.1e}"
        say(f"{name}: largest difference from the reference", off)


def cold(args):
    """The whole process of `gap` in the profile of the README's command."""
    binary = built("build", "--workspace", "--bin", "weighbridge")
    gap = ["gap", "--from", "snapshot"]
    commands = {
        f"gap, {DRAWS} fresh draws": [*gap, "--no-cache"],
        f"gap, {DRAWS} fresh draws, then kept": gap,
        f"gap, {DRAWS} cached draws": gap,
        f"gap --format json, {DRAWS} cached draws": [*gap, "--format", "json"],
        "gap --draws 20, the fewest, fresh": [*gap, "--draws", "20", "--no-cache"],
        "--version, the floor": ["--version"],
    }
    fresh, kept, cached, *_ = commands
    runs = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as home:
        # Nothing of the user's own cache or lake, and of the cache only what this bench puts there.
        places = {name: home for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
        for _ in range(args.repeats):
            for name, arguments in commands.items():
                if name == kept:
                    shutil.rmtree(Path(home, "weighbridge"), ignore_errors=True)
                runs[name].append(run(binary, *arguments, **places))
    if len({r.out for name in (fresh, kept, cached) for r in runs[name]}) != 1:
        sys.exit("cached and fresh draws give different reports")
    for name, of in runs.items():
        say(f"{name}: wall", spread([r.wall for r in of], " s"))
        say(f"{name}: CPU", spread([r.cpu for r in of], " s"))
        say(f"{name}: peak memory", spread([r.peak_mb for r in of], " MiB"))
    ratios = [a.wall / b.wall for a, b in zip(runs[fresh], runs[cached])]
    say("fresh over cached: wall", spread(ratios, " times"))


COMPARE = ["compare", "model-a", "model-b", "--benchmark", "synthetic", "--format", "json"]
# Decodes the columns that a contrast reads and only adds them up: what reading alone costs.
SCAN = """SELECT sum(octet_length(sample)), sum(epoch), sum(octet_length("group")), count(state), sum(score),
sum(cost_usd), sum(output_chars) FROM samples"""
# More than a lake takes, with room for the files of its making.
BYTES_A_ROW = 40


def contrast(args):
    """Paired contrasts of two models in lakes of growing size, beside a plain scan of the same columns."""
    binary = built("build", "--workspace", "--bin", "weighbridge")
    make = built("build", "--workspace", "--example", "synthetic_lake")
    for rows in args.rows:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            free = shutil.disk_usage(folder).free
            if free < rows * BYTES_A_ROW:
                sys.exit(f"{rows} rows need up to {rows * BYTES_A_ROW / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")
            lake = Path(folder) / "lake"
            making = run(make, lake, rows)
            size = sum(file.stat().st_size for file in lake.rglob("*") if file.is_file())
            compares, scans = [], []
            for _ in range(args.repeats):
                compares.append(run(binary, "--lake", lake, *COMPARE))
                scans.append(run(binary, "--lake", lake, "lake", "sql", SCAN))
            found = json.loads(compares[0].out)
        print(f" {rows:,} rows, {found['n']:,} pairs, {size / rows:.1f} bytes a row")
        made = f"{making.wall:.2f} s, {making.cpu:.2f} s, {making.peak_mb:.0f} MiB"
        say("making the lake: wall, CPU, peak memory", made)
        for name, of in (("compare", compares), ("scan of the same columns", scans)):
            say(f"{name}: wall", spread([r.wall for r in of], " s"))
            say(f"{name}: CPU", spread([r.cpu for r in of], " s"))
            say(f"{name}: peak memory", spread([r.peak_mb for r in of], " MiB"))
        say("compare: wall for a million rows", spread([r.wall / rows * 1e6 for r in compares], " s"))
        say("compare over scan: CPU", spread([a.cpu / b.cpu for a, b in zip(compares, scans)], " times"))


def build(args):
    """A fresh clone with an empty cargo cache to its first answer, then rebuilds after a changed line in `gap`."""
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        clone = Path(folder) / "clone"
        run("git", "clone", "--quiet", ROOT, clone)
        empty = {"CARGO_HOME": f"{folder}/cargo", "CARGO_TARGET_DIR": f"{folder}/target"}
        first = run("cargo", "run", "--quiet", "--", "gap", cwd=clone, **empty)
        say("fresh clone to first answer: wall, CPU", f"{first.wall:.0f} s, {first.cpu:.0f} s")
        size = sum(file.stat().st_size for file in Path(folder, "target").rglob("*") if file.is_file())
        say("target directory", f"{size / 2**30:.1f} GiB")
        again = []
        for change in range(args.repeats):
            with open(clone / "crates" / "gap" / "src" / "lag" / "mod.rs", "a", encoding="utf-8") as source:
                source.write(f"/** A changed line. */ pub const CHANGE_{change}: usize = {change};\n")
            again.append(run("cargo", "build", "--quiet", cwd=clone, **empty))
    say("rebuild after a changed line in gap: wall", spread([r.wall for r in again], " s"))
    say("rebuild after a changed line in gap: CPU", spread([r.cpu for r in again], " s"))


# What the server must answer in a second by itself, so that clients are not measured by it.
MOCK_RATE = 10_000
MANY = 500_000


def api(args):
    """Chat requests to a server here that answers at once, beside other clients; --memory for ours with many more."""
    sys.path.insert(0, str(PEERS / "api"))
    import clients

    mock = built("build", "-p", "weighbridge-api", "--bench", "mock")
    binary = built("build", "-p", "weighbridge")
    for connections in args.concurrency:
        with clients.Mock(mock) as server:
            rate = clients.raw_rate(server.url, 4 * args.requests, connections)
        say(f"the server alone, {connections} connections", f"{rate:.0f} requests/s")
        if rate < MOCK_RATE:
            print(f"  the server is too slow: it would be measured, not the clients; {MOCK_RATE} expected")
    # The first is what others are compared with: none of them keeps answers for a later run either.
    all_of = {
        "ours, no cache": lambda place: clients.ours(binary, place, "--no-cache"),
        "ours, cache filled": lambda place: clients.ours(binary, place),
    }
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        requests = Path(folder) / "requests.jsonl"

        def once(client, concurrency, count):
            # Removed at the end, not after each run: ext4 passes over every file number that was freed lately, which
            # makes new files, and so the cache of the next run, up to twice as dear.
            own = Path(tempfile.mkdtemp(dir=folder))
            with clients.Mock(mock) as server:
                place = clients.Place(server.url, requests, concurrency, own)
                asking = client(place)
                with open(own / "stderr", "w", encoding="utf-8") as errors:
                    process = run(*asking.command, errors=errors, cwd=own, **clients.variables_of(asking, place))
            if server.answered != count:
                sys.exit(f"{asking.command[0]} made {server.answered} requests of {count}")
            return process

        def figures(name, of, count):
            say(f"{name}: CPU", spread([r.cpu for r in of], " s"))
            say(f"{name}: wall", spread([r.wall for r in of], " s"))
            say(f"{name}: requests a second, the whole process", spread([count / r.wall for r in of]))
            say(f"{name}: peak memory", spread([r.peak_mb for r in of], " MiB"))

        if args.memory:
            for count in (args.requests, MANY):
                clients.write_requests(requests, count)
                for name, client in all_of.items():
                    for concurrency in args.concurrency:
                        runs = [once(client, concurrency, count)]
                        figures(f"{name}, {count} at {concurrency}", runs, count)
            return
        clients.write_requests(requests, args.requests)
        for name, peer_of in clients.PEERS.items():
            start = clients.Place("", requests, 1, Path(folder))
            found = peer_of(args.peers, start)
            if name in (args.only or clients.PEERS) and installed(*found.present, hint=found.hint):
                all_of[name] = lambda place, peer_of=peer_of: peer_of(args.peers, place)
        runs = {(name, concurrency): [] for concurrency in args.concurrency for name in all_of}
        for _ in range(args.repeats):
            for name, concurrency in runs:
                runs[name, concurrency].append(once(all_of[name], concurrency, args.requests))
    for (name, concurrency), of in runs.items():
        figures(f"{name}, {concurrency} at once", of, args.requests)
    first = next(iter(all_of))
    for (name, concurrency), of in runs.items():
        if name != first:
            mine = runs[first, concurrency]
            cpu = spread([b.cpu / a.cpu for a, b in zip(mine, of)], " times")
            rate = spread([b.wall / a.wall for a, b in zip(mine, of)], " times")
            say(f"{name} over {first}, {concurrency} at once: CPU; wall", f"{cpu}; {rate}")


MODELS = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "weighbridge" / "models"
MODELS = Path(os.environ.get("WEIGHBRIDGE_MODELS", MODELS))
SMOLLM = "SmolLM2-135M-Instruct"
KINDS = ("Q4_1", "F32", "BF16")
# Multiply-adds of SmolLM2-135M count as two: 106.2 M weights a token in its layers (attention itself left out), and
# 49,152 x 576 where the next token is asked for.
GFLOP_A_TOKEN, GFLOP_A_HEAD = 0.2124, 0.0566
PREFILL, DECODE, STREAMS = 512, 64, 8
# Of a core; with less, other work was in the way.
UNDISTURBED = 0.9


def alone(core, *command):
    """Runs a command on one core, once more where other work took that core; what got more of it."""
    attempts = [run("taskset", "-c", core, *command)]
    if attempts[0].cpu < UNDISTURBED * attempts[0].wall:
        attempts.append(run("taskset", "-c", core, *command))
    return max(attempts, key=lambda r: r.cpu / r.wall)


def llama_rate(process, rate):
    """Tokens a CPU-second. llama.cpp counts wall time; its one thread was running for this part of it."""
    return rate * process.wall / process.cpu


def installed(*command, hint):
    """True where a peer starts; else says what installs it."""
    try:
        found = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if found.returncode == 0:
            return True
        why = (found.stderr.strip().splitlines() or [f"it ended with {found.returncode}"])[-1]
    except OSError as error:
        why = str(error)
    print(f"  left out: {Path(str(command[0])).name} ({why}); installed by: {hint}", flush=True)
    return False


def engine(args):
    """Open weights in this process: prefill and decode against llama.cpp, scoring against lm-eval."""
    ours = built("build", "-p", "weighbridge-engine", "--bench", "speed")
    source = MODELS / f"{SMOLLM}.Q4_1.gguf"
    if not source.exists():
        sys.exit(f"no model at {source}; python3 benches/fetch_models.py smollm2 gemma3 qwen0.5b")
    bench = args.llama / "llama-bench"
    llama = installed(bench, "--help", hint="benches/peers/engine/build_llama.sh target")
    imports = "import gguf, lm_eval, torch, transformers"
    hint = "pip install -r benches/peers/engine/requirements.txt"
    lm_eval = installed(sys.executable, "-c", imports, hint=hint)
    for kind in KINDS[1:] if llama else ():
        made = MODELS / f"{SMOLLM}.{kind}.gguf"
        if not made.exists():
            part = made.with_suffix(".part")
            run(args.llama / "llama-quantize", "--allow-requantize", source, part, kind)
            part.rename(made)
    if lm_eval:
        run(sys.executable, PEERS / "engine" / "dequantise.py", source, MODELS / "smollm2-f32")
    parts = {"tokens": engine_tokens, "scoring": engine_scoring, "loading": engine_loading}
    for name in args.only or parts:
        parts[name](args, ours, llama, lm_eval)


def engine_tokens(args, ours, llama, _):
    """Prefill and decode, beside llama.cpp and beside what the machine can do."""
    here, core = [kind for kind in KINDS if (MODELS / f"{SMOLLM}.{kind}.gguf").exists()], args.core
    batched = llama and installed(
        args.llama / "llama-batched-bench", "--help", hint="benches/peers/engine/build_llama.sh target"
    )
    limits, both, pairs = [], [], []
    rates = {(who, what, kind): [] for who in ("ours", "llama.cpp") for what in ("prefill", "decode") for kind in here}
    streams = {"ours": [], "llama.cpp": []}
    weights, rounded = {}, []
    for _ in range(args.repeats):
        limits.append(json.loads(alone(core, ours, "--limit", "--repeats", 1).out))
        both.append(json.loads(run(ours, "--limit", "--threads", 2, "--repeats", 1).out))
        for kind in here:
            model = MODELS / f"{SMOLLM}.{kind}.gguf"
            command = (ours, model, "--prefill", PREFILL, "--decode", DECODE, "--repeats", 1)
            report = json.loads(alone(core, *command).out)
            weights[kind] = report["weight_bytes"]
            for what in ("prefill", "decode"):
                rates["ours", what, kind].append(report[what]["tokens"] / report[what]["runs"][0]["cpu_s"])
            if llama:
                command = (args.llama / "llama-bench", "-m", model, "-p", PREFILL, "-n", DECODE, "-t", 1, "-r", 1)
                process = alone(core, *command, "-o", "json")
                for what, found in zip(("prefill", "decode"), json.loads(process.out)):
                    rates["llama.cpp", what, kind].append(llama_rate(process, found["avg_ts"]))
        command = (ours, model, "--bf16", "--prefill", PREFILL, "--repeats", 1)
        report = json.loads(alone(core, *command).out)
        if report["bf16"]:
            rounded.append(PREFILL / report["prefill"]["runs"][0]["cpu_s"])
        model = MODELS / f"{SMOLLM}.Q4_1.gguf"
        # One thread again, just before two, and not pinned either. The best of some: other work adds to wall time.
        walls = []
        for threads in (1, 2):
            command = (ours, model, "--threads", threads, "--prefill", PREFILL, "--repeats", 8)
            walls.append(min(found["wall_s"] for found in json.loads(run(*command).out)["prefill"]["runs"]))
        pairs.append(walls)
        command = (ours, model, "--decode", DECODE, "--streams", STREAMS, "--repeats", 1)
        report = json.loads(alone(core, *command).out)["decode"]
        streams["ours"].append(DECODE * STREAMS / report["runs"][0]["cpu_s"])
        if batched:
            options = ("-npp", 1, "-ntg", DECODE, "-npl", STREAMS, "-c", 2048, "-t", 1, "--output-format", "jsonl")
            process = alone(core, args.llama / "llama-batched-bench", "-m", model, *options)
            found = next(json.loads(line) for line in process.out.splitlines() if line.startswith("{"))
            streams["llama.cpp"].append(llama_rate(process, found["speed_tg"]))

    for name in [name for name in limits[0] if name != "threads"]:
        unit = "GB/s" if name.endswith("gb_s") else "GFLOP/s"
        what = name.removesuffix("_gb_s").removesuffix("_gflop_s").replace("_", " ")
        one, two = ([found[name][0] for found in of] for of in (limits, both))
        say(f"limit: {what}, one thread; two together", f"{spread(one)}; {spread(two)} {unit}")
    peak = [max(value[0] for key, value in found.items() if key.startswith("f32")) for found in limits]
    for kind in here:
        of = rates["ours", "prefill", kind]
        say(f"ours: prefill {PREFILL}, {kind}, one core", spread(of, " tok a CPU-second"))
        work = GFLOP_A_TOKEN + GFLOP_A_HEAD / PREFILL
        say(f"ours: share of the f32 limit, {kind}", spread([100 * r * work / p for r, p in zip(of, peak)], " %"))
    if rounded:
        say(f"ours: prefill {PREFILL}, {kind}, products in bf16", spread(rounded, " tok a CPU-second"))
        if llama:
            figure = spread(ratio(rounded, rates["llama.cpp", "prefill", kind]), " times")
            say(f"prefill, {kind}, products in bf16: ours over llama.cpp", figure)
    one, two = zip(*pairs)
    say(f"ours: prefill {PREFILL}, Q4_1, two threads, wall", spread([PREFILL / wall for wall in two], " tok/s"))
    say(f"ours: prefill {PREFILL}, Q4_1, one thread, wall", spread([PREFILL / wall for wall in one], " tok/s"))
    say("ours: two threads over one, wall", spread([a / b for a, b in pairs], " times"))
    for kind in here if llama else ():
        of, theirs = rates["ours", "prefill", kind], rates["llama.cpp", "prefill", kind]
        say(f"llama.cpp: prefill {PREFILL}, {kind}, one core", spread(theirs, " tok a CPU-second"))
        say(f"prefill, {kind}: ours over llama.cpp", spread(ratio(of, theirs), " times"))
        if kind != "Q4_1":
            of = rates["ours", "prefill", "Q4_1"]
            say(f"prefill: ours on Q4_1 over llama.cpp on {kind}", spread(ratio(of, theirs), " times"))
    for kind in here:
        of = rates["ours", "decode", kind]
        say(f"ours: decode {DECODE}, {kind}, one core", spread(of, " tok a CPU-second"))
        for read in ("read_1_gib_gb_s", "read_92_mib_gb_s"):
            share = [100 * r * weights[kind] / 1e9 / limit[read][0] for r, limit in zip(of, limits)]
            say(f"ours: share of {read.removesuffix('_gb_s').replace('_', ' ')}, {kind}", spread(share, " %"))
        if llama:
            theirs = rates["llama.cpp", "decode", kind]
            say(f"llama.cpp: decode {DECODE}, {kind}, one core", spread(theirs, " tok a CPU-second"))
            say(f"decode, {kind}: ours over llama.cpp", spread(ratio(of, theirs), " times"))
    say(f"ours: decode, Q4_1, {STREAMS} streams together", spread(streams["ours"], " tok a CPU-second"))
    if batched:
        figure = spread(streams["llama.cpp"], " tok a CPU-second")
        say(f"llama.cpp: the same, {STREAMS} sequences in parallel", figure)
        say(f"{STREAMS} streams: ours over llama.cpp", spread(ratio(streams["ours"], streams["llama.cpp"]), " times"))
    elif llama:
        theirs = rates["llama.cpp", "decode", "Q4_1"]
        figure = spread(ratio(streams["ours"], theirs), " times")
        say(f"ours with {STREAMS} streams over llama.cpp with one", figure)


def ratio(above, below):
    return [a / b for a, b in zip(above, below)]


def requests_of(task):
    """The requests of a reference task as lm-eval makes them, checked against those that it logged."""
    data = SHARED / "data" / "lm_eval_ref" / "data"
    if not data.exists():
        sys.exit(f"no reference tasks at {data}; put them there or set WEIGHBRIDGE_SHARED")
    docs, shots = ([json.loads(line) for line in (data / name).read_text(encoding="utf-8").splitlines()]
                   for name in ("mc_test.jsonl", "mc_fewshot.jsonl"))
    passages = task == "5shot"

    def question(doc):
        passage = f"{doc['passage']}\n" if passages and doc.get("passage") else ""
        return f"{passage}Question: {doc['question']}\nAnswer:"

    before = ""
    if task == "5shot":
        before = "The following are multiple choice questions, with answers, about general knowledge.\n\n"
        before += "".join(f"{question(doc)} {doc['choices'][doc['label']]}\n\n" for doc in shots[:5])
    made = [
        {"doc": number, "context": before + question(doc), "continuation": f" {choice}"}
        for number, doc in enumerate(docs)
        for choice in doc["choices"]
    ]
    golden = ROOT / "crates" / "engine" / "tests" / "goldens" / "lm_eval" / f"mc_{task}.jsonl"
    lines = [json.loads(line) for line in golden.read_text(encoding="utf-8").splitlines()]
    prefix = lines.pop(0)["prefix"] if "prefix" in lines[0] else ""
    logged = [(line["doc"], prefix + line["context"], line["continuation"]) for line in lines]
    if logged != [tuple(request.values()) for request in made[: len(logged)]]:
        sys.exit(f"the requests of {task} are not those of {golden}")
    return made


def engine_scoring(args, ours, _, lm_eval):
    """Log-likelihoods of the reference tasks, from texts on, beside lm-eval with transformers."""
    core = args.core
    models = {"Q4_1": MODELS / f"{SMOLLM}.Q4_1.gguf", "f32 safetensors": MODELS / "smollm2-f32"}
    models = {name: path for name, path in models.items() if path.exists()}
    for task in args.tasks:
        few = {"0shot": args.docs_0shot, "5shot": args.docs_5shot}[task]
        requests = requests_of(task)
        whole, part = (Path(KEPT.name) / f"{task}-{name}.jsonl" for name in ("whole", "part"))
        whole.write_text("".join(json.dumps(request) + "\n" for request in requests), encoding="utf-8")
        subset = [request for request in requests if request["doc"] < few]
        part.write_text("".join(json.dumps(request) + "\n" for request in subset), encoding="utf-8")
        script = (sys.executable, PEERS / "engine" / "bench_lm_eval.py", MODELS / "smollm2-f32", task, "--core", core)

        def theirs(batch, docs):
            # OMP_NUM_THREADS as for other peers; the script itself keeps to one thread.
            return json.loads(run(*script, "--batch", batch, "--docs", docs, OMP_NUM_THREADS="1").out)

        batches = {}
        if lm_eval:
            trial = max(min(few // 2, 100), 8)
            batches = {batch: theirs(batch, trial)["docs_per_cpu_s"] for batch in (1, 8, 16, 32)}
            best = max(batches, key=batches.get)
        found, peer_found = {name: [] for name in models}, []
        for _ in range(args.repeats):
            for name, model in models.items():
                command = (ours, model, "--score", whole, "--repeats", 1)
                found[name].append(json.loads(alone(core, *command).out))
            if lm_eval:
                peer_found.append(theirs(best, few))
        work = found["Q4_1"][0]["score"]
        counts = ", ".join(f"{work[name]:,} {name}" for name in ("docs", "requests", "tokens", "nodes"))
        say(f"{task}: ours computes", counts)
        for name, of in found.items():
            mine = [report["score"]["docs"] / report["score"]["runs"][0]["cpu_s"] for report in of]
            encoding = [r["score"]["of_it_encoding"][0]["cpu_s"] / r["score"]["runs"][0]["cpu_s"] * 100 for r in of]
            say(f"{task}: ours, {name}, docs a CPU-second", spread(mine))
            say(f"{task}: ours, {name}, of it splitting into tokens", spread(encoding, " %"))
            say(f"{task}: ours, {name}, peak memory", spread([r["peak_rss_bytes"] / 2**20 for r in of], " MiB"))
            anonymous = spread([r["anonymous_rss_bytes"] / 2**20 for r in of], " MiB")
            say(f"{task}: ours, {name}, of it no pages of files", anonymous)
            if lm_eval:
                ratios = [m / p["docs_per_cpu_s"] for m, p in zip(mine, peer_found)]
                say(f"{task}: ours, {name}, over lm-eval", spread(ratios, " times"))
        if lm_eval:
            tried = ", ".join(f"{batch}: {rate:.3g}" for batch, rate in batches.items())
            say(f"{task}: lm-eval, {trial} docs, docs a CPU-second by batch size", tried)
            rates = [p["docs_per_cpu_s"] for p in peer_found]
            say(f"{task}: lm-eval, batch {best}, {few} docs, docs a CPU-second", spread(rates))
            say(f"{task}: lm-eval, peak memory", spread([p["peak_rss_mb"] for p in peer_found], " MiB"))
            # A subset shares less; and the sums of both sides show that both did the same.
            for name, model in models.items():
                same = json.loads(alone(core, ours, model, "--score", part, "--repeats", 1).out)["score"]
                off = abs(same["sum_logprob"] - peer_found[0]["sum_logprob"]) / len(subset)
                say(f"{task}: {name}, difference of the mean log-likelihood", f"{off:.1e} of {len(subset)} requests")
                rate = same["docs"] / same["runs"][0]["cpu_s"]
                times = rate / statistics.median(rates)
                say(f"{task}: ours, {name}, only those {few} docs", f"{rate:.3g} docs a CPU-second, {times:.3g} times")


def engine_loading(args, ours, *_):
    """From nothing to a model that can be asked, files in the page cache, all cores."""
    for model in sorted(MODELS.glob("*.gguf")):
        command = (ours, model, "--threads", os.cpu_count())
        reports = [json.loads(run(*command).out) for _ in range(args.repeats + 1)][1:]
        say(f"load, {model.name}: wall", spread([r["load_s"] for r in reports], " s"))
        say(f"load, {model.name}: CPU", spread([r["load_cpu_s"] for r in reports], " s"))
        peak, kept = (
            spread([r[f"{key}_rss_bytes"] / 2**20 for r in reports], " MiB") for key in ("peak", "anonymous")
        )
        say(f"load, {model.name}: peak memory; no pages of files", f"{peak}; {kept}")


def numbers(text):
    return [int(part) for part in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    benches = {index: 5, votes: 3, cold: 20, contrast: 3, build: 3, engine: 5, api: 3}
    commands = parser.add_subparsers(required=True, metavar="NAME")
    for bench, repeats in benches.items():
        command = commands.add_parser(bench.__name__, help=bench.__doc__)
        command.set_defaults(bench=bench)
        command.add_argument("--repeats", type=int, default=repeats)
        if bench is index:
            command.add_argument("--peer-draws", type=int, default=50, help=f"draws of the peer, scaled to {DRAWS}")
        if bench is contrast:
            sizes = [1_000_000, 10_000_000, 100_000_000]
            command.add_argument("--rows", type=int, nargs="+", default=sizes, help="sizes of the lakes")
        if bench is engine:
            place = ROOT / "target" / "llama.cpp" / "build" / "bin"
            command.add_argument("--llama", type=Path, default=place, help=f"folder of llama-bench [default: {place}]")
            command.add_argument("--core", type=int, default=os.cpu_count() - 1, help="where one core is meant")
            command.add_argument("--docs-0shot", type=int, default=500, help="documents that lm-eval scores of 500")
            command.add_argument("--docs-5shot", type=int, default=20, help="documents that lm-eval scores of 500")
            command.add_argument("--tasks", nargs="+", choices=["0shot", "5shot"], default=["0shot", "5shot"])
            command.add_argument("--only", nargs="+", choices=["tokens", "scoring", "loading"], help="parts of it")
        if bench is api:
            place = ROOT / "target" / "api-peers"
            command.add_argument("--peers", type=Path, default=place, help=f"where they are [default: {place}]")
            command.add_argument("--requests", type=int, default=5000, help="requests of a run")
            command.add_argument("--concurrency", type=numbers, default=[64, 256], help="most at once, as 64,256")
            command.add_argument("--only", type=lambda text: text.split(","), help="peers, as aiohttp,lm-eval")
            command.add_argument("--memory", action="store_true", help=f"ours alone, once, also with {MANY} requests")
        if bench in (contrast, build, api):
            command.add_argument("--folder", help="where the temporary folder is made [default: the system's]")
    args = parser.parse_args()
    machine()
    args.bench(args)


if __name__ == "__main__":
    main()
