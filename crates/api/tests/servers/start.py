"""Starts the installed servers on loopback: `python crates/api/tests/servers/start.py [NAME ...]`, stops when stdin ends.

When all of them answer it prints one line of JSON: for each name `base_url` and `key`, and `logs`, the folder with what
they said. It ends, and all servers with it, when its standard input closes: a test that is killed leaves nothing
behind. Exit code 3: something is not installed, and `install.py` says how.
"""

import argparse
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from install import default_folder

HERE = Path(__file__).resolve().parent
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
NAMES = ["llama", "llama-native", "litellm"]
# What the tests search all outputs for; none of them opens anything.
KEYS = {name: f"sk-planted-{name}-6e1f0b7c2d9a4835" for name in NAMES}
PATIENCE = 180.0
NOT_INSTALLED = 3


class Server(NamedTuple):
    """A running server."""

    process: subprocess.Popen
    port: int
    ready: str


def main():
    names = arguments()
    logs = Path(tempfile.mkdtemp(prefix="weighbridge-servers-"))
    running = {}
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        for name in names:
            running[name] = start(name, running, logs)
        wait_until_ready(running, logs)
        urls = {name: f"http://127.0.0.1:{server.port}" for name, server in running.items()}
        said = {name: {"base_url": url, "key": KEYS[name]} for name, url in urls.items()}
        print(json.dumps({**said, "logs": str(logs)}), flush=True)
        threading.Thread(target=lambda: (sys.stdin.buffer.read(), stop.set()), daemon=True).start()
        stop.wait()
    finally:
        end(running)
        shutil.rmtree(logs, ignore_errors=True)


def arguments():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)}; default: all")
    names = parser.parse_args().names or NAMES
    for name in names:
        if name not in NAMES:
            parser.error(f"no server is called '{name}'; known: {', '.join(NAMES)}")
    # The proxy stands in front of both others.
    names = NAMES if "litellm" in names else [name for name in NAMES if name in names]
    missing = [str(path) for path in [*(python(name) for name in names), model()] if not path.exists()]
    if missing:
        print(f"not installed: {', '.join(missing)}; install.py and benches/fetch_models.py do", file=sys.stderr)
        sys.exit(NOT_INSTALLED)
    return names


def python(name):
    return default_folder() / name / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def model():
    if chosen := os.environ.get("WEIGHBRIDGE_MODELS"):
        return Path(chosen) / GGUF
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weighbridge" / "models" / GGUF


def start(name, running, logs):
    port = free_port()
    environment = {"WEIGHBRIDGE_SERVER_KEY": KEYS[name], "PYTHONUNBUFFERED": "1"}
    if name == "llama":
        command = ["-m", "llama_cpp.server", "--config_file", llama_config(port, logs)]
        ready = "/v1/models"
    elif name == "llama-native":
        command = [HERE / "native_server.py", model(), port]
        ready = "/v1/models"
    else:
        command = [python(name).parent / "litellm", "--config", litellm_config(running, logs), "--host", "127.0.0.1"]
        command += ["--port", port, "--telemetry", "False"]
        # Nothing of it goes out: prices are those it brings along.
        environment |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "DO_NOT_TRACK": "1"}
        ready = "/health/liveliness"
    with (logs / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [str(word) for word in [python(name), *command]],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )
    return Server(process, port, ready)


def die_with_parent():
    """Has Linux end the server when this process ends in whatever way."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def llama_config(port, logs):
    """Settings of llama-cpp-python's server; with `logits_all` it gives log-probabilities of the prompt.

    They stand one token off unless a text begins with a BOS, and SmolLM2 has none: the second model is the same file
    with one put there. The server holds one model at a time and changes over when asked for the other.
    """
    settings = {"model": str(model()), "n_ctx": 1024, "logits_all": True, "verbose": False}
    settings |= {"n_threads": 1, "n_threads_batch": 1}
    models = [
        settings | {"model_alias": "smollm2"},
        settings | {"model_alias": "smollm2-bos", "kv_overrides": ["tokenizer.ggml.add_bos_token=bool:true"]},
    ]
    config = {"host": "127.0.0.1", "port": port, "api_key": KEYS["llama"], "interrupt_requests": False}
    path = logs / "llama.json"
    path.write_text(json.dumps(config | {"models": models}))
    return path


def litellm_config(running, logs):
    """Models of the proxy, by the server behind it and the way that it takes there. JSON is YAML too."""

    def entry(name, way, server):
        base = f"http://127.0.0.1:{running[server].port}/v1"
        return {
            "model_name": name,
            "litellm_params": {"model": f"{way}/smollm2", "api_base": base, "api_key": KEYS[server]},
        }

    config = {
        "model_list": [
            entry("smollm2", "openai", "llama-native"),
            entry("smollm2-chat", "hosted_vllm", "llama-native"),
            entry("smollm2-text", "text-completion-openai", "llama"),
        ],
        "general_settings": {"master_key": KEYS["litellm"]},
        # One failure would have it refuse the requests that follow, and it is our client that tries again.
        "router_settings": {"disable_cooldowns": True, "num_retries": 0},
        "litellm_settings": {"telemetry": False, "num_retries": 0},
    }
    path = logs / "litellm.yaml"
    path.write_text(json.dumps(config))
    return path


def wait_until_ready(running, logs):
    begin = time.monotonic()
    for name, server in running.items():
        while not answers(name, server):
            ended = server.process.poll()
            if ended is not None or time.monotonic() - begin > PATIENCE:
                state = "is not ready" if ended is None else f"ended with {ended}"
                tail = (logs / f"{name}.log").read_text(errors="replace")[-3000:]
                sys.exit(f"{name} {state} after {time.monotonic() - begin:.0f} s; it said:\n{tail}")
            time.sleep(0.1)


def answers(name, server):
    url = f"http://127.0.0.1:{server.port}{server.ready}"
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {KEYS[name]}"})
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def end(running):
    """Kills each server with whatever it started."""
    for server in running.values():
        try:
            os.killpg(server.process.pid, signal.SIGKILL)
        except (ProcessLookupError, AttributeError):
            server.process.kill()
    for server in running.values():
        server.process.wait(timeout=10)


if __name__ == "__main__":
    main()
