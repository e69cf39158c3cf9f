"""MinHash: what is compared, the signature against exact Jaccard similarity, the bands against theory."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firn.data.characters import _ALONE
from firn.data.dedup import MinHashSettings
from firn.data.minhash import band_keys, probability, signature

FINEWEB = MinHashSettings()


def sign(text: str, how: MinHashSettings = FINEWEB) -> np.ndarray | None:
    return signature(np.frombuffer(text.encode(), np.uint8), how)


def words(text: str) -> list[str]:
    """Compared words, by other means: strings and a regular expression."""
    text = re.sub(r"(?<=\d)[.,](?=[0-9])", "", text)
    folded = []
    for c in text:
        category = unicodedata.category(c)
        if category[0] == "M" or category == "Cf":
            continue
        if category[0] == "N":
            folded.append("0")
        elif category[0] == "L":
            base = [b for b in unicodedata.normalize("NFD", c.lower()) if unicodedata.category(b) != "Mn"]
            alone = any(first <= ord(c) <= last for first, last in _ALONE)
            folded.append(
                f" {base[0] if len(base) == 1 else c} " if alone else base[0] if len(base) == 1 else c.lower()
            )
        else:
            folded.append(" ")
    return re.sub("0+", "0", "".join(folded)).split()


def shingles(text: str, n: int = 5) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[i : i + n]) for i in range(max(1, len(found) - n + 1))} if found else set()


def jaccard(a: str, b: str) -> float:
    one, two = shingles(a), shingles(b)
    return len(one & two) / len(one | two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("The Quick brown fox, jumps!", "the quick BROWN fox jumps"),
        ("In 1999 it cost 1,000.50 dollars", "in 2024 it cost 7 dollars"),
        ("Café crème brûlée à Paris", "cafe creme brulee a paris"),
        ("cafe\u0301 noir s'il vous", "café noir s il vous"),
        ("中文 字,很 好", "中文字很好"),
        ("Привет, Мир и все", "привет мир И ВСЕ"),
        ("a\u200db soft\u00adhyphen x y z", "ab softhyphen x y z"),
        ("read_text of the file", "read text of the file"),
        ("x", "X."),
    ],
)
def test_what_does_not_matter(one: str, two: str) -> None:
    assert words(one) == words(two)
    assert np.array_equal(sign(one), sign(two))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("one two three four five", "one two three four fife"),
        ("one two three", "one two three four"),
        ("a b c d e f", "a b c d f e"),
        ("version two", "version 2"),
        ("12 ab", "12ab"),
        ("中文", "中 文 字"),
    ],
)
def test_what_matters(one: str, two: str) -> None:
    assert words(one) != words(two)
    assert not np.array_equal(sign(one), sign(two))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(
        st.sampled_from(
            ["the", "The,", "Café", "x1", "12", "1,000", "3.5.", "中文", "ไทย", "_a", "…", "🙂", "-", "ÅÄÖ", "ﬁ"]
        ),
        min_size=1,
        max_size=12,
    )
)  # fmt: skip
def test_two_texts_of_the_same_words_have_one_signature(parts: list[str]) -> None:
    text = " ".join(parts)
    normal = " ".join(words(text))
    assert (sign(text) is None) == (normal == "")
    if normal:
        assert np.array_equal(sign(text), sign(normal))


@pytest.mark.parametrize("text", ["", "\n\n", " ?! ", "…", "\u200d", "_"])
def test_a_text_without_words_has_no_signature(text: str) -> None:
    assert sign(text) is None
    assert band_keys(np.frombuffer(text.encode(), np.uint8), FINEWEB).size == 0


def test_a_text_longer_than_a_block_of_shingles() -> None:
    rng = random.Random(0)
    text = " ".join(str(rng.choice("abcdefgh") * rng.randrange(1, 9)) for _ in range(5_000))
    halves = text.split(" ")
    parts = [" ".join(halves[:2_504]), " ".join(halves[2_500:])]  # their shingles together are those of the whole
    found = [sign(part) for part in parts]
    assert found[0] is not None
    assert found[1] is not None
    assert np.array_equal(sign(text), np.minimum(found[0], found[1]))


_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def _pair(rng: random.Random, similarity: float, size: int = 80) -> tuple[str, str, float]:
    """Two texts, and the Jaccard similarity of their word 5-grams, which is about `similarity`."""
    shared = round(2 * similarity * size / (1 + similarity))
    word = lambda: f"{rng.getrandbits(40):x}".translate(_LETTERS)
    middle = [word() for _ in range(shared + 4)]
    one, two = (" ".join(middle + [word() for _ in range(size - shared)]) for _ in range(2))
    return one, two, shared / (2 * size - shared)


def test_agreement_of_hashes_is_jaccard_similarity() -> None:
    rng = random.Random(1)
    errors = []
    for similarity in (0.1, 0.3, 0.5, 0.7, 0.9):
        for _ in range(60):
            one, two, exact = _pair(rng, similarity)
            assert exact == pytest.approx(jaccard(one, two))
            a, b = sign(one), sign(two)
            assert a is not None
            assert b is not None
            errors.append(float((a == b).mean()) - exact)
    # 112 hashes: standard deviation at most 0.047 per pair, 0.0027 for the mean of 300
    assert abs(float(np.mean(errors))) < 0.009
    assert float(np.std(errors)) < 0.052


@pytest.mark.parametrize(("bands", "rows"), [(14, 8), (5, 3), (20, 10)])
def test_the_s_curve_of_the_bands(bands: int, rows: int) -> None:
    how = MinHashSettings(bands=bands, rows=rows)
    rng = random.Random(bands)
    for wanted in (0.5, 0.65, 0.75, 0.85):
        found, expected, trials = 0, 0.0, 400
        for _ in range(trials):
            one, two, exact = _pair(rng, wanted)
            a, b = (band_keys(np.frombuffer(t.encode(), np.uint8), how) for t in (one, two))
            found += bool((a == b).any())
            expected += probability(exact, how)
        deviation = max(1.0, (expected * (1 - expected / trials)) ** 0.5)
        assert abs(found - expected) < 4 * deviation


def test_fineweb_numbers() -> None:
    assert probability(0.8, FINEWEB) == pytest.approx(
        0.9236, abs=1e-3
    )  # Penedo et al. 2024, section 3.4 and its figure
    assert probability(0.75, FINEWEB) == pytest.approx(0.772, abs=2e-2)
    assert probability(0.7, FINEWEB) == pytest.approx(0.56, abs=2e-2)
    assert probability(1.0, FINEWEB) == 1.0


def test_known_pairs_are_recovered(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("dedup/minhash-articles")
    articles = dict(line.split(" ", 1) for line in (folder / "articles_1000.train").read_text().splitlines())
    truth = {frozenset(line.split()) for line in (folder / "articles_1000.truth").read_text().splitlines() if line}
    at: dict[tuple[int, int], list[str]] = {}
    for name, text in articles.items():
        for band, key in enumerate(band_keys(np.frombuffer(text.encode(), np.uint8), FINEWEB).tolist()):
            at.setdefault((band, key), []).append(name)
    found = {frozenset(pair) for names in at.values() for pair in combinations(names, 2)}
    assert found == truth


def test_the_seed_makes_other_permutations() -> None:
    text = "some words that make a shingle or two here"
    assert not np.array_equal(sign(text), sign(text, MinHashSettings(seed=2)))
