"""Every parameter in exactly one group, at that group's rate."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from firn.core.errors import FirnError
from firn.model.config import ModelSettings
from firn.model.transformer import Transformer
from firn.train.optim import RULES, Optimizers, Rule, gradient_norm, group_parameters, scale_gradients
from firn.train.settings import OptimizerSettings

SHAPE = ModelSettings(preset="gpt2", vocab_size=11, context=8, layers=1, width=8, heads=2)


def model(**changes: object) -> Transformer:
    made = Transformer(SHAPE.model_copy(update=changes))
    made.init_weights(0)
    return made


def test_groups_are_disjoint_and_hold_every_parameter() -> None:
    made = model()
    groups = group_parameters(made)
    names = [name for group in groups.values() for name in group]
    assert sorted(names) == sorted(name for name, _ in made.named_parameters())
    assert set(groups["embedding"]) == {"embed_tokens.weight", "embed_positions.weight"}
    assert set(groups["head"]) == {"lm_head.weight"}
    assert len(groups["matrix"]) == 6
    assert all(parameter.ndim == 1 for parameter in groups["vector"].values())
    assert group_parameters(model(tied=True))["head"] == {}


def test_a_parameter_without_a_group_or_with_two_is_named() -> None:
    made = model()
    with pytest.raises(FirnError, match=r"embed_tokens\.weight.*no group claims it"):
        group_parameters(made, tuple(rule for rule in RULES if rule.group != "embedding"))
    with pytest.raises(FirnError, match=r"lm_head\.weight.*head and twice claim it"):
        group_parameters(made, (*RULES, Rule("twice", r"lm_head.*", (2,))))


def test_each_group_moves_at_its_own_rate_times_the_factor() -> None:
    settings = OptimizerSettings(matrix_lr=0.1, embedding_lr=0.2, head_lr=0.3, vector_lr=0.4, matrices="adamw")
    made = model()
    before = {name: parameter.detach().clone() for name, parameter in made.named_parameters()}
    for parameter in made.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizers = Optimizers(made, settings)
    optimizers.step(0, 0.5)
    rates = {"matrix": 0.05, "embedding": 0.1, "head": 0.15, "vector": 0.2}
    for group, parameters in group_parameters(made).items():
        for name, parameter in parameters.items():
            # AdamW's first step is the sign of the gradient times the rate.
            torch.testing.assert_close(parameter.detach(), before[name] - rates[group], msg=name)
    optimizers.zero_grad()
    assert all(parameter.grad is None for parameter in made.parameters())


def test_muon_moves_matrices_and_its_momentum_warms_up() -> None:
    made = model()
    for parameter in made.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizers = Optimizers(made, OptimizerSettings(momentum_warmup=10))
    optimizers.step(5, 1.0)
    assert optimizers.muon is not None
    assert optimizers.muon.param_groups[0]["momentum"] == pytest.approx(0.9)
    names = {name for name, _ in optimizers.state()}
    matrices = group_parameters(made)["matrix"]
    assert {name for name in names if name.endswith("momentum_buffer")} == {f"{n}/momentum_buffer" for n in matrices}


def test_the_norm_is_that_of_all_gradients_and_clipping_scales_them_all() -> None:
    made = nn.Linear(3, 2)
    made.weight.grad, made.bias.grad = torch.full((2, 3), 2.0), torch.full((2,), 1.0)
    norm = gradient_norm(made)
    assert float(norm) == pytest.approx(26**0.5)
    scale_gradients(made, norm, 1.0)
    assert float(gradient_norm(made)) == pytest.approx(1.0, abs=1e-5)
    assert float(made.weight.grad[0, 0] / made.bias.grad[0]) == pytest.approx(2.0)
    made.bias.grad[0] = float("inf")
    assert not gradient_norm(made).isfinite()


def test_the_model_ends_in_the_running_mean_of_its_weights() -> None:
    made = model()
    optimizers = Optimizers(made, OptimizerSettings(average=0.75))
    mean: dict[str, torch.Tensor] = {}
    for step in range(4):
        for parameter in made.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizers.step(step, 1.0)
        now = {name: parameter.detach().clone() for name, parameter in made.named_parameters()}
        mean = {name: 0.75 * mean[name] + 0.25 * now[name] if mean else now[name] for name in now}
    resumed = model()
    again = Optimizers(resumed, OptimizerSettings(average=0.75))
    again.load_state({name: value.clone() for name, value in optimizers.state()})
    for ended, keeper in ((made, optimizers), (resumed, again)):
        keeper.take_averages()
        for name, parameter in ended.named_parameters():
            torch.testing.assert_close(parameter.detach(), mean[name])


def test_a_table_that_starts_small_or_is_the_head_gets_small_steps() -> None:
    large = model(preset="llama")
    small = [model(), model(tied=True), model(preset="olmo2"), model(preset="llama", tied=True)]
    rates = [
        next(
            group["full_lr"]
            for optimizer in Optimizers(made, OptimizerSettings()).all
            for group in optimizer.param_groups
            if any(parameter is made.embed_tokens.weight for parameter in group["params"])
        )
        for made in (large, *small)
    ]
    assert rates == [0.3, 0.003, 0.003, 0.003, 0.003]
    for made in small:  # the rule stands on how the tables start
        assert float(made.embed_tokens.weight.detach().std()) < 0.1
    assert float(large.embed_tokens.weight.detach().std()) > 0.5


@pytest.mark.parametrize("matrices", ["muon", "adamw"])
def test_each_group_decays_by_its_own_share(matrices: str) -> None:
    rates = {"matrices": matrices, "matrix_lr": 0.02, "embedding_lr": 0.3}
    found = {}
    for decay in ({}, {"weight_decay": 0.1, "embedding_decay": 0.2, "head_decay": 0.0}):
        made = model()
        for parameter in made.parameters():
            parameter.grad = torch.ones_like(parameter)
        Optimizers(made, OptimizerSettings.model_validate({**rates, **decay})).step(0, 1.0)
        found[bool(decay)] = dict(made.named_parameters())
    shares = {"matrix": 0.1 * 0.02, "embedding": 0.2 * 0.3, "head": 0.0, "vector": 0.0}
    for group, parameters in group_parameters(model()).items():
        for name, before in parameters.items():
            torch.testing.assert_close(
                found[False][name] - found[True][name], shares[group] * before, atol=1e-6, rtol=1e-3, msg=name
            )


@pytest.mark.parametrize("changes", [{}, {"row_beta": 0.95, "cautious": True, "weight_decay": 0.1}, {"average": 0.9}])
@pytest.mark.parametrize("matrices", ["muon", "adamw"])
def test_an_update_masked_on_the_device_is_the_update_or_none(matrices: str, changes: dict[str, Any]) -> None:
    settings = OptimizerSettings.model_validate({"matrices": matrices, **changes})

    def made() -> tuple[Transformer, Optimizers]:
        model = Transformer(ModelSettings(preset="llama", layers=2, width=16, heads=2, context=8, vocab_size=32))
        model.init_weights(0)
        return model, Optimizers(model, settings)

    def step(model: Transformer, optimizers: Optimizers, n: int, keep: bool | None, bad: bool = False) -> None:
        for i, parameter in enumerate(model.parameters()):
            generator = torch.Generator().manual_seed(100 * n + i)
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            if bad:
                parameter.grad.view(-1)[0] = float("nan")
        optimizers.step(n, 0.5, None if keep is None else torch.tensor(keep))

    def everything(model: Transformer, optimizers: Optimizers) -> dict[str, torch.Tensor]:
        return {**dict(model.named_parameters()), **{f"state/{k}": v for k, v in optimizers.state()}}

    plain, masked = made(), made()
    if "average" not in changes:  # also the first of all steps, before which there is no state
        step(*masked, 0, keep=False, bad=True)
    for n in range(3):
        step(*plain, n, keep=None)
        step(*masked, n, keep=True)
        step(*masked, n, keep=False, bad=True)
    expected, found = everything(*plain), everything(*masked)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        if name.endswith("/average"):  # a share on the device is one in fp32
            torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-6)
        else:
            assert torch.equal(found[name], value), name
