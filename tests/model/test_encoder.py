"""The encoder: against transformers' ModernBERT, its documents, its FLOPs, and hostile folders."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_shapes import tokens
from safetensors.torch import load_file
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForMaskedLM, AutoTokenizer, ModernBertConfig, ModernBertForMaskedLM, pipeline

from firn.core.errors import FormatError, RecipeError
from firn.model import hf
from firn.model.attention import Documents
from firn.model.encoder import Encoder
from firn.model.encoder_config import EncoderSettings
from firn.model.hf_encoder import load_encoder, save_encoder
from firn.model.presets import ENCODERS

SETTINGS = EncoderSettings(
    vocab_size=97, context=64, layers=5, width=48, heads=4, ffn_width=40, local_window=8, global_every=3
)


def encoder(shape: EncoderSettings = SETTINGS) -> Encoder:
    model = Encoder(shape)
    model.init_weights(1)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def test_transformers_computes_the_same_from_our_folder(tmp_path: Path) -> None:
    model = encoder()
    save_encoder(model, tmp_path, end_of_text=3, mask=4)
    theirs, report = AutoModelForMaskedLM.from_pretrained(tmp_path, output_loading_info=True, dtype=torch.float32)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    with torch.no_grad():
        assert (theirs.eval()(tokens(64)).logits - model(tokens(64))).abs().max().item() <= 1e-5


@pytest.mark.parametrize("shard", ["10GB", "20KB"])
def test_folders_that_transformers_wrote_are_read(shard: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = ModernBertConfig(
        vocab_size=97,
        hidden_size=48,
        intermediate_size=40,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=64,
        local_attention=8,
        pad_token_id=0,
        global_attn_every_n_layers=2,
    )
    theirs = ModernBertForMaskedLM(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    theirs.save_pretrained(tmp_path, max_shard_size=shard)
    model = load_encoder(tmp_path)
    assert model.settings.global_every == 2
    with torch.no_grad():
        assert (theirs(tokens(64)).logits - model(tokens(64))).abs().max().item() <= 1e-5


def test_a_folder_is_read_back_and_written_again_with_the_same_bytes(tmp_path: Path) -> None:
    save_encoder(encoder(), tmp_path / "a", end_of_text=3)
    again = load_encoder(tmp_path / "a")
    assert again.settings == SETTINGS
    save_encoder(again, tmp_path / "b", end_of_text=3)
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_config_of_the_released_model_is_read(tmp_path: Path) -> None:
    """As it was released, with the keys of that time."""
    save_encoder(encoder(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for key in ("layer_types", "rope_parameters", "tie_word_embeddings", "dtype", "torch_dtype"):
        del config[key]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_encoder(tmp_path).settings == SETTINGS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bert"}, "model_type: 'bert' is not computed"),
        ({"hidden_activation": "silu"}, "hidden_activation: 'silu' is not computed"),
        ({"norm_bias": True}, "norm_bias: True is not computed"),
        ({"layer_types": ["full_attention", "full_attention", "sliding_attention"] * 2}, "layer_types: is not one"),
        ({"layer_types": 5}, "of the wrong type"),
        ({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "'yarn' is not computed"),
        ({"rope_parameters": [1]}, "of the wrong type"),
        ({"num_hidden_layers": 10**9, "layer_types": None}, "1000000000 layers, but"),
        ({"vocab_size": None}, "vocab_size: Input should be a valid integer"),
        ({"vocab_size": 96}, r"the tensor has shape \[97\], config.json says \[96\]"),
        ({"num_attention_heads": 16}, "width 48 is not an even multiple of heads 16"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    save_encoder(encoder(), tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    with pytest.raises(FormatError, match=message):
        load_encoder(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_a_config_says_it_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    save_encoder(encoder(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    target = data.draw(st.sampled_from([config, config["rope_parameters"]]))
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(JSON)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with contextlib.suppress(FormatError):
        load_encoder(tmp_path)


def test_the_mask_token_of_the_tokenizer_is_transformers_too(tmp_path: Path) -> None:
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    special = ["<|endoftext|>", "<|mask|>"]
    made.train_from_iterator(
        ["the snow"], tokenizers.trainers.BpeTrainer(special_tokens=special, initial_alphabet=alphabet)
    )
    model = encoder(SETTINGS.model_copy(update={"vocab_size": made.get_vocab_size()}))
    save_encoder(model, tmp_path, made.to_str().encode(), "# A card", end_of_text=0, mask=1)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert (theirs.mask_token_id, theirs.pad_token_id, theirs.cls_token_id) == (1, 0, 0)
    assert theirs.encode("the <|mask|>")[-1] == 1
    filled = pipeline("fill-mask", str(tmp_path), device="cpu")("the <|mask|>", top_k=3)
    ids = torch.tensor([theirs.encode("the <|mask|>")])
    best = model(ids)[0, -1].softmax(0).topk(3)
    assert [found["token"] for found in filled] == best.indices.tolist()
    assert [found["score"] for found in filled] == pytest.approx(best.values.tolist(), abs=1e-5)


def test_a_decoder_is_not_read_as_an_encoder_or_the_other_way_round(tmp_path: Path) -> None:
    save_encoder(encoder(), tmp_path)
    with pytest.raises(FormatError, match="'modernbert' is not one of"):
        hf.load(tmp_path)


def test_a_token_sees_both_sides() -> None:
    model = encoder()
    a, b = tokens(40), tokens(40).clone()
    b[:, 20] = (b[:, 20] + 1) % 97
    assert ((model(a) - model(b)).abs().amax((0, 2)) > 1e-6).all()


def test_a_document_is_read_as_if_it_stood_alone() -> None:
    model, text, starts = encoder(), tokens(40), [[0, 1, 9], [0, 27]]
    together = model.hidden(text, Documents.of(starts, 40))
    for row, begins in enumerate(starts):
        for start, stop in zip(begins, [*begins[1:], 40], strict=True):
            alone = model.hidden(text[row : row + 1, start:stop])
            assert torch.allclose(together[row, start:stop], alone[0], atol=2e-5)


def test_the_loss_is_that_of_the_hidden_tokens_with_its_gradient() -> None:
    model, text = encoder(), tokens(40)
    targets = text.where(torch.rand(text.shape, generator=torch.Generator().manual_seed(0)) < 0.3, -1)
    expected = torch.nn.functional.cross_entropy(
        model(text).flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="none"
    ).view_as(targets)
    gradients = torch.autograd.grad(expected.sum(), list(model.parameters()))
    found = model.losses(text, targets)
    assert found.total.item() == pytest.approx(expected.sum().item(), rel=1e-5)
    assert torch.allclose(found.nats, expected, atol=1e-5)
    for ours, plain in zip(torch.autograd.grad(found.total, list(model.parameters())), gradients, strict=True):
        assert torch.allclose(ours, plain, atol=1e-4)
    nothing = model.losses(text, torch.full_like(text, -1)).total
    assert nothing.item() == 0
    assert all(gradient.abs().max() == 0 for gradient in torch.autograd.grad(nothing, list(model.parameters())))


def test_flops_against_those_that_torch_counts() -> None:
    # A window that holds the whole text, so that what is computed is what is counted.
    model, T = encoder(SETTINGS.model_copy(update={"local_window": 128})), 32
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(tokens(T, 1)).sum().backward()
    assert model.flops_per_token(T) * T == counter.get_total_flops()
    local = Encoder(SETTINGS).flops_per_token(T)
    assert model.flops_per_token(T) - local == 12 * 48 * 3 * (T - 9)


def test_the_preset_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = Encoder(ENCODERS["modernbert-like"])
    assert model.num_parameters() == 149_655_232  # of the released ModernBERT-base


def test_weights_are_those_of_the_seed_and_of_no_device(tmp_path: Path) -> None:
    direct = Encoder(SETTINGS)
    direct.init_weights(2)
    with torch.device("meta"):
        later = Encoder(SETTINGS)
    with pytest.raises(ValueError, match="is on the meta device"):
        later.init_weights(2)
    later.to_empty(device="cpu").init_weights(2)
    assert all(torch.equal(a, b) for a, b in zip(direct.parameters(), later.parameters(), strict=True))
    save_encoder(direct, tmp_path, dtype=torch.bfloat16)
    assert load_file(tmp_path / "model.safetensors")["decoder.bias"].dtype == torch.bfloat16


def test_shapes_that_cannot_be_are_refused() -> None:
    with pytest.raises(RecipeError, match="not an even multiple"):
        EncoderSettings(width=15, heads=5)
    with pytest.raises(ValueError, match="vocab_size is not set"):
        Encoder(EncoderSettings())
    with pytest.raises(ValueError, match="65 tokens in a context of 64"):
        encoder()(tokens(65))
