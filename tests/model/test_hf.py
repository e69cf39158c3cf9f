"""Hugging Face folders, against transformers and against what is wrong with them."""

from __future__ import annotations

import contextlib
import json
import os
import weakref
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from model_shapes import OWN_SHAPES, SHAPES, model_of, tokens
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from firn.core.errors import FormatError
from firn.model import hf
from firn.model.generate import generate
from firn.model.hf_config import unexportable
from firn.model.tensor_files import Made, write_tensors
from firn.model.transformer import Transformer

ROTARY_SIZE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
}


def written_by_transformers(kind: str) -> PreTrainedModel:
    torch.manual_seed(0)
    if kind == "gpt2":
        return GPT2LMHeadModel(GPT2Config(vocab_size=97, n_positions=32, n_embd=48, n_layer=2, n_head=4))
    if kind == "llama":
        rope = {"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 8.0, "low_freq_factor": 1.0}
        rope |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 16}
        return LlamaForCausalLM(LlamaConfig(**ROTARY_SIZE, rope_parameters=rope, attention_bias=True, mlp_bias=True))
    if kind == "olmo2":
        return Olmo2ForCausalLM(Olmo2Config(**ROTARY_SIZE))
    if kind == "qwen3-windows":
        yarn = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 8}
        config = Qwen3Config(**ROTARY_SIZE, head_dim=16, rope_parameters=yarn, use_sliding_window=True)
        config.sliding_window, config.layer_types = 5, ["sliding_attention", "full_attention"]
        return Qwen3ForCausalLM(config)
    # A head wider than width / heads, and the head tied, as the small Qwen3 have it.
    return Qwen3ForCausalLM(Qwen3Config(**ROTARY_SIZE, head_dim=16, tie_word_embeddings=True))


def change_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def change_tensors(folder: Path, **changes: torch.Tensor | None) -> None:
    file = folder / "model.safetensors"
    tensors = {**load_file(file), **changes}
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, file)


def test_transformers_computes_the_same_logits_and_text_from_our_folder(model: Transformer, tmp_path: Path) -> None:
    hf.save(model, tmp_path, end_of_text=96)
    theirs, report = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True, dtype=torch.float32)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    theirs.eval()
    with torch.no_grad():
        difference = (theirs(tokens(32)).logits - model(tokens(32))).abs().max().item()
    assert difference <= 1e-5
    prompt = tokens(4, 1)
    text = theirs.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=20, do_sample=False)
    ours = list(generate(model, prompt[0].tolist(), max_tokens=20, temperature=0.0, stop=[96]))
    assert text[0, 4:].tolist()[: len(ours)] == ours


def test_a_folder_is_read_back_and_written_again_with_the_same_bytes(model: Transformer, tmp_path: Path) -> None:
    hf.save(model, tmp_path / "a", end_of_text=3)
    again = hf.load(tmp_path / "a")
    with torch.no_grad():
        assert (again(tokens(32)) - model(tokens(32))).abs().max().item() <= 1e-5
    hf.save(again, tmp_path / "b", end_of_text=3)
    for name in ("model.safetensors", "config.json", "generation_config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen3", "qwen3-windows", "olmo2"])
@pytest.mark.parametrize("shard", ["10GB", "20KB"])
def test_folders_that_transformers_wrote_are_read(kind: str, shard: str, tmp_path: Path) -> None:
    theirs = written_by_transformers(kind).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # biases and norms begin as zeros and ones, and would hide a mistake
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    theirs.save_pretrained(tmp_path, max_shard_size=shard)
    assert (tmp_path / "model.safetensors").exists() == (shard == "10GB")
    with torch.no_grad():
        difference = (theirs(tokens(32)).logits - hf.load(tmp_path)(tokens(32))).abs().max().item()
    assert difference <= 1e-5


