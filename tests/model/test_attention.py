"""Attention: every back-end that runs here against the definition, written out in float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from firn.model.attention import Backend, Documents, Mask, attend, choose


def heads(T: int, S: int | None = None, seed: int = 0, H: int = 4, K: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    return draw(2, H, T, 8), draw(2, K, S or T, 8), draw(2, K, S or T, 8)


def plain(q: Tensor, k: Tensor, v: Tensor, mask: Mask, softcap: float | None = None) -> Tensor:
    """One query and head at a time."""
    B, H, T, E = q.shape
    K, S = k.shape[1:3]
    q, k, v = q.double(), k.double(), v.double()
    begins = mask.documents.starts if mask.documents else ((0,),) * B
    out = torch.empty(B, H, T, E, dtype=torch.float64)
    for b in range(B):
        number = [sum(start <= t for start in begins[b]) for t in range(S)]
        for h in range(H):
            for t in range(T):
                at = S - T + t
                seen = [
                    s
                    for s in range(S)
                    if (mask.after is None or s - at <= mask.after)
                    and (mask.before is None or at - s <= mask.before)
                    and number[s] == number[at]
                ]
                g = h * K // H
                scores = k[b, g, seen] @ q[b, h, t] / math.sqrt(E)
                if softcap is not None:
                    scores = softcap * torch.tanh(scores / softcap)
                out[b, h, t] = scores.softmax(0) @ v[b, g, seen]
    return out


DOCUMENTS = Documents.of([[0, 1, 20, 33], [0, 5]], 40)
MASKS = [
    Mask(),
    Mask(after=None),
    Mask(before=6),
    Mask(before=3, after=2),
    Mask(before=0),
    Mask(documents=DOCUMENTS),
    Mask(after=None, documents=DOCUMENTS),
    Mask(before=6, documents=DOCUMENTS),
    Mask(before=4, after=4, documents=DOCUMENTS),
]


@pytest.mark.parametrize("backend", ["sdpa", "dense", "flex", None])
@pytest.mark.parametrize("softcap", [None, 0.7])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_every_back_end_computes_the_definition(backend: Backend | None, softcap: float | None) -> None:
    q, k, v = heads(40)
    for mask in MASKS:
        found = attend(q, k, v, mask, softcap, backend)
        assert torch.allclose(found.double(), plain(q, k, v, mask, softcap), atol=1e-5), mask


@pytest.mark.parametrize("softcap", [None, 0.7])
@pytest.mark.parametrize("before", [None, 0, 3, 100])
def test_the_queries_are_the_last_of_a_cache(softcap: float | None, before: int | None) -> None:
    for T in (1, 3):
        q, k, v = heads(T, 12)
        mask = Mask(before=before)
        assert torch.allclose(attend(q, k, v, mask, softcap).double(), plain(q, k, v, mask, softcap), atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_pieces_and_dense_agree_with_their_gradients(data: st.DataObject) -> None:
    T = data.draw(st.integers(1, 400))
    starts = [sorted({0, *data.draw(st.lists(st.integers(0, T - 1), max_size=5))}) for _ in range(2)]
    mask = Mask(
        before=data.draw(st.none() | st.integers(0, T)),
        after=data.draw(st.sampled_from([0, None, 3])),
        documents=data.draw(st.sampled_from([None, Documents.of(starts, T)])),
    )
    results = []
    for backend in ("sdpa", "dense"):
        parts = [tensor.requires_grad_() for tensor in heads(T, seed=T)]
        found = attend(*parts, mask, backend=backend)  # type: ignore[arg-type]
        results.append((found, *torch.autograd.grad(found.square().sum(), parts)))
    for pieces, dense in zip(*results, strict=True):
        assert torch.allclose(pieces, dense, atol=1e-4)


@pytest.mark.parametrize("mask", [*MASKS, Mask(before=100)])
@pytest.mark.parametrize("softcap", [None, 0.7])
def test_what_is_chosen_for_training_in_16_bits_computes_the_definition(mask: Mask, softcap: float | None) -> None:
    half = [tensor.bfloat16().requires_grad_() for tensor in heads(40)]
    chosen = attend(*half, mask, softcap)  # type: ignore[arg-type]
    expected = plain(*(tensor.detach().float() for tensor in half), mask, softcap)  # type: ignore[arg-type]
    assert chosen.dtype == torch.bfloat16
    assert torch.allclose(chosen.double(), expected, atol=3e-2)
    whole = [tensor.detach().float().requires_grad_() for tensor in half]
    exact = attend(*whole, mask, softcap, "dense")  # type: ignore[arg-type]
    weights = torch.randn(exact.shape, generator=torch.Generator().manual_seed(1))
    found = torch.autograd.grad((chosen.float() * weights).sum(), half)
    for ours, theirs in zip(found, torch.autograd.grad((exact * weights).sum(), whole), strict=True):
        assert (ours.float() - theirs).norm() <= 0.02 * theirs.norm() + 1e-4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("mask", MASKS)
def test_the_kernels_of_a_gpu_compute_the_definition(mask: Mask) -> None:
    q, k, v = (tensor.cuda() for tensor in heads(40))
    assert torch.allclose(attend(q, k, v, mask, backend="flex").cpu().double(), plain(*heads(40), mask), atol=1e-2)
    half = [tensor.bfloat16() for tensor in (q, k, v)]
    chosen = attend(*half, mask)
    assert torch.allclose(chosen.cpu().double(), plain(*heads(40), mask), atol=3e-2)


def test_the_choice_by_mask_and_device() -> None:
    q, k, _ = heads(40)
    assert [choose(q, k, mask, None) for mask in MASKS] == ["sdpa"] * len(MASKS)
    assert choose(q[:, :, :1], k, Mask(), None) == "sdpa"
    assert choose(q[:, :, :2], k, Mask(), None) == "dense"


def test_documents_are_checked_and_counted() -> None:
    assert DOCUMENTS.spans() == [[(0, 1), (1, 20), (20, 33), (33, 40)], [(0, 5), (5, 40)]]
    assert DOCUMENTS.offsets().tolist() == [0, 1, 20, 33, 40, 45, 80]
    assert Documents.of([[0, 2]], 4).ids().tolist() == [[0, 0, 1, 1]]
    assert Documents.of([[0, 3]], 4).positions().tolist() == [[0, 1, 2, 0]]
    for wrong in ([[]], [[1]], [[0, 0]], [[0, 3, 2]], [[0, 4]]):
        with pytest.raises(ValueError, match="must ascend from 0 below 4"):
            Documents.of(wrong, 4)
    q, k, v = heads(2, 40)
    with pytest.raises(ValueError, match="exclude each other"):
        attend(q, k, v, Mask(documents=DOCUMENTS))
