#!/usr/bin/env bash
# Builds llama.cpp for the benches of the engine: `build_llama.sh FOLDER` (about 15 minutes on two cores, 1 GB).
#
# The source is the one that the package llama-cpp-python carries, checked by its sha256. Built for this machine's
# processor, without network parts: llama-bench, llama-server, llama-cli, llama-perplexity, llama-tokenize and
# llama-quantize end up in FOLDER/llama.cpp/build/bin. Needs Python with pip, cmake, a C++ compiler; uses ninja where it
# is there. With JOBS=1 it leaves the second core to others.
set -euo pipefail

folder=${1:?usage: build_llama.sh FOLDER}
package=llama-cpp-python==0.3.36
sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e

mkdir -p "$folder"
cd "$folder"
if [ ! -d llama.cpp/src ]; then
    rm -rf download && mkdir download
    python3 -m pip download --quiet --no-deps --no-binary llama-cpp-python --dest download "$package"
    echo "$sha256  $(echo download/llama_cpp_python-*.tar.gz)" | sha256sum --check --quiet
    mkdir -p llama.cpp
    tar xzf download/llama_cpp_python-*.tar.gz -C llama.cpp --strip-components=3 --wildcards '*/vendor/llama.cpp/*'
    rm -r download
fi

generator=()
if command -v ninja > /dev/null; then generator=(-G Ninja); fi
cmake -S llama.cpp -B llama.cpp/build "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF \
    -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_CURL=OFF
cmake --build llama.cpp/build --parallel "${JOBS:-2}" --target \
    llama-bench llama-quantize llama-tokenize llama-perplexity llama-server llama-cli
ls -l llama.cpp/build/bin/llama-bench