def test_names_without_their_first_part_are_read_as_the_released_gpt2_has_them(tmp_path: Path) -> None:
    model = model_of(SHAPES["gpt2-tied"])
    hf.save(model, tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    bare = {name.removeprefix("transformer."): tensor.to(torch.float16) for name, tensor in stored.items()}
    save_file({**bare, "h.0.attn.bias": torch.ones(1, 1, 32, 32)}, tmp_path / "model.safetensors")
    loaded = hf.load(tmp_path)
    assert loaded.lm_head.weight is loaded.embed_tokens.weight
    assert loaded.lm_head.weight.dtype == torch.float32
    assert torch.equal(loaded.layers[1].mlp.up_proj.weight, model.layers[1].mlp.up_proj.weight.half().float())


def test_the_tokenizer_and_the_card_lie_beside_the_model(tmp_path: Path) -> None:
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|end|>"], initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(["the snow of the year before"], trainer)
    hf.save(model_of(SHAPES["llama"]), tmp_path, tokenizer.to_str().encode(), "# A card\n", end_of_text=0)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    text = "the snow, héé\n\n  of 2024 <|end|>"
    assert theirs.encode(text) == tokenizer.encode(text).ids
    assert theirs.decode(theirs.encode(text)) == text
    assert theirs.eos_token_id == 0
    assert theirs.model_max_length == 32
    assert (tmp_path / "README.md").read_text() == "# A card\n"
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


@pytest.mark.parametrize(
    ("shape", "changes", "message"),
    [
        ("qwen3", {"num_hidden_layers": 3}, r"model.safetensors: model.layers\.2\..*: the tensor is missing"),
        ("qwen3", {"num_hidden_layers": 1}, r"model.safetensors: model.layers\.1\..*: unexpected tensor"),
        ("qwen3", {"num_hidden_layers": 10**9}, r"config.json: num_hidden_layers: 1000000000 layers, but \d+ tensors"),
        ("qwen3", {"vocab_size": 98}, r"model.*weight: the tensor has shape \[97, 48\], config.json says \[98, 48\]"),
        ("qwen3", {"vocab_size": 0}, "vocab_size: must be 1 or more"),
        ("qwen3", {"vocab_size": "many"}, "vocab_size: Input should be a valid integer"),
        # 10 to the 14 parameters: no memory is taken for them.
        ("llama", {"vocab_size": 10**7, "hidden_size": 10**7, "head_dim": None}, "the tensor has shape"),
        ("llama", {"vocab_size": 10**12, "hidden_size": 10**12, "head_dim": None}, "describes a model that cannot be"),
        ("llama", {"num_attention_heads": 5, "head_dim": None}, "width 48 is not a multiple of heads 5"),
        ("qwen3", {"model_type": "mamba"}, "model_type: 'mamba' is not one of"),
        ("qwen3", {"model_type": ["qwen3"]}, "model_type: .* is not one of"),
        ("llama", {"hidden_act": "relu"}, "hidden_act: 'relu' is not computed"),
        ("llama", {"rope_parameters": {"rope_type": "yarn"}}, "factor: the key is missing"),
        ("llama", {"rope_parameters": {"rope_type": "longrope", "factor": 2}}, "'longrope' is not computed"),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 2, "mscale": 1}}, "yarn with mscale"),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": -2}}, "factor: Input should be greater than 0"),
        ("llama", {"rope_parameters": None, "rope_scaling": {"type": "linear"}}, "'linear' is not computed"),
        ("llama", {"rope_parameters": [1]}, "rope_parameters: is not a JSON object"),
        ("llama", {"use_sliding_window": True}, "use_sliding_window: True is not computed"),
        ("qwen3", {"use_sliding_window": True}, "sliding_window: the key is missing"),
        ("qwen3", {"use_sliding_window": True, "sliding_window": -3, "max_window_layers": 0}, "a window of -3 tokens"),
        ("qwen3", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": "x"}, "of the wrong type"),
        ("qwen3", {"use_sliding_window": True, "sliding_window": 4, "layer_types": ["a", "b"]}, "layer_types: is not"),
        ("qwen3", {"use_sliding_window": True, "sliding_window": 4, "num_hidden_layers": 10**12}, "10+ layers"),
        ("llama", {"hidden_act": ["silu"]}, "hidden_act: .* is not computed"),
        ("capped", {"settings": {"layers": 2, "widht": 3}}, "widht: Extra inputs are not permitted"),
        ("capped", {"settings": None}, "config.json: .*Input should be a valid dictionary"),
        ("gpt2-tied", {"activation_function": "relu"}, "activation_function: 'relu' is not computed"),
        ("gpt2-tied", {"scale_attn_by_inverse_layer_idx": True}, "is not computed"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(
    shape: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    hf.save(model_of({**SHAPES, **OWN_SHAPES}[shape]), tmp_path)
    change_config(tmp_path, **changes)
    with pytest.raises(FormatError, match=message):
        hf.load(tmp_path)


def test_tensors_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    hf.save(model_of(SHAPES["gpt2-tied"]), tmp_path)
    name = "transformer.h.1.attn.c_attn.weight"
    good = load_file(tmp_path / "model.safetensors")[name]
    for tensor, message in (
        (None, "the tensor is missing"),
        (good[:, :-1].contiguous(), r"shape \[48, 143\], config.json says \[48, 144\]"),
        (good.to(torch.int8), "quantised or no number: I8"),
    ):
        change_tensors(tmp_path, **{name: tensor})
        with pytest.raises(FormatError, match=rf"model.safetensors: {name}: .*{message}"):
            hf.load(tmp_path)
    change_tensors(tmp_path, **{name: good, "transformer.h.0.attn.c_extra.weight": torch.ones(1)})
    with pytest.raises(FormatError, match=r"h\.0\.attn\.c_extra\.weight: unexpected tensor"):
        hf.load(tmp_path)


def test_a_shared_head_may_be_stored_and_must_be_the_embedding(tmp_path: Path) -> None:
    model = model_of(SHAPES["llama-gqa-tied"])
    hf.save(model, tmp_path)
    table = model.embed_tokens.weight.detach()
    change_tensors(tmp_path, **{"lm_head.weight": table.clone()})
    assert torch.equal(hf.load(tmp_path).lm_head.weight, table)
    change_tensors(tmp_path, **{"lm_head.weight": table + 1})
    with pytest.raises(FormatError, match=r"lm_head\.weight: the tensor is another than the embedding"):
        hf.load(tmp_path)
    change_tensors(tmp_path, **{"lm_head.weight": table[1:].clone()})
    with pytest.raises(FormatError, match=r"lm_head\.weight: the tensor has shape"):
        hf.load(tmp_path)


def test_files_that_are_not_what_they_are_called_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"config.json: cannot be read"):
        hf.load(tmp_path)
    hf.save(model_of(SHAPES["qwen3"]), tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04garbage" * 9)
    with pytest.raises(FormatError, match="not a safetensors file"):
        hf.load(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FormatError, match=r"model.safetensors: cannot be read"):
        hf.load(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"model.norm.weight": "../outside.safetensors"}}))
    with pytest.raises(FormatError, match=r"outside its folder: '\.\./outside\.safetensors'"):
        hf.load(tmp_path)
    index.write_text(json.dumps({"weight_map": {"model.norm.weight": ".."}}))
    with pytest.raises(FormatError, match="outside its folder"):
        hf.load(tmp_path)
    index.write_text("[]")
    with pytest.raises(FormatError, match="not an index of tensors"):
        hf.load(tmp_path)
    index.write_text("[" * 100_000)
    with pytest.raises(FormatError, match=r"index.json: cannot be read"):
        hf.load(tmp_path)
    index.unlink()
    os.mkfifo(tmp_path / "model.safetensors")  # would be waited for
    with pytest.raises(FormatError, match=r"model.safetensors: cannot be read"):
        hf.load(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(FormatError, match=r"config.json: is not a JSON object"):
        hf.load(tmp_path)
    (tmp_path / "config.json").write_text('{"a": "' + "a" * (1 << 20) + '"}')
    with pytest.raises(FormatError, match=r"config.json: cannot be read: it is longer than 1048576 bytes"):
        hf.load(tmp_path)


def test_a_tensor_in_two_files_or_under_two_names_is_refused(tmp_path: Path) -> None:
    hf.save(model_of(SHAPES["llama"]), tmp_path, shard_bytes=20_000)
    files = sorted(tmp_path.glob("model-*.safetensors"))
    first, second = load_file(files[0]), load_file(files[1])
    name, tensor = next(iter(first.items()))
    save_file({**second, name: tensor}, files[1])
    with pytest.raises(FormatError, match=rf"{files[1].name}: {name}: the tensor is in {files[0].name}, too"):
        hf.load(tmp_path)
    save_file({**second, "norm.weight": torch.ones(48)}, files[1])
    with pytest.raises(FormatError, match="the tensor is there as"):
        hf.load(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_in_several_files_is_the_same_for_everyone(dtype: torch.dtype, tmp_path: Path) -> None:
    model = model_of(SHAPES["llama-gqa-tied"])
    hf.save(model, tmp_path / "whole", dtype=dtype)
    hf.save(model, tmp_path / "parts", dtype=dtype, shard_bytes=20_000)
    index = json.loads((tmp_path / "parts" / "model.safetensors.index.json").read_text())
    whole = load_file(tmp_path / "whole" / "model.safetensors")
    assert set(index["weight_map"]) == set(whole)
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in whole.values())
    assert len(set(index["weight_map"].values())) > 3
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "parts", dtype=torch.float32).eval()
    again = hf.load(tmp_path / "parts")
    assert all(
        torch.equal(a, b) for a, b in zip(again.parameters(), hf.load(tmp_path / "whole").parameters(), strict=True)
    )
    with torch.no_grad():
        assert (theirs(tokens(32)).logits - again(tokens(32))).abs().max().item() <= 1e-5
    # A folder written over holds one model, not two.
    hf.save(model, tmp_path / "parts", dtype=dtype)
    assert [path.name for path in (tmp_path / "parts").glob("model*")] == ["model.safetensors"]
    hf.save(model, tmp_path / "whole", dtype=dtype, shard_bytes=20_000)
    assert not (tmp_path / "whole" / "model.safetensors").exists()


