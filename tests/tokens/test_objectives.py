"""What is hidden, left out or turned in a batch: known answers, rates, and that ranks and restarts change nothing."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from firn.core.errors import RecipeError
from firn.tokens.draws import keys, uniform
from firn.tokens.fim import FimSettings, Sentinels, fill_in_the_middle
from firn.tokens.goldfish import GoldfishSettings, goldfish
from firn.tokens.masked import BERT, MaskingSettings, hide

I64 = NDArray[np.int64]
MASK, END, VOCAB = 999, 0, 1000
ROWS = np.arange(100, 108)
FIM = Sentinels(prefix=996, suffix=997, middle=998)


def text(T: int = 4096, B: int = 8, seed: int = 0) -> I64:
    return np.random.default_rng(seed).integers(1, 900, (B, T))


def close_to(share: float, count: int, of: int) -> bool:
    """Within four standard deviations of a binomial."""
    return abs(count - share * of) <= 4 * math.sqrt(of * share * (1 - share))


def test_draws_are_splitmix64() -> None:
    """Its first numbers from seed 1234567, as Steele, Lea and Flood's algorithm gives them elsewhere."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    found = uniform(np.uint64(1234567), np.arange(3))
    assert found.tolist() == [(number >> 11) / 2**53 for number in published]
    assert len(set(keys("a", 0, 0, ROWS).tolist()) | set(keys("a", 0, 1, ROWS).tolist())) == 16
    assert keys("a", 3, 5, ROWS[2:4]).tolist() == keys("a", 3, 5, ROWS)[2:4].tolist()
    assert not set(keys("a", 0, 0, ROWS)) & set(keys("b", 0, 0, ROWS))


def hidden(settings: MaskingSettings, tokens: I64, step: int = 0, rows: Any = ROWS) -> tuple[I64, I64]:
    return hide(tokens, settings, mask=MASK, vocab_size=VOCAB, special=[END], seed=1, step=step, rows=rows)


def test_plain_masking_hides_three_in_ten() -> None:
    tokens = text()
    inputs, targets = hidden(MaskingSettings(), tokens)
    chosen = targets >= 0
    assert close_to(0.3, int(chosen.sum()), tokens.size)
    assert (inputs[chosen] == MASK).all()
    assert (targets[chosen] == tokens[chosen]).all()
    assert (inputs[~chosen] == tokens[~chosen]).all()


def test_berts_masking_is_80_10_10() -> None:
    tokens = text()
    inputs, targets = hidden(BERT, tokens)
    chosen = targets >= 0
    assert close_to(0.15, int(chosen.sum()), tokens.size)
    masked = int((inputs == MASK).sum())
    kept = int((inputs[chosen] == tokens[chosen]).sum())
    assert close_to(0.8, masked, int(chosen.sum()))
    assert close_to(0.1 + 0.1 / VOCAB, kept, int(chosen.sum()))
    others = inputs[chosen & (inputs != MASK) & (inputs != tokens)]
    assert others.min() >= 0
    assert others.max() < VOCAB
    assert len(set(others.tolist())) > 300
    assert (inputs[~chosen] == tokens[~chosen]).all()


def test_masking_depends_on_seed_step_and_row_and_spares_the_ends_of_documents() -> None:
    tokens = text()
    tokens[:, ::7] = END
    inputs, targets = hidden(MaskingSettings(), tokens)
    assert (inputs[:, ::7] == END).all()
    assert (targets[:, ::7] == -1).all()
    slice_of_it = hidden(MaskingSettings(), tokens[2:5], rows=ROWS[2:5])
    assert (slice_of_it[0] == inputs[2:5]).all()
    assert (hidden(MaskingSettings(), tokens)[0] == inputs).all()
    assert (hidden(MaskingSettings(), tokens, step=1)[0] != inputs).any()
    with pytest.raises(RecipeError, match="more than all"):
        MaskingSettings(masked=0.8, random=0.3)


def dropped(inputs: I64, **settings: int) -> NDArray[np.bool_]:
    targets = np.ones_like(inputs)
    return goldfish(inputs, targets, GoldfishSettings(**settings)) == -1


@pytest.mark.parametrize("k", [2, 3, 4, 32])
def test_one_target_in_k_is_left_out(k: int) -> None:
    gaps = dropped(text(), k=k)[:, 12:]
    assert close_to(1 / k, int(gaps.sum()), gaps.size)


def test_a_passage_has_the_same_gaps_wherever_it_stands() -> None:
    tokens, h = text(400), 13
    passage = tokens[0, 50:150].copy()
    tokens[1, 7:107] = passage
    tokens[2, 300:400] = passage
    gaps = dropped(tokens, h=h)
    inside = gaps[0, 50 + h - 1 : 150]
    assert inside.any()
    assert (gaps[1, 7 + h - 1 : 107] == inside).all()
    assert (gaps[2, 300 + h - 1 : 400] == inside).all()


def test_the_gap_is_decided_by_exactly_the_h_tokens_before_it() -> None:
    h, t = 5, 40
    tokens = np.repeat(text(64, 1), 4000, axis=0)
    free = text(4000, 1, seed=3)[0]

    def decided(at: int) -> bool:
        changed = tokens.copy()
        changed[:, at] = free
        return len(set(dropped(changed, h=h)[:, t].tolist())) > 1

    # The input at t is the last token before target t.
    assert [decided(at) for at in (t - h, t - h + 1, t - 2, t, t + 1)] == [False, True, True, True, False]


