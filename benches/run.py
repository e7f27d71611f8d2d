"""Runs one benchmark, with its peer where it has one, and prints the figures: `python benches/run.py NAME`.

Peers run in the interpreter that runs this script (see README.md for its set-up); cold, contrast and build need
nothing beyond Python. Runs are interleaved, so that both sides meet the same machine. Figures are the median with the
smallest and the largest in brackets; CPU seconds are user and system together, of every thread. Linux only.
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


def run(*command, cwd=ROOT, **variables):
    """Runs a command to its end and measures it; its standard error is passed on."""
    command = [str(part) for part in command]
    with tempfile.TemporaryFile("w+") as out:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, cwd=cwd, env=os.environ | variables)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    benches = {index: 5, votes: 3, cold: 20, contrast: 3, build: 3}
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
        if bench in (contrast, build):
            command.add_argument("--folder", help="where the temporary folder is made [default: the system's]")
    args = parser.parse_args()
    machine()
    args.bench(args)


if __name__ == "__main__":
    main()
