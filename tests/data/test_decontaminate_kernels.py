"""Words and n-grams at native speed are what a few lines of plain Python say they are."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from firn.data import characters
from firn.data.decontaminate_kernels import filter_of, ngrams, occurrences, words

ALPHABET = st.sampled_from("abcxyzABÉéßñÅ0123456789 ,.;'-_\n漢字かなกที\u0301中")
TEXTS = st.text(ALPHABET, max_size=80)


def plain(text: str) -> list[str]:
    """Words in lower case without diacritics; numbers as they are, without `,` and `.`; single Latin letters left out.

    For letters of the alphabet above only.
    """
    kinds = characters.classes()
    text = re.sub(r"(?<=[0-9])[,.](?=[0-9])", "", text)
    folded = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    alone = "".join(f" {c} " if kinds[ord(c)] & characters.ALONE else c for c in folded)
    return [word for word in re.findall(r"[^\W_]+", alone) if not re.fullmatch("[a-z]", word)]


def parts(text: str) -> tuple[np.ndarray, list[str]]:
    data = text.encode()
    hashes, starts, ends = words(np.frombuffer(data, np.uint8), characters.folded())
    return hashes, [data[start:end].decode() for start, end in zip(starts, ends, strict=True)]


@given(TEXTS)
def test_words(text: str) -> None:
    hashes, found = parts(text)
    expected = plain(text)
    assert ["".join(plain(word)) for word in found] == expected
    assert len(set(zip(hashes.tolist(), expected, strict=True))) == len(set(expected)) == len(set(hashes.tolist()))


@given(TEXTS, st.integers(1, 5))
def test_ngrams_are_equal_where_their_words_are(text: str, length: int) -> None:
    hashes, found = parts(text)
    grams = ngrams(hashes, length)
    expected = [tuple("".join(plain(w)) for w in found[at : at + length]) for at in range(len(found) - length + 1)]
    assert len(grams) == len(expected)
    assert len(set(zip(grams.tolist(), expected, strict=True))) == len(set(expected)) == len(set(grams.tolist()))


@given(TEXTS, TEXTS, st.sets(st.integers(1, 4), min_size=1))
def test_occurrences(item: str, text: str, lengths: set[int]) -> None:
    lengths_ = np.array(sorted(lengths), np.int64)
    known = np.unique(np.concatenate([ngrams(parts(item)[0], n) for n in lengths_]))
    hashes = parts(item[: len(item) // 2] + text + item[len(item) // 3 :])[0]
    found = occurrences(hashes, lengths_, known, filter_of(known, 16))
    expected = [
        (known.tolist().index(value), at, n)
        for n in lengths_.tolist()
        for at, value in enumerate(ngrams(hashes, n).tolist())
        if value in known.tolist()
    ]
    assert [tuple(row) for row in found.tolist()] == expected
