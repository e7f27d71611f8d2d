#!/usr/bin/env bash
# Builds llama.cpp for the benches of the engine: `build_llama.sh FOLDER` (about 15 minutes on two cores, 1 GB).
#
# The source is the one that the package llama-cpp-python carries, checked by its sha256. Built for this machine's
# processor, without network parts: llama-bench, llama-batched-bench, llama-server, llama-cli, llama-perplexity,
# llama-tokenize and llama-quantize end up in FOLDER/llama.cpp/build/bin. Where that crashes, it is built again, the
# last time without AMX. Needs Python with pip, cmake, a C++ compiler; uses ninja where it is there.
# With JOBS=1 it leaves the second core to others.
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

build() {
    cmake -S llama.cpp -B llama.cpp/build "${generator[@]}" -DCMAKE_BUILD_TYPE=Release "$@" \
        -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF \
        -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_CURL=OFF
    cmake --build llama.cpp/build --parallel "${JOBS:-2}" --target \
        llama-bench llama-batched-bench llama-quantize llama-tokenize llama-perplexity llama-server llama-cli
}

# Runs the model of the benches for a moment, where it has been fetched; only a crash counts.
starts() {
    local bench=llama.cpp/build/bin/llama-bench code=0
    local models=${WEIGHBRIDGE_MODELS:-${XDG_CACHE_HOME:-$HOME/.cache}/weighbridge/models}
    local model=$models/SmolLM2-135M-Instruct.Q4_1.gguf
    "$bench" --help > /dev/null || return 1
    if [ ! -e "$model" ]; then
        echo "no model at $model: whether this build computes was not tried (benches/fetch_models.py smollm2)" >&2
        return 0
    fi
    "$bench" -m "$model" -p 32 -n 2 -t 1 -r 1 > /dev/null || code=$?
    # A signal is 128 and its number.
    [ "$code" -lt 128 ]
}

# What this processor has, unit by unit, without AMX.
explicit() {
    local flags pair
    flags=" $(grep -m1 '^flags' /proc/cpuinfo | cut -d: -f2) "
    echo -DGGML_NATIVE=OFF
    for pair in AVX:avx AVX2:avx2 FMA:fma F16C:f16c BMI2:bmi2 AVX512:avx512bw AVX512_VBMI:avx512vbmi \
        AVX512_VNNI:avx512_vnni AVX512_BF16:avx512_bf16; do
        case $flags in
            *" ${pair#*:} "*) echo "-DGGML_${pair%%:*}=ON" ;;
            *) echo "-DGGML_${pair%%:*}=OFF" ;;
        esac
    done
    printf -- '-DGGML_%s=OFF\n' AMX_TILE AMX_INT8 AMX_BF16
}

# Settings of each attempt. GCC 12.2 drops most of the shapes of AMX tiles as dead stores, because its _tile_loadconfig
# claims to read only 8 bytes of them, and quantized weights then end in an illegal instruction. Last, without AMX, with
# which llama.cpp is several times slower on them: figures against that build have to say so.
attempt() {
    case $1 in
        1) build -DGGML_NATIVE=ON ;;
        2) build -DGGML_NATIVE=ON -DCMAKE_CXX_FLAGS="-fno-tree-dse -fno-dse" ;;
        3)
            local units
            mapfile -t units < <(explicit)
            build -DCMAKE_CXX_FLAGS= "${units[@]}"
            ;;
    esac
}

# What an earlier run has found stays.
first=$(cat llama.cpp/build/attempt 2> /dev/null || echo 1)
for number in $(seq "$first" 3); do
    attempt "$number"
    echo "$number" > llama.cpp/build/attempt
    if starts; then break; fi
    if [ "$number" = 3 ]; then
        echo "llama-bench crashes in every way of building it; the last is in $PWD/llama.cpp/build" >&2
        exit 1
    fi
    echo "llama-bench crashes as built in attempt $number of 3; building again" >&2
done
ls -l llama.cpp/build/bin/llama-bench
