"""The speedrun variant: what the decoder's tests ask of a model, and that it says where it cannot go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from model_shapes import SIZE, model_of, tokens
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM

from firn.core.errors import FormatError, RecipeError
from firn.model import hf
from firn.model.attention import Cache, Documents
from firn.model.generate import generate
from firn.model.gguf_export import save_gguf
from firn.model.speedrun import Speedrun, build
from firn.model.speedrun_config import SpeedrunSettings
from firn.model.transformer import Transformer
from firn.train.optim import group_parameters

SETTINGS = SpeedrunSettings(**{**SIZE, "layers": 3}, kv_heads=2, windows=(6, 0))


def model(settings: SpeedrunSettings = SETTINGS) -> Speedrun:
    made = build(settings)
    assert isinstance(made, Speedrun)
    made.init_weights(1)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return made


def test_a_speedrun_is_built_where_the_settings_say_so() -> None:
    assert type(build(SETTINGS)) is Speedrun
    assert type(build(model_of(SETTINGS.__class__.__base__(**SIZE)).settings)) is Transformer  # type: ignore[misc]
    assert sorted(build(SETTINGS).embed_values) == ["0", "2"]
    assert not len(build(SETTINGS.model_copy(update={"value_embedding_every": 0})).embed_values)


def test_the_cache_documents_and_the_future() -> None:
    ours, text = model(), tokens(20)
    whole = ours(text)
    cache: Cache = []
    assert torch.allclose(torch.cat([ours(part, cache) for part in text.split([7, 1, 12], 1)], 1), whole, atol=1e-5)
    alone = ours.hidden(text[:, 9:])
    together = ours.hidden(text, documents=Documents.of([[0, 9]] * 2, 20))
    assert torch.allclose(together[:, 9:], alone, atol=1e-5)
    changed = text.clone()
    changed[:, 12:] = (changed[:, 12:] + 1) % 97
    assert torch.allclose(ours(changed)[:, :12], whole[:, :12], atol=1e-6)
    assert len(list(generate(ours, [1, 2], max_tokens=40))) == 40
    assert whole.abs().max() < 15  # the cap


def test_it_begins_as_the_decoder_without_its_additions() -> None:
    """With the embedding's weight and the values' set to zero, and QK-norms of weight 1, it is the plain decoder."""
    ours = build(SETTINGS)
    ours.init_weights(3)
    plain = Transformer(SETTINGS)
    plain.init_weights(3)
    with torch.no_grad():
        for parameter in (*plain.layers.parameters(), *ours.layers.parameters()):
            if parameter.ndim == 2 and not parameter.any():
                parameter.normal_(0, 0.1, generator=torch.Generator().manual_seed(len(parameter)))
        for block in ours.layers:
            block.mix.copy_(torch.tensor([1.0, 0.0, 0.0]))
        assert torch.allclose(ours(tokens(20)), plain(tokens(20)), atol=1e-5)
        for block in ours.layers:
            block.mix.copy_(torch.tensor([1.0, 0.0, 1.0]))
        assert not torch.allclose(ours(tokens(20)), plain(tokens(20)), atol=1e-3)


def test_every_parameter_learns_and_has_an_optimizer() -> None:
    ours = model()
    loss = ours.loss(tokens(32), tokens(32))
    loss.backward()
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None, name
        if name != "layers.1.mix":  # has no value embedding to weigh
            assert parameter.grad.abs().max() > 0, name
    groups = group_parameters(ours)
    assert set(groups["embedding"]) == {"embed_tokens.weight", "embed_values.0.weight", "embed_values.2.weight"}


def test_flops_and_parameters() -> None:
    ours, T = model(SETTINGS.model_copy(update={"windows": ()})), 32
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        ours(tokens(T, 1)).sum().backward()
    assert ours.flops_per_token(T) * T == counter.get_total_flops()
    tables = 97 * 48 + 2 * 97 * 24
    assert ours.num_parameters() - ours.num_parameters(embeddings=False) == tables


def test_it_is_written_for_firn_alone_and_says_so(tmp_path: Path) -> None:
    ours = model()
    hf.save(ours, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert "the speedrun variant's value embeddings" in config["only_firn_opens_this"]
    with pytest.raises(ValueError, match="firn"):
        AutoModelForCausalLM.from_pretrained(tmp_path)
    again = hf.load(tmp_path)
    assert isinstance(again, Speedrun)
    assert again.settings == SETTINGS
    assert torch.equal(again(tokens(20)), ours(tokens(20)))
    with pytest.raises(RecipeError, match="speedrun variant"):
        save_gguf(ours, tmp_path / "m.gguf", b"", end_of_text=0)
    config["settings"]["variant"] = "other"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(FormatError, match="variant"):
        hf.load(tmp_path)


@pytest.mark.parametrize("fixed", [{"preset": "gpt2"}, {"tied": True}, {"qk_norm": "none"}, {"residual_scale": 0.5}])
def test_what_it_has_not_is_refused(fixed: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"no choice of|cannot be folded|would be normalised"):
        SpeedrunSettings(**SIZE, **fixed)