def test_the_hash_knows_order_and_does_not_collapse_on_id_zero() -> None:
    """The traps of a product of ids: any 0 makes it 0, and order is lost."""
    tokens = text(20_000, 1)
    tokens[:, ::5] = 0
    gaps = dropped(tokens, k=4, h=6)[:, 5:]
    assert close_to(0.25, int(gaps.sum()), gaps.size)
    forward = text(13, 4000)
    a, b = dropped(forward)[:, 12], dropped(forward[:, ::-1].copy())[:, 12]
    assert close_to(2 * 0.25 * 0.75, int((a != b).sum()), 4000)  # independent


def test_goldfish_keeps_what_is_not_asked_and_short_windows() -> None:
    tokens = text(40)
    targets = np.where(np.arange(40) % 2, tokens, -1)
    kept = goldfish(tokens, targets, GoldfishSettings(k=2))
    assert ((kept == targets) | (kept == -1)).all()
    assert (kept[:, :12] == targets[:, :12]).all()
    short = text(12)
    assert (goldfish(short, short, GoldfishSettings(k=2)) == short).all()
    assert (dropped(tokens, seed=1) != dropped(tokens, seed=2)).any()


def turned(tokens: I64, starts: list[list[int]], step: int = 0, **settings: float) -> tuple[I64, NDArray[np.bool_]]:
    rows = ROWS[: len(tokens)]
    chosen = FimSettings(**settings)
    return fill_in_the_middle(tokens, starts, chosen, FIM, end_of_text=END, seed=1, step=step, rows=rows)


@given(st.data())
def test_a_turned_document_is_its_parts_with_a_gap_in_the_middle(data: st.DataObject) -> None:
    n = data.draw(st.integers(5, 60))
    has_end = data.draw(st.booleans())
    spm = data.draw(st.sampled_from([0.0, 1.0]))
    body = np.arange(1, n + 1)
    tokens = np.append(body, END)[None, : n + has_end].copy()
    new, silent = turned(tokens, [[0]], step=data.draw(st.integers(0, 50)), rate=1.0, spm_rate=spm)
    found = new[0].tolist()
    if has_end:
        assert found.pop() == END
    assert len(found) == n
    assert silent.sum() == 1
    gap = int(silent[0].argmax())
    p, s, m = (found.index(id) for id in FIM)
    suffix = found[s + 1 : m]
    if spm:
        assert (p, s) == (0, 1)
        rest = found[m + 1 :]
    else:
        assert p == 0
        rest = found[1:s] + found[m + 1 :]
    # Prefix and middle count up from 1 and jump over three tokens once, where nothing is to be predicted; the suffix
    # goes on where they end.
    jumps = [at for at, (a, b) in enumerate(pairwise(rest)) if b != a + 1]
    assert rest[0] == 1
    assert [rest[at + 1] - rest[at] for at in jumps] == [4]
    assert found[gap] == rest[jumps[0] + 1]
    assert gap > m + 1  # the middle keeps its first token, and below its last
    assert rest + suffix == [*rest, *range(rest[-1] + 1, n + 1)]


def test_only_whole_documents_are_turned_at_their_rate() -> None:
    tokens = text(4096)
    starts = [list(range(0, 4096, 16)) for _ in range(8)]
    tokens[:, 15::16] = END
    new, silent = turned(tokens, starts, rate=0.5, spm_rate=0.25)
    assert new.shape == tokens.shape
    assert (new[:, 15::16] == END).all()
    cut_new, cut_old = new.reshape(-1, 16), tokens.reshape(-1, 16)
    is_turned = (cut_new == FIM.prefix).any(1)
    assert close_to(0.5, int(is_turned.sum()), len(is_turned))
    assert (cut_new[~is_turned] == cut_old[~is_turned]).all()
    assert (silent.reshape(-1, 16).sum(1) == is_turned).all()
    is_spm = cut_new[is_turned][:, 1] == FIM.suffix
    is_spm &= cut_new[is_turned][:, 0] == FIM.prefix
    empty = 1 / 12 + 1 / 12 - 1 / 144  # of psm documents with an empty prefix, which begin alike: at most so many
    assert 0.2 < is_spm.mean() < 0.25 + empty + 0.05
    assert set(np.unique(cut_new[is_turned])) - set(np.unique(cut_old)) <= set(FIM)
    assert (turned(tokens, starts, rate=0.0)[0] == tokens).all()
    assert (turned(tokens, starts, step=1)[0] != turned(tokens, starts, step=2)[0]).any()
    # A rank's slice of the batch is turned as the whole batch is.
    part = fill_in_the_middle(
        tokens[3:5],
        starts[3:5],
        FimSettings(rate=0.5, spm_rate=0.25),
        FIM,
        end_of_text=END,
        seed=1,
        step=0,
        rows=ROWS[3:5],
    )
    assert (part[0] == new[3:5]).all()


def test_documents_too_short_to_be_cut_stay() -> None:
    tokens = text(40, 1)
    new, silent = turned(tokens, [list(range(0, 40, 4))], rate=1.0)
    assert (new == tokens).all()
    assert not silent.any()


def test_cuts_are_spread_over_the_document() -> None:
    tokens = np.repeat(np.arange(1, 105)[None], 8, axis=0)
    prefixes = []
    for step in range(200):
        new, _ = turned(tokens, [[0]] * 8, step=step, rate=1.0, spm_rate=0.0)
        prefixes += [row.tolist().index(FIM.suffix) - 1 for row in new]
    # The smaller of two uniform cuts: a third of the room in the middle, and 0 among them.
    assert np.mean(prefixes) == pytest.approx(99 / 3, rel=0.05)
    assert min(prefixes) == 0
    assert max(prefixes) > 85
