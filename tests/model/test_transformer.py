"""The decoder: its cache, its initial weights, its loss, and its FLOPs against a count by hooks."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from model_shapes import SHAPES, SIZE, model_of, tokens
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from firn.core.errors import RecipeError
from firn.model.attention import Cache, Documents
from firn.model.config import ModelSettings
from firn.model.presets import DECODERS
from firn.model.transformer import Transformer


def test_the_cache_takes_several_tokens_at_a_time(any_model: Transformer) -> None:
    all_at_once = any_model(tokens(12))
    cache: Cache = []
    parts = [any_model(part, cache) for part in tokens(12).split([5, 1, 4, 2], dim=1)]
    assert torch.allclose(torch.cat(parts, dim=1), all_at_once, atol=1e-5)


def test_no_position_sees_what_comes_after_it(any_model: Transformer) -> None:
    a, b = tokens(16), tokens(16).clone()
    b[:, 10:] = (b[:, 10:] + 1) % 97
    assert torch.allclose(any_model(a)[:, :10], any_model(b)[:, :10], atol=1e-6)
    assert not torch.allclose(any_model(a)[:, 10:], any_model(b)[:, 10:], atol=1e-3)


def test_a_document_is_read_as_if_it_stood_alone(any_model: Transformer) -> None:
    starts = [[0, 1, 9], [0, 17]]
    text = tokens(20)
    together = any_model.hidden(text, documents=Documents.of(starts, 20))
    for row, begins in enumerate(starts):
        for start, stop in zip(begins, [*begins[1:], 20], strict=True):
            alone = any_model.hidden(text[row : row + 1, start:stop])
            assert torch.allclose(together[row, start:stop], alone[0], atol=2e-5)


def test_a_layer_sees_its_window_and_no_further() -> None:
    model = model_of(ModelSettings(preset="llama", windows=(4,), **{**SIZE, "layers": 1}))
    a, b = tokens(16), tokens(16).clone()
    b[:, 5] = (b[:, 5] + 1) % 97
    changed = (model(a) - model(b)).abs().amax((0, 2)) > 1e-6
    assert changed.nonzero()[:, 0].tolist() == [5, 6, 7, 8]


@pytest.mark.parametrize("shape", SHAPES)
def test_flops_against_those_that_torch_counts(shape: str) -> None:
    settings = SHAPES[shape].model_copy(update={"windows": ()})
    model, T = model_of(settings), 32
    # The plain kernel, so that attention too consists of products that the counter sees.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(tokens(T, 1)).sum().backward()
    assert model.flops_per_token(T) * T == counter.get_total_flops()
    assert model.num_parameters() == sum({p: p.numel() for p in model.parameters()}.values())


def test_a_window_counts_with_its_length() -> None:
    whole, cut = (Transformer(ModelSettings(windows=windows, **SIZE)) for windows in ((), (8, 0)))
    assert whole.flops_per_token(32) - cut.flops_per_token(32) == 12 * 48 * (32 - 8)
    assert whole.flops_per_token(8) == cut.flops_per_token(8)


@pytest.mark.parametrize(
    ("name", "count"),
    [  # counted on the released checkpoints
        ("gpt2-small", 124_439_808),
        ("gpt2-medium", 354_823_168),
        ("gpt2-large", 774_030_080),
        ("gpt2-xl", 1_557_611_200),
        ("llama3-like", 1_235_814_400),
        ("qwen3-like", 596_049_920),
        ("olmo2-like", 1_484_916_736),
    ],
)
def test_presets_have_their_published_number_of_parameters(name: str, count: int) -> None:
    with torch.device("meta"):
        assert Transformer(DECODERS[name]).num_parameters() == count


INITIAL = {
    "gpt2-tied": 1039.877562718365,
    "llama": 8763.599734633577,
    "llama-gqa-tied": 4548.677637426554,
    "qwen3": 8811.599734633577,
    "qwen3-gqa-wide": 8249.972628890884,
    "olmo2-gqa": 1348.7111996942576,
}


@pytest.mark.parametrize("shape", INITIAL)
def test_initial_weights_never_change(shape: str) -> None:
    """A run names its seed, and the seed its weights. Sums of magnitudes, taken when each shape was first written; the
    last bits of a logarithm differ between processors."""
    model = Transformer(SHAPES[shape])
    model.init_weights(7)
    found = math.fsum(parameter.detach().double().abs().sum().item() for parameter in model.parameters())
    assert found == pytest.approx(INITIAL[shape], rel=1e-6)


def test_a_model_on_the_meta_device_is_not_initialised_in_silence() -> None:
    with torch.device("meta"):
        model = Transformer(SHAPES["llama"])
    with pytest.raises(ValueError, match=r"embed_tokens\.weight is on the meta device: call to_empty"):
        model.init_weights(0)


def test_weights_depend_on_seed_and_name_alone() -> None:
    settings = SHAPES["qwen3"]
    deeper = settings.model_copy(update={"layers": 3})
    models = [Transformer(settings), Transformer(settings), Transformer(deeper), Transformer(settings)]
    for n, model in enumerate(models):
        torch.manual_seed(n)
        model.init_weights(5 if n < 3 else 6)
    first = dict(models[0].named_parameters())
    for other in models[1:3]:
        named = dict(other.named_parameters())
        assert all(torch.equal(first[name], named[name]) for name in first)
    assert not torch.equal(first["embed_tokens.weight"], models[3].embed_tokens.weight)


def test_building_and_setting_a_model_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    Transformer(SHAPES["gpt2-tied"]).init_weights(0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_model_built_on_meta_gets_the_same_weights(shape: str) -> None:
    direct = Transformer(SHAPES[shape])
    direct.init_weights(2)
    with torch.device("meta"):
        later = Transformer(SHAPES[shape])
    later.to_empty(device="cpu").init_weights(2)
    assert (later.lm_head.weight is later.embed_tokens.weight) == SHAPES[shape].tied
    assert list(direct.state_dict()) == list(later.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(direct.parameters(), later.parameters(), strict=True))


def test_a_parameter_without_a_rule_is_an_error() -> None:
    model = Transformer(SHAPES["llama"])
    model.layers[0].scale = nn.Parameter(torch.empty(3))
    with pytest.raises(ValueError, match=r"no rule for layers\.0\.scale"):
        model.init_weights(0)


def test_more_tokens_than_the_context_are_refused(model: Transformer) -> None:
    with pytest.raises(ValueError, match="33 tokens in a context of 32"):
        model(tokens(33))
    cache: Cache = []
    model(tokens(32), cache)
    with pytest.raises(ValueError, match="33 tokens in a context of 32"):
        model(tokens(1), cache)


def test_bf16_computes_close_to_fp32_and_keeps_fp32_weights() -> None:
    model = model_of(SHAPES["qwen3-gqa-wide"])
    exact = model.loss(tokens(32), tokens(32))
    model.compute_dtype = torch.bfloat16
    assert model.hidden(tokens(32)).dtype == torch.bfloat16
    loss = model.loss(tokens(32), tokens(32))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=0.01)
    loss.backward()
    assert all(p.dtype == torch.float32 and p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(("preset", "off"), [("llama", 0.01), ("qwen3", 0.01), ("olmo2", 0.05), ("gpt2", 0.05)])
def test_a_fresh_model_predicts_almost_uniformly(preset: Any, off: float) -> None:
    model = Transformer(ModelSettings(preset=preset, **SIZE))
    model.init_weights(0)
    targets = torch.randint(0, 97, (2, 32), generator=torch.Generator().manual_seed(5))
    assert model.loss(tokens(32), targets).item() / 64 == pytest.approx(math.log(97), abs=off)


YARN = {"kind": "yarn", "factor": 2, "original_context": 8}


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"heads": 5}, "model.heads"),
        ({"kv_heads": 3}, "model.kv_heads"),
        ({"preset": "gpt2", "kv_heads": 2}, "model.preset"),
        ({"preset": "gpt2", "normalise_embedding": True}, "model.normalise_embedding"),
        ({"tied": True, "normalise_embedding": True}, "model.normalise_embedding"),
        ({"head_width": 7}, "model.head_width"),
        ({"windows": (4, -1)}, "model.windows"),
        (
            {"preset": "gpt2", "rope_scaling": {"kind": "yarn", "factor": 2, "original_context": 8}},
            "model.rope_scaling",
        ),
    ],
)
def test_shapes_that_cannot_be_are_refused(wrong: dict[str, Any], key: str) -> None:
    with pytest.raises(RecipeError) as caught:
        ModelSettings(**{**SIZE, **wrong})
    assert caught.value.key == key
    assert caught.value.mend
