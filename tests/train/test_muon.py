"""Muon: its polar factor against an SVD, its step against the definition written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from firn.train.muon import Muon, orthogonalize


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def polar(matrix: Tensor) -> Tensor:
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    return left @ right


@pytest.mark.parametrize("shape", [(8, 8), (6, 20), (20, 6), (3, 5, 9)])
def test_seven_polynomials_give_the_polar_factor(shape: tuple[int, ...]) -> None:
    found = orthogonalize(drawn(*shape), steps=7)
    torch.testing.assert_close(found, polar(drawn(*shape)), atol=2e-3, rtol=0)


def test_five_polynomials_bring_singular_values_of_a_thousandfold_range_near_one() -> None:
    left, right = polar(drawn(32, 32)), polar(drawn(32, 32, seed=1))
    matrix = left @ torch.diag(torch.logspace(0, -3, 32, dtype=torch.float64)) @ right
    # Dividing by the Frobenius norm leaves some of them below the range that the polynomials are made for.
    values = torch.linalg.svdvals(orthogonalize(matrix, steps=5))
    assert values.min() > 0.5
    assert values.max() < 1.3
    assert orthogonalize(torch.zeros(4, 4)).eq(0).all()


def test_a_batch_of_matrices_is_each_by_itself_and_bf16_is_close() -> None:
    batch = drawn(4, 16, 24)
    together = orthogonalize(batch)
    for matrix, expected in zip(batch, together, strict=True):
        torch.testing.assert_close(orthogonalize(matrix), expected)
    rough = orthogonalize(batch.float(), dtype=torch.bfloat16)
    assert rough.dtype == torch.bfloat16
    assert (rough.double() - together).norm() < 0.06 * together.norm()


@pytest.mark.parametrize("cautious", [False, True])
@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
def test_steps_are_momentum_nesterov_polar_factor_and_decay(shape: tuple[int, int], cautious: bool) -> None:
    lr, beta, decay = 0.1, 0.9, 0.5
    weight = torch.nn.Parameter(drawn(*shape))
    optimizer = Muon([weight], lr=lr, momentum=beta, weight_decay=decay, cautious=cautious, steps=7)
    expected, mean = weight.detach().clone(), torch.zeros(shape, dtype=torch.float64)
    for step in range(3):
        gradient = drawn(*shape, seed=step + 1)
        weight.grad = gradient.clone()
        optimizer.step()
        mean = beta * mean + (1 - beta) * gradient
        update = orthogonalize(beta * mean + (1 - beta) * gradient, steps=7)
        shrinks = (expected * update > 0) if cautious else torch.ones_like(update)
        expected = expected - lr * decay * expected * shrinks - lr * max(1, shape[0] / shape[1]) ** 0.5 * update
        torch.testing.assert_close(weight.detach(), expected)


def test_even_rows_have_the_size_of_the_whole_and_the_first_step_makes_rows_equal() -> None:
    weight = torch.nn.Parameter(torch.zeros(4, 6, dtype=torch.float64))
    gradient = drawn(4, 6)
    gradient[0] *= 1e-3  # too small for five polynomials to bring to one
    weight.grad = gradient
    Muon([weight], lr=1.0, momentum=0.0, row_beta=0.9).step()
    plain = orthogonalize(gradient)
    rows = weight.detach().norm(dim=1)
    torch.testing.assert_close(rows, torch.full_like(rows, float(plain.norm()) / 2))
    torch.testing.assert_close(-weight.detach() / rows[:, None], plain / plain.norm(dim=1, keepdim=True))


def test_parameters_of_one_shape_are_updated_as_if_alone_and_vectors_are_refused() -> None:
    weights = [torch.nn.Parameter(drawn(5, 5, seed=seed)) for seed in range(3)]
    alone = [torch.nn.Parameter(weight.detach().clone()) for weight in weights]
    for seed, parameter in enumerate([*weights, *alone]):
        parameter.grad = drawn(5, 5, seed=10 + seed % 3)
    weights[1].grad = alone[1].grad = None
    Muon(weights, weight_decay=0.1).step()
    for parameter in alone:
        Muon([parameter], weight_decay=0.1).step()
    for together, single in zip(weights, alone, strict=True):
        torch.testing.assert_close(together, single)
    torch.testing.assert_close(weights[1].detach(), drawn(5, 5, seed=1))
    with pytest.raises(ValueError, match="needs matrices"):
        Muon([torch.nn.Parameter(torch.zeros(3))])


def test_updates_may_be_scaled_to_the_size_of_adamws() -> None:
    for shape in ((8, 8), (30, 5), (5, 30)):
        weight = torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64))
        weight.grad = drawn(*shape)
        Muon([weight], lr=1.0, scaling="rms", steps=7).step()
        assert float(weight.detach().square().mean().sqrt()) == pytest.approx(0.2, rel=1e-2)


def test_newton_schulz_leaves_singular_values_around_one() -> None:
    values = torch.linalg.svdvals(orthogonalize(drawn(24, 40), polynomials="newton-schulz"))
    assert values.min() > 0.65
    assert values.max() < 1.25
