"""GGUF files: read by transformers, which computes the same logits from them, and by the gguf package."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np
import pytest
import tokenizers
import torch
from model_shapes import model_of, tokens
from tokenizers import pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from firn.core.errors import FormatError, RecipeError
from firn.model.config import ModelSettings, RopeScaling
from firn.model.gguf_export import save_gguf
from firn.model.rope import frequencies
from firn.tokens import splitting

SIZE: dict[str, Any] = {"vocab_size": 400, "context": 64, "layers": 2, "width": 64, "heads": 4}
SHAPES = {
    "gpt2": ModelSettings(preset="gpt2", norm_eps=1e-5, **SIZE),
    "gpt2-tied": ModelSettings(preset="gpt2", norm_eps=1e-5, tied=True, **SIZE),
    "llama": ModelSettings(preset="llama", kv_heads=2, residual_scale=0.5, **SIZE),
    # transformers takes 128 for a width of heads that the file gives.
    "qwen3": ModelSettings(preset="qwen3", kv_heads=2, head_width=128, normalise_embedding=True, **SIZE),
}


def tokenizer(pattern: str = splitting.GPT2, vocab: int = 400) -> bytes:
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    split = pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(["the snow of the year before, and the thing that is not here"], trainer)
    return bytes(made.to_str().encode())


def fields(file: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(file).fields.items()}


@pytest.mark.parametrize("shape", SHAPES)
def test_transformers_computes_the_same_logits_from_the_file(shape: str, tmp_path: Path) -> None:
    model = model_of(SHAPES[shape])
    file = str(tmp_path / "model.gguf")
    save_gguf(model, file, tokenizer(), end_of_text=0, dtype="f32")
    # transformers leaves GPT-2's number of positions at 1,024.
    config = AutoConfig.for_model(**{**load_gguf_checkpoint(file)["config"], "n_positions": 64})
    theirs = AutoModelForCausalLM.from_config(config).eval()
    read = load_gguf_checkpoint(file, return_tensors=True, model_to_load=theirs)["tensors"]
    missing, unexpected = theirs.load_state_dict(read, strict=False)
    assert not unexpected
    assert set(missing) <= {"lm_head.weight"}
    theirs.tie_weights()
    with torch.no_grad():
        assert (theirs(tokens(32)).logits - model(tokens(32))).abs().max().item() <= 1e-5


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_matrices_in_16_bits_and_vectors_in_32(dtype: Literal["f16", "bf16"], tmp_path: Path) -> None:
    model = model_of(SHAPES["qwen3"])
    save_gguf(model, tmp_path / "m.gguf", tokenizer(), end_of_text=0, dtype=dtype)
    found = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    assert found["blk.1.attn_norm.weight"].tensor_type == gguf.GGMLQuantizationType.F32
    down = found["blk.1.ffn_down.weight"]
    assert down.tensor_type == gguf.GGMLQuantizationType[dtype.upper()]
    half = torch.float16 if dtype == "f16" else torch.bfloat16
    expected = model.layers[1].mlp.down_proj.weight.to(half).float()
    values = gguf.quants.dequantize(down.data, down.tensor_type)
    assert np.array_equal(values, expected.detach().numpy())


def test_what_the_file_says_of_shape_and_tokenizer(tmp_path: Path) -> None:
    scaling = RopeScaling(kind="yarn", factor=4.0, original_context=16, attention_factor=2.0)
    settings = ModelSettings(preset="qwen3", rope_scaling=scaling, **SIZE)
    spec = tokenizer(splitting.pattern(1), vocab=270)
    save_gguf(model_of(settings), tmp_path / "sub" / "m.gguf", spec, end_of_text=0, name="snow")
    found = fields(tmp_path / "sub" / "m.gguf")
    assert found["general.architecture"] == "qwen3"
    assert found["general.name"] == "snow"
    assert found["qwen3.context_length"] == 64
    assert found["qwen3.rope.scaling.type"] == "yarn"
    assert found["qwen3.rope.scaling.original_context_length"] == 16
    assert found["qwen3.rope.scaling.attn_factor"] == pytest.approx(2.0 / (0.1 * np.log(4) + 1))
    assert found["tokenizer.ggml.model"] == "gpt2"
    assert found["tokenizer.ggml.pre"] == "qwen2"
    assert len(found["tokenizer.ggml.tokens"]) == 400
    assert found["tokenizer.ggml.tokens"][0] == "<|endoftext|>"
    assert found["tokenizer.ggml.tokens"][399] == "[PAD399]"
    assert [found["tokenizer.ggml.token_type"][id] for id in (0, 1, 399)] == [3, 1, 5]
    assert all(merge.count(" ") == 1 for merge in found["tokenizer.ggml.merges"])
    assert found["tokenizer.ggml.bos_token_id"] == found["tokenizer.ggml.eos_token_id"] == 0
    assert [file.name for file in (tmp_path / "sub").iterdir()] == ["m.gguf"]


def test_stretched_frequencies_of_llama_3_are_a_tensor(tmp_path: Path) -> None:
    scaling = RopeScaling(kind="llama3", factor=4.0, original_context=64)
    settings = ModelSettings(preset="llama", rope_scaling=scaling, attention_bias=True, **SIZE)
    save_gguf(model_of(settings), tmp_path / "m.gguf", tokenizer(splitting.pattern(3)), end_of_text=0)
    found = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    slowing = frequencies(16, 10_000.0)[0] / frequencies(16, 10_000.0, scaling)[0]
    assert np.allclose(found["rope_freqs.weight"].data, slowing)
    assert slowing.min() == 1.0
    assert slowing.max() == pytest.approx(4.0)
    assert found["blk.0.attn_k.bias"].data.shape == (64,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "qwen3", "windows": (4, 0)}, "qwen3 has no sliding windows"),
        ({"preset": "olmo2", "attention_bias": True}, "olmo2 has no biases"),
        ({"preset": "gpt2", "activation": "relu2"}, "gpt2 has gelu between its matrices, not relu2"),
        ({"preset": "llama", "logit_softcap": 3.0}, "llama has no soft-caps"),
    ],
)
def test_shapes_that_llama_cpp_has_not_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        save_gguf(model_of(ModelSettings(**SIZE, **changes)), tmp_path / "m.gguf", tokenizer(), end_of_text=0)
    assert not list(tmp_path.iterdir())


def test_tokenizers_that_llama_cpp_has_not_are_refused(tmp_path: Path) -> None:
    model = model_of(SHAPES["llama"])
    with pytest.raises(RecipeError, match="no name for the way"):
        save_gguf(model, tmp_path / "m.gguf", tokenizer(splitting.pattern(2)), end_of_text=0)
    with pytest.raises(FormatError, match=r"not a tokenizer\.json"):
        save_gguf(model, tmp_path / "m.gguf", b"{}", end_of_text=0)
    small = model_of(ModelSettings(**{**SIZE, "vocab_size": 100}))
    with pytest.raises(RecipeError, match=r"the tokenizer has \d+ tokens, the model 100"):
        save_gguf(small, tmp_path / "m.gguf", tokenizer(), end_of_text=0)
