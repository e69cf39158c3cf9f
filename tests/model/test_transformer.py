"""The decoder against transformers, a hook-based FLOP count, and its own cache."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from firn.core.errors import FormatError, RecipeError
from firn.model import hf
from firn.model.config import GPT2_SIZES, ModelSettings
from firn.model.generate import distribution, generate
from firn.model.objective import next_token_loss
from firn.model.transformer import Transformer

SIZE: dict[str, Any] = {"vocab_size": 97, "context": 32, "layers": 2, "width": 48, "heads": 4}
SHAPES = {
    "gpt2-tied": ModelSettings(preset="gpt2", tied=True, norm_eps=1e-5, **SIZE),
    "gpt2-untied": ModelSettings(preset="gpt2", **SIZE),
    "llama": ModelSettings(preset="llama", **SIZE),
    "llama-gqa-tied": ModelSettings(preset="llama", kv_heads=2, tied=True, rope_theta=500_000.0, **SIZE),
    "qwen3": ModelSettings(preset="qwen3", **SIZE),
    "qwen3-gqa-wide": ModelSettings(preset="qwen3", kv_heads=1, head_width=16, normalise_embedding=True, **SIZE),
}


def model_of(settings: ModelSettings, seed: int = 1) -> Transformer:
    """A model whose every parameter is random, so that zero-initialised ones take part too."""
    model = Transformer(settings)
    model.init_weights(seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture(params=SHAPES)
def model(request: pytest.FixtureRequest) -> Transformer:
    return model_of(SHAPES[request.param])


def tokens(count: int, windows: int = 2) -> torch.Tensor:
    return torch.randint(0, 97, (windows, count), generator=torch.Generator().manual_seed(count))


def test_transformers_computes_the_same_logits_from_our_folder(model: Transformer, tmp_path: Path) -> None:
    hf.save(model, tmp_path)
    theirs, report = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True, dtype=torch.float32)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    theirs.eval()
    with torch.no_grad():
        difference = (theirs(tokens(32)).logits - model(tokens(32))).abs().max().item()
    assert difference <= 1e-5


def test_a_folder_is_read_back_and_written_again_with_the_same_bytes(model: Transformer, tmp_path: Path) -> None:
    hf.save(model, tmp_path / "a", end_of_text=3)
    again = hf.load(tmp_path / "a")
    with torch.no_grad():
        assert (again(tokens(32)) - model(tokens(32))).abs().max().item() <= 1e-5
    hf.save(again, tmp_path / "b", end_of_text=3)
    for name in ("model.safetensors", "config.json", "generation_config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_folders_that_transformers_wrote_are_read(tmp_path: Path) -> None:
    torch.manual_seed(0)
    written = {
        "gpt2": GPT2LMHeadModel(GPT2Config(vocab_size=97, n_positions=32, n_embd=48, n_layer=2, n_head=4)),
        "llama": LlamaForCausalLM(
            LlamaConfig(
                vocab_size=97,
                hidden_size=48,
                intermediate_size=80,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=32,
            )
        ),
    }
    for name, theirs in written.items():
        theirs.eval().save_pretrained(tmp_path / name)
        with torch.no_grad():
            difference = (theirs(tokens(32)).logits - hf.load(tmp_path / name)(tokens(32))).abs().max().item()
        assert difference <= 1e-5


def test_a_folder_that_does_not_fit_is_refused_by_name(tmp_path: Path) -> None:
    hf.save(model_of(SHAPES["qwen3"]), tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    with pytest.raises(FormatError, match=r"model.safetensors: layers\.2\..*: the tensor is missing"):
        hf.load(tmp_path)
    (tmp_path / "config.json").write_text(config.replace('"vocab_size": 97', '"vocab_size": 98'))
    with pytest.raises(FormatError, match=r"embed_tokens.weight: the tensor has shape \[97, 48\]"):
        hf.load(tmp_path)
    (tmp_path / "config.json").write_text(config.replace('"qwen3"', '"mamba"'))
    with pytest.raises(FormatError, match="model_type 'mamba'"):
        hf.load(tmp_path)
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04garbage" * 9)
    with pytest.raises(FormatError, match="not a safetensors file"):
        hf.load(tmp_path)


def test_generation_with_the_cache_equals_generation_without_it(model: Transformer) -> None:
    prompt = tokens(5, 1)[0].tolist()
    # 60 tokens overflow the context of 32, so the window slides too.
    for temperature in (0.0, 0.8):
        with_cache = list(generate(model, prompt, max_tokens=60, temperature=temperature, top_p=0.9, seed=7))
        without = list(
            generate(model, prompt, max_tokens=60, temperature=temperature, top_p=0.9, seed=7, use_cache=False)
        )
        assert with_cache == without
        assert len(with_cache) == 60


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


def test_what_is_drawn_from() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    assert distribution(logits, 1.0, None, 1.0).tolist() == pytest.approx([0.5, 0.3, 0.15, 0.05])
    assert distribution(logits, 1.0, 2, 1.0).tolist() == pytest.approx([0.625, 0.375, 0, 0])
    # 0.5 < 0.6, so the second token is needed to reach it.
    assert distribution(logits, 1.0, None, 0.6).tolist() == pytest.approx([0.625, 0.375, 0, 0])
    assert distribution(logits, 1.0, None, 1e-9).tolist() == [1, 0, 0, 0]
    squares = [0.25, 0.09, 0.0225, 0.0025]
    assert distribution(logits, 0.5, None, 1.0).tolist() == pytest.approx([x / sum(squares) for x in squares])


def test_generation_is_seeded_and_stops() -> None:
    model = model_of(SHAPES["llama"])
    draw = lambda seed, stop=(): list(generate(model, [1, 2], max_tokens=20, seed=seed, stop=stop))
    assert draw(3) == draw(3) != draw(4)
    assert draw(3, {draw(3)[6]}) == draw(3)[: draw(3).index(draw(3)[6])]


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
