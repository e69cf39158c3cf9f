"""Logits of llama.cpp against firn's, from GGUF files of every shape that has one.

    python bench/model_llama_cpp.py write FOLDER     where firn is installed: models, tokens, logits
    python bench/model_llama_cpp.py check FOLDER     where llama-cpp-python is: tokens and logits from the same files

Random weights, fp32 throughout. What remains is rounding; for GPT-2 also llama.cpp's table of GELU in 16 bits.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TEXT = "the snow of 1234 years isn't here\n\n  before the thing, it's said"
SIZE: dict[str, Any] = {"vocab_size": 400, "context": 256, "layers": 2, "width": 64, "heads": 4}
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"preset": "gpt2", "norm_eps": 1e-5},
    "gpt2-tied": {"preset": "gpt2", "norm_eps": 1e-5, "tied": True},
    "llama": {
        "preset": "llama",
        "kv_heads": 2,
        "rope_scaling": {"kind": "llama3", "factor": 4.0, "original_context": 32},
    },
    "llama-biases": {"preset": "llama", "attention_bias": True, "ffn_bias": True, "residual_scale": 0.5, "tied": True},
    "qwen3": {
        "preset": "qwen3",
        "kv_heads": 2,
        "head_width": 32,
        "normalise_embedding": True,
        "rope_scaling": {"kind": "yarn", "factor": 4.0, "original_context": 32},
    },
    "olmo2": {"preset": "olmo2"},
}


def write(folder: Path) -> None:
    import tokenizers
    import torch
    from tokenizers import pre_tokenizers

    from firn.model.config import ModelSettings
    from firn.model.gguf_export import save_gguf
    from firn.model.transformer import Transformer
    from firn.tokens import splitting
    from firn.tokens.tokenizer import Tokenizer

    splits = {"gpt2": splitting.GPT2, "llama": splitting.pattern(3), "qwen3": splitting.pattern(1)}
    for name, shape in SHAPES.items():
        trained = tokenizers.Tokenizer(tokenizers.models.BPE())
        cut = pre_tokenizers.Split(tokenizers.Regex(splits.get(shape["preset"], splitting.GPT2)), "isolated")
        level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        trained.pre_tokenizer = pre_tokenizers.Sequence([cut, level])
        trained.decoder = tokenizers.decoders.ByteLevel()
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        trained.train_from_iterator([TEXT] * 3, trainer)
        spec = trained.to_str().encode()
        model = Transformer(ModelSettings(**SIZE, **shape))
        model.init_weights(1)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
            ids = [0, *Tokenizer(spec).encode(TEXT).tolist()]
            logits = model(torch.tensor([ids]))[0].tolist()
        save_gguf(model, folder / f"{name}.gguf", spec, end_of_text=0, dtype="f32")
        (folder / f"{name}.json").write_text(json.dumps({"ids": ids, "logits": logits}))


def check(folder: Path) -> None:
    import numpy as np
    from llama_cpp import Llama

    for name in SHAPES:
        ours = json.loads((folder / f"{name}.json").read_text())
        # 0: keys and values in fp32.
        theirs = Llama(str(folder / f"{name}.gguf"), n_ctx=256, logits_all=True, verbose=False, type_k=0, type_v=0)
        same = theirs.tokenize(TEXT.encode(), add_bos=True, special=False) == ours["ids"]
        theirs.eval(ours["ids"])
        difference = np.abs(np.array(theirs.scores[: len(ours["ids"])]) - np.array(ours["logits"])).max()
        print(f"{name:<14} tokens {'equal' if same else 'DIFFER'}, logits differ by at most {difference:.1e}")


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]](Path(sys.argv[2]))