def test_our_files_are_those_that_the_library_writes(tmp_path: Path) -> None:
    hf.save(model_of(SHAPES["gpt2-tied"]), tmp_path)
    written = (tmp_path / "model.safetensors").read_bytes()
    save_file(load_file(tmp_path / "model.safetensors"), tmp_path / "theirs", metadata={"format": "pt"})
    assert (tmp_path / "theirs").read_bytes() == written


def test_one_tensor_at_a_time_is_made_for_writing(tmp_path: Path) -> None:
    alive: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()

    def make() -> torch.Tensor:
        assert len(alive) <= 1  # the one before may still be in the loop's variable
        tensor = torch.ones(1000)
        alive.add(tensor)
        return tensor

    write_tensors(tmp_path, {f"t{n}": Made((1000,), make) for n in range(20)}, torch.float32, 10_000)


@pytest.mark.parametrize("shape", OWN_SHAPES)
def test_a_shape_that_transformers_has_not_is_written_for_firn_alone_and_says_so(shape: str, tmp_path: Path) -> None:
    model = model_of(OWN_SHAPES[shape])
    hf.save(model, tmp_path, end_of_text=3)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["only_firn_opens_this"] == unexportable(model.settings)
    assert "transformers' " in config["only_firn_opens_this"]
    with pytest.raises(ValueError, match=r"model_type|model type|`firn`"):
        AutoModelForCausalLM.from_pretrained(tmp_path)
    again = hf.load(tmp_path)
    assert again.settings == model.settings
    assert torch.equal(again(tokens(32)), model(tokens(32)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@pytest.mark.parametrize("shape", ["gpt2-tied", "llama3-rope-biases", "qwen3-windows-yarn", "capped"])
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(data=st.data())
def test_whatever_a_config_says_it_is_read_or_refused(shape: str, tmp_path: Path, data: st.DataObject) -> None:
    hf.save(model_of({**SHAPES, **OWN_SHAPES}[shape]), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    target = config
    while isinstance(target, dict):
        key = data.draw(st.sampled_from(sorted(target)))
        if isinstance(target[key], dict) and data.draw(st.booleans()):
            target = target[key]
            continue
        target[key] = data.draw(JSON)
        break
    (tmp_path / "config.json").write_text(json.dumps(config))
    with contextlib.suppress(FormatError):
        hf.load(tmp_path)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 2000), byte=st.integers(0, 255), cut=st.integers(0, 30_000))
def test_whatever_a_file_of_weights_holds_it_is_read_or_refused(tmp_path: Path, at: int, byte: int, cut: int) -> None:
    file = tmp_path / "model.safetensors"
    if not file.exists():
        hf.save(model_of(SHAPES["llama"]), tmp_path)
        (tmp_path / "whole").write_bytes(file.read_bytes())
    whole = bytearray((tmp_path / "whole").read_bytes())
    whole[at] = byte
    file.write_bytes(whole[: len(whole) - cut * (byte % 2)])
    with contextlib.suppress(FormatError):
        hf.load(tmp_path)
