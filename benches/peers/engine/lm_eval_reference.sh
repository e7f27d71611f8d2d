#!/usr/bin/env bash
# Runs lm-evaluation-harness on the reference tasks, for the goldens in crates/engine/tests/goldens/lm_eval:
# `lm_eval_reference.sh SCRATCH` from anywhere; half an hour on two cores, 4 GB of disk.
#
# It dequantises each GGUF to f32 with transformers, scores one request at a time on the CPU, and condenses the samples
# that lm-eval logs. Needs the weights of benches/fetch_models.py (smollm2, gemma3, qwen0.5b) and a Python with
# torch==2.15.0 transformers==5.23.0 lm_eval==0.4.13 datasets==5.2.0 gguf==0.19.0 accelerate==1.15.0; PYTHON names it.
# The tasks are read from ../shared/data/lm_eval_ref beside the checkout, or below WEIGHBRIDGE_SHARED.
set -euo pipefail

scratch=$(mkdir -p "${1:?usage: lm_eval_reference.sh SCRATCH}" && cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
shared=${WEIGHBRIDGE_SHARED:-$root/../shared}
models=${WEIGHBRIDGE_MODELS:-${XDG_CACHE_HOME:-$HOME/.cache}/weighbridge/models}
python=${PYTHON:-python3}
# One thread: at one request at a time more threads only wait for each other.
export OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 HF_DATASETS_CACHE=$scratch/datasets

cp -R "$shared/data/lm_eval_ref/." "$scratch/"
chmod -R u+w "$scratch"
cd "$scratch"

"$python" "$here/dequantise.py" "$models/SmolLM2-135M-Instruct.Q4_1.gguf" "$models/smollm2-f32"
"$python" "$here/dequantise.py" "$models/gemma-3-270m.Q4_K_M.gguf" "$models/gemma3-f32"
"$python" "$here/dequantise.py" "$models/Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf" "$models/qwen0.5b-f32"

# run NAME MODEL TASK [more options]: skipped when its results are there.
run() {
    local name=$1 model=$2 task=$3
    shift 3
    if compgen -G "out/$name/*/results_*.json" > /dev/null; then return; fi
    "$python" -m lm_eval --model hf --model_args "pretrained=$models/$model,dtype=float32${BOS:+,add_bos_token=True}" \
        --include_path tasks --tasks "$task" --device cpu --batch_size 1 --log_samples --output_path "out/$name" "$@"
}
run mc_0shot smollm2-f32 wb_mc_0shot
run gen smollm2-f32 wb_gen --limit 100
run mc_5shot smollm2-f32 wb_mc_5shot --limit 60
BOS=yes run mc_0shot_gemma gemma3-f32 wb_mc_0shot --limit 60
run mc_0shot_qwen qwen0.5b-f32 wb_mc_0shot --limit 60

"$python" "$here/condense_samples.py" "$scratch/out" "$root/crates/engine/tests/goldens/lm_eval"
