"""Muon: momentum whose update is made orthogonal, for the hidden matrices (Jordan et al. 2024, kellerjordan.github.io).

The update of a matrix is the nearest semi-orthogonal matrix to its momentum: all singular values become about one, so
that rare directions are learned as fast as frequent ones. The polar factor is approached by a few odd polynomials of
the matrix, which need nothing but matrix products.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor

# (a, b, c) of X <- aX + b(XX')X + c(XX')^2 X, one per step: the minimax-optimal sequence for singular values in
# [1e-3, 1] (Amsel et al. 2025, "The Polar Express", arXiv 2505.16932, algorithm 1).
POLAR_EXPRESS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
)
# The one polynomial that Jordan et al. repeat: steep at zero, so that values soon are near one, but never settle there.
NEWTON_SCHULZ = ((3.4445, -4.7750, 2.0315),) * 7
# Each polynomial of Polar Express but the last is applied to X / 1.01, so that rounding cannot push a singular value
# out of range.
_SAFETY = 1.01


Polynomials = Literal["polar-express", "newton-schulz"]


def orthogonalize(
    matrices: Tensor, steps: int = 5, dtype: torch.dtype | None = None, polynomials: Polynomials = "polar-express"
) -> Tensor:
    """The approximate polar factor of each matrix: UV' where M = USV'.

    matrices: [..., m, n]. steps: number of polynomials, 1 to 7. dtype: of the arithmetic, default that of `matrices`.
    newton-schulz leaves singular values between 0.7 and 1.2.
    Returns [..., m, n] in the dtype of the arithmetic. A zero matrix gives zeros.
    """
    x = matrices.to(dtype or matrices.dtype)
    tall = x.size(-2) > x.size(-1)
    if tall:
        x = x.mT
    # The Frobenius norm bounds the spectral norm, so all singular values start in [0, 1].
    x = x / (torch.linalg.matrix_norm(x, dim=(-2, -1), keepdim=True) * _SAFETY + 1e-7)
    shape = x.shape
    x = x.reshape(-1, *shape[-2:])
    express = polynomials == "polar-express"
    for i, (a, b, c) in enumerate((POLAR_EXPRESS if express else NEWTON_SCHULZ)[:steps]):
        if express and i < steps - 1:
            a, b, c = a / _SAFETY, b / _SAFETY**3, c / _SAFETY**5
        gram = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    x = x.reshape(shape)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum, Nesterov, orthogonal update, decoupled weight decay.

    params: parameters of two or more dimensions; leading dimensions are a batch of matrices.
    lr: step length. scaling: its unit. spectral: the update's spectral norm, times sqrt(max(1, rows / columns)), which
    keeps the size of what a layer puts out alike for tall and wide matrices. rms: 0.2 sqrt(max(rows, columns)), which
    gives every entry the size that AdamW's updates usually have, so that AdamW's rates and weight decay fit (Liu et al.
    2025, arXiv 2502.16982, 2.2). momentum: of the running mean of gradients.
    weight_decay: share of each weight taken away per step, times lr. cautious: decay only the weights that the update
    moves towards zero (Liang et al. 2024, arXiv 2411.16085, applied to decay). row_beta: the rows of an update are
    divided by the root of the running mean of their squares, with this decay, and the whole is scaled back to its
    size (NorMuon, Li et al. 2025, arXiv 2510.05491); None: they are not. steps, dtype, polynomials: of
    `orthogonalize`.

    State per parameter: `momentum_buffer`, and with row_beta `row_squares`, a column. Parameters of one shape are
    updated together, as one batch of products.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        cautious: bool = False,
        row_beta: float | None = None,
        scaling: Literal["spectral", "rms"] = "spectral",
        polynomials: Polynomials = "polar-express",
        steps: int = 5,
        dtype: torch.dtype | None = None,
    ):
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "cautious": cautious,
            "row_beta": row_beta,
            "scaling": scaling,
            "polynomials": polynomials,
            "steps": steps,
            "dtype": dtype,
        }
        super().__init__(params, defaults)
        #: A boolean on the device: where it is false, the next step changes nothing. None: true.
        self.keep: Tensor | None = None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim < 2:
                    raise ValueError(f"Muon needs matrices, got a parameter of shape {tuple(parameter.shape)}")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for parameters in by_shape.values():
                if self.keep is None:
                    self._update(parameters, group)
                else:
                    self._update_or_not(parameters, group, self.keep)

    def _update_or_not(self, parameters: list[Tensor], group: dict[str, Any], keep: Tensor) -> None:
        """An update that leaves everything as it was where `keep` is false."""
        state = [self._state(p, "momentum_buffer", p.shape) for p in parameters]
        if group["row_beta"] is not None:
            state += [self._state(p, "row_squares", _column(p)) for p in parameters]
        old = [tensor.clone() for tensor in (*parameters, *state)]
        self._update(parameters, group)
        for tensor, before in zip((*parameters, *state), old, strict=True):
            tensor.copy_(torch.where(keep, tensor, before))

    def _update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        buffers = [self._state(parameter, "momentum_buffer", parameter.shape) for parameter in parameters]
        torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
        nesterov = torch._foreach_lerp(gradients, buffers, group["momentum"])
        stacked, how = torch.stack(list(nesterov)), (group["steps"], group["dtype"], group["polynomials"])
        updates = orthogonalize(stacked, *how).to(parameters[0].dtype)
        if group["row_beta"] is not None:
            columns = [self._state(p, "row_squares", _column(p)) for p in parameters]
            updates = _even_rows(updates, columns, group["row_beta"])
        rows, width = parameters[0].shape[-2:]
        is_spectral = group["scaling"] == "spectral"
        step = group["lr"] * (max(1.0, rows / width) ** 0.5 if is_spectral else 0.2 * max(rows, width) ** 0.5)
        decay = group["lr"] * group["weight_decay"]
        for parameter, update in zip(parameters, updates.unbind(0), strict=True):
            if decay and group["cautious"]:
                parameter.sub_(parameter * ((parameter * update) > 0), alpha=decay)
            elif decay:
                parameter.mul_(1 - decay)
            parameter.sub_(update, alpha=step)

    def _state(self, parameter: Tensor, name: str, shape: torch.Size) -> Tensor:
        state = self.state[parameter]
        if name not in state:
            state[name] = parameter.new_zeros(shape)
        found: Tensor = state[name]
        return found


def _column(parameter: Tensor) -> torch.Size:
    return torch.Size((*parameter.shape[:-1], 1))


def _even_rows(updates: Tensor, row_squares: list[Tensor], beta: float) -> Tensor:
    """Updates [n, ..., rows, columns] with rows of even size; row_squares: n running means, which are updated."""
    torch._foreach_lerp_(row_squares, list(updates.square().mean(-1, keepdim=True).unbind(0)), 1 - beta)
    evened = updates / (torch.stack(row_squares).sqrt() + 1e-10)
    before, after = (torch.linalg.matrix_norm(x, dim=(-2, -1), keepdim=True) for x in (updates, evened))
    return evened * (before / (after + 1e-10))
