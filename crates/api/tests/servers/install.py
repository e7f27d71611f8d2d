"""Installs the servers and SDKs that the tests of hosted models talk to: `python crates/api/tests/servers/install.py`.

They are programs that nobody here wrote, from the Python package index, each in a virtual environment of its own with
every package pinned in `requirements/`. What is there and up to date is left alone; then this takes a fraction of a
second. The folder is `weighbridge/servers` of the user's cache, or where `WEIGHBRIDGE_SERVERS` points. One of them,
the server of llama-cpp-python, comes as C++ and is compiled: minutes once, and the built wheel is kept.
"""

import argparse
import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

REQUIREMENTS = Path(__file__).resolve().parent / "requirements"


class Failed(Exception):
    """Why one part could not be installed."""


class Part(NamedTuple):
    """A virtual environment: what it is for, how a run proves it sound, and a package that is compiled for it."""

    about: str
    proof: str
    compiled: str = ""


LLAMA = "llama-cpp-python==0.3.36"
# Not for the processor it is built on: gcc 12 then makes AMX code that dies of an illegal instruction on some, and the
# kept wheel would be of no use elsewhere. The tools, the tests and what they share are not needed.
LLAMA_OPTIONS = {
    "GGML_NATIVE": "OFF",
    "GGML_OPENMP": "OFF",
    "LLAVA_BUILD": "OFF",
    "MTMD_BUILD": "OFF",
    "LLAMA_BUILD_COMMON": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_TOOLS": "OFF",
    "LLAMA_BUILD_SERVER": "OFF",
}
X86_OPTIONS = {f"GGML_{name}": "ON" for name in ("AVX", "AVX2", "FMA", "F16C", "BMI2")}
PARTS = {
    "sdk": Part("the official SDKs of OpenAI, Anthropic and Google", "import openai, anthropic, google.genai"),
    "llama-native": Part("llama.cpp's own server in C++, prebuilt (xllamacpp)", "import xllamacpp"),
    "litellm": Part("the litellm proxy", "import litellm.proxy._types, fastapi, uvicorn"),
    "llama": Part("the server of llama-cpp-python, compiled", "import llama_cpp.server.app", LLAMA),
}


def main():
    options = arguments()
    begin = time.monotonic()
    options.folder.mkdir(parents=True, exist_ok=True)
    failed = []
    with one_at_a_time(options.folder):
        for name in options.names:
            try:
                install(options.folder, name, PARTS[name])
            except (Failed, OSError) as error:
                failed.append(name)
                say(f"{name}: not installed: {error}")
    say(f"servers: {options.folder}, {time.monotonic() - begin:.1f} s")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def arguments():
    parts = "\n".join(f"  {name:14}{part.about}" for name, part in PARTS.items())
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__,
        epilog=f"parts:\n{parts}\n\ndefault: all",
    )
    parser.add_argument("names", nargs="*", metavar="PART", help="what to install; see below")
    parser.add_argument("--folder", type=Path, default=default_folder(), help="where they go; default: see above")
    options = parser.parse_args()
    options.names = options.names or list(PARTS)
    options.folder = options.folder.resolve()
    for name in options.names:
        if name not in PARTS:
            parser.error(f"no part is called '{name}'; known: {', '.join(PARTS)}")
    return options


def default_folder():
    if chosen := os.environ.get("WEIGHBRIDGE_SERVERS"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weighbridge" / "servers"


@contextlib.contextmanager
def one_at_a_time(folder):
    """A second run waits for the first one, where the system can lock a file."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(folder, name, part):
    """Makes one virtual environment, unless its stamp says that it is what is asked for."""
    target = folder / name
    listed = REQUIREMENTS / f"{name}.txt"
    wanted = stamp(target, listed, part)
    kept = target / "installed.txt"
    if kept.is_file() and kept.read_text() == wanted:
        say(f"{name}: up to date")
        return
    begin = time.monotonic()
    say(f"{name}: installing {part.about}")
    wheel = [compiled_wheel(folder, part.compiled)] if part.compiled else []
    shutil.rmtree(target, ignore_errors=True)
    run([sys.executable, "-m", "venv", target], "the virtual environment")
    python = target / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    # All that is needed is listed, so nothing is resolved, and nothing but the one package is built from source.
    pip = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    run([*pip, "--only-binary=:all:", "--requirement", listed, *wheel], f"pip install of {listed.name}")
    run([python, "-c", part.proof], f"a first run of {name}")
    kept.write_text(wanted)
    say(f"{name}: installed, {time.monotonic() - begin:.1f} s")


def stamp(target, listed, part):
    """What an environment was made of; where it stands counts too, since its scripts name it."""
    options = " ".join(cmake_options()) if part.compiled else ""
    return "\n".join([str(target), sys.version, listed.read_text(), part.compiled, options, ""])


def cmake_options():
    options = dict(LLAMA_OPTIONS)
    if platform.machine().lower() in ("x86_64", "amd64"):
        options |= X86_OPTIONS
    return [f"-D{key}={value}" for key, value in options.items()]


def compiled_wheel(folder, package):
    """The wheel of a package that has only source code, built once for each set of options."""
    options = cmake_options()
    known_by = hashlib.sha256("\n".join([package, platform.platform(), *options]).encode()).hexdigest()[:12]
    wheels = folder / "wheels" / known_by
    if found := sorted(wheels.glob("*.whl")):
        return found[0]
    say(f"  compiling {package}; this takes minutes, once")
    wheels.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "CMAKE_ARGS": " ".join(options),
        "CMAKE_BUILD_PARALLEL_LEVEL": os.environ.get("CARGO_BUILD_JOBS") or str(os.cpu_count() or 1),
    }
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as scratch:
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-cache-dir", "--wheel-dir", scratch]
        run([*pip, f"--no-binary={package.split('==')[0]}", package], f"pip wheel {package}", environment)
        built = list(Path(scratch).glob("*.whl"))
        if len(built) != 1:
            raise Failed(f"pip wheel {package} left {len(built)} wheels, expected one")
        return built[0].rename(wheels / built[0].name)


def run(command, what, environment=None):
    """Runs a command; what it says is shown only where it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        env=environment,
    )
    if done.returncode != 0:
        raise Failed(f"{what} ended with {done.returncode}: {done.stdout.strip()[-1500:]}")


def say(text):
    print(text, flush=True)


if __name__ == "__main__":
    main()
