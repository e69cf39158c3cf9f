"""The decoder: its cache, its initial weights, its loss, and its FLOPs against a count by hooks."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from model_shapes import SHAPES, SIZE, model_of, tokens
from torch import nn

from firn.core.errors import RecipeError
from firn.model.config import GPT2_SIZES, ModelSettings
from firn.model.objective import next_token_loss
from firn.model.transformer import Transformer


def test_the_cache_takes_several_tokens_at_a_time(model: Transformer) -> None:
    all_at_once = model(tokens(12))
    cache: list[tuple[torch.Tensor, torch.Tensor]] = []
    parts = [model(part, cache) for part in tokens(12).split([5, 1, 4, 2], dim=1)]
    assert torch.allclose(torch.cat(parts, dim=1), all_at_once, atol=1e-5)


def test_no_position_sees_what_comes_after_it(model: Transformer) -> None:
    a, b = tokens(16), tokens(16).clone()
    b[:, 10:] = (b[:, 10:] + 1) % 97
    assert torch.allclose(model(a)[:, :10], model(b)[:, :10], atol=1e-6)
    assert not torch.allclose(model(a)[:, 10:], model(b)[:, 10:], atol=1e-3)


def test_flops_against_a_count_by_hooks(model: Transformer) -> None:
    multiplied = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal multiplied
        assert isinstance(module, nn.Linear)
        multiplied += inputs[0].numel() // inputs[0].shape[-1] * module.weight.numel()

    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(count)
    T = 32
    model(tokens(T, 1))
    s = model.settings
    # Forward 2 FLOPs per multiply-add, backward twice that. Attention: q k^T and p v, T x T x H x E multiply-adds each.
    expected = 6 * multiplied + 3 * s.layers * 2 * 2 * T * T * s.heads * s.head_size
    assert model.flops_per_token(T) * T == expected


def test_gpt2_has_its_published_number_of_parameters() -> None:
    # 124,439,808 and 354,823,168: counted on the released checkpoints.
    for name, count in (("gpt2-small", 124_439_808), ("gpt2-medium", 354_823_168)):
        with torch.device("meta"):
            assert Transformer(GPT2_SIZES[name]).num_parameters() == count


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
    cache: list[tuple[torch.Tensor, torch.Tensor]] = []
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


def test_a_fresh_model_predicts_uniformly() -> None:
    for preset in ("llama", "qwen3"):
        model = Transformer(ModelSettings(preset=preset, **SIZE))
        model.init_weights(0)
        nats = model.loss(tokens(32), tokens(32)).item() / 64
        assert nats == pytest.approx(math.log(97), abs=0.01)


def test_the_chunked_loss_is_cross_entropy_with_its_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 11, 8, generator=generator, requires_grad=True)
    head = torch.randn(50, 8, generator=generator, requires_grad=True)
    targets = torch.randint(0, 50, (3, 11), generator=generator)
    targets[0, 4:] = -1
    expected = nn.functional.cross_entropy((hidden @ head.T).flatten(0, 1), targets.flatten(), ignore_index=-1) * 26
    gradients = torch.autograd.grad(expected, (hidden, head))
    for chunk in (5, 33, 100):
        loss = next_token_loss(hidden, head, targets, chunk)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
        for ours, plain in zip(torch.autograd.grad(loss, (hidden, head)), gradients, strict=True):
            assert torch.allclose(ours, plain, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"heads": 5}, "model.heads"),
        ({"kv_heads": 3}, "model.kv_heads"),
        ({"preset": "gpt2", "kv_heads": 2}, "model.preset"),
        ({"preset": "gpt2", "normalise_embedding": True}, "model.normalise_embedding"),
        ({"tied": True, "normalise_embedding": True}, "model.normalise_embedding"),
        ({"head_width": 7}, "model.head_width"),
    ],
)
def test_shapes_that_cannot_be_are_refused(wrong: dict[str, Any], key: str) -> None:
    with pytest.raises(RecipeError) as caught:
        ModelSettings(**{**SIZE, **wrong})
    assert caught.value.key == key
    assert caught.value.mend
