"""llama.cpp's own HTTP server, from the package xllamacpp: `python native_server.py MODEL PORT`, until its input ends.

The key that it asks for is in `WEIGHBRIDGE_SERVER_KEY`. One thread computes: two that wait for each other on a busy
machine are slower by far.
"""

import os
import sys

import xllamacpp


def main():
    model, port = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = {"smollm2"}
    params.port = int(port)
    params.api_keys = [os.environ["WEIGHBRIDGE_SERVER_KEY"]]
    params.n_ctx = 4096
    params.n_parallel = 2
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    # The same request twice is computed the same way twice.
    params.cache_prompt = False
    params.ui = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    # Its own threads need not be waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
