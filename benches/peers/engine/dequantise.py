"""Writes a GGUF file as a folder of f32 safetensors with its tokenizer: `python dequantise.py FILE.gguf FOLDER`.

transformers reads the file, so the weights are exactly the dequantised blocks. A folder that is there is left alone.
"""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main():
    file, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    if folder.exists():
        return
    source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    scratch = folder.with_name(folder.name + ".part")
    read = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    # transformers refuses to save what it marks as read from GGUF, also where the weights are plain f32.
    config = read.config
    del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(read.state_dict(), strict=True)
    plain.save_pretrained(scratch)
    AutoTokenizer.from_pretrained(**source).save_pretrained(scratch)
    scratch.rename(folder)


if __name__ == "__main__":
    main()
