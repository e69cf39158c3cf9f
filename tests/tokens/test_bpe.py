"""Training a tokenizer: the right merges, from the right sample, the same every time."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from firn.core.hashing import hash128
from firn.core.split import is_validation
from firn.tokens.bpe import Sample, TokenizerSettings, to_json, train
from firn.tokens.splitting import pattern
from firn.tokens.tokenizer import Tokenizer, unspell

WORDS = ["snow", "falls", "on", "old", "snow", "becomes", "firn", "then", "ice", "falling", "1984", "2,048", "12345"]
TEXT = " ".join(random.Random(1).choices(WORDS, k=3000))


def merges(data: bytes) -> list[tuple[bytes, bytes]]:
    return [(unspell(left), unspell(right)) for left, right in json.loads(data)["model"]["merges"]]


@pytest.mark.parametrize("trainer", ["rustbpe", "tokenizers"])
def test_each_merge_is_a_most_frequent_pair(trainer: str) -> None:
    """Replays the definition: count the pairs of all pieces, merge one of the most frequent, again."""
    learned = merges(train([TEXT], TokenizerSettings(vocab_size=512, trainer=trainer)))
    splitter = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern(3)), "isolated")
    pieces = Counter(piece for piece, _ in splitter.pre_tokenize_str(TEXT))
    state = {piece: [bytes([byte]) for byte in piece.encode()] for piece in pieces}
    assert learned
    for left, right in learned:
        counts: Counter[tuple[bytes, bytes]] = Counter()
        for piece, parts in state.items():
            for pair in pairwise(parts):
                counts[pair] += pieces[piece]
        assert counts[left, right] == max(counts.values())
        for parts in state.values():
            i = 0
            while i < len(parts) - 1:
                if (parts[i], parts[i + 1]) == (left, right):
                    parts[i : i + 2] = [left + right]
                i += 1


@pytest.mark.parametrize("trainer", ["rustbpe", "tokenizers"])
def test_the_order_of_texts_does_not_matter(trainer: str) -> None:
    texts = [TEXT[i : i + 200] for i in range(0, len(TEXT), 200)]
    wanted = TokenizerSettings(vocab_size=600, trainer=trainer)
    first = train(texts, wanted)
    random.Random(2).shuffle(texts)
    assert train(texts, wanted) == first


def test_the_number_of_threads_does_not_matter() -> None:
    code = (
        "import hashlib; from firn.tokens.bpe import *; "
        "import random; r = random.Random(3); "
        "texts = [''.join(r.choices('abcde ', k=100)) for _ in range(3000)]; "
        "print(hashlib.sha256(train(texts, TokenizerSettings(vocab_size=1000))).hexdigest())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "3")
    }
    assert len(outputs) == 1


def test_golden_tokenizer() -> None:
    """Other bytes from the same text: raise the version of the stage, and change this hash."""
    data = train([TEXT], TokenizerSettings(vocab_size=512))
    assert hashlib.sha256(data).hexdigest()[:16] == "74088027ef073d7c"


def test_size_and_special_tokens() -> None:
    wanted = TokenizerSettings(vocab_size=520, special_tokens=("<|endoftext|>", "<|x|>"))
    tokenizer = Tokenizer(train([TEXT], wanted))
    assert tokenizer.vocab_size <= 520
    assert tokenizer.special_tokens == {
        "<|endoftext|>": tokenizer.vocab_size - 2,
        "<|x|>": tokenizer.vocab_size - 1,
    }
    rng = random.Random(4)
    varied = " ".join("".join(rng.choices("abcdefghij", k=6)) for _ in range(5000))
    assert Tokenizer(train([varied], wanted)).vocab_size == 520


@pytest.mark.parametrize("digits", [1, 2, 3])
def test_digits_stay_in_their_groups(digits: int) -> None:
    tokenizer = Tokenizer(train(["123456 " * 500 + TEXT], TokenizerSettings(vocab_size=600, digits=digits)))
    pieces = [tokenizer.tokens[id] for id in tokenizer.encode("x123456")[1:]]
    assert pieces == [b"123456"[i : i + digits] for i in range(0, 6, digits)]


def test_runs_without_words_teach_nothing_and_take_no_time() -> None:
    rng = random.Random(5)
    noise = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=1_000_000))
    wanted = TokenizerSettings(vocab_size=2000)
    assert train([TEXT + " " + noise + " " + "-" * 1_000_000 + " "], wanted) == train([TEXT + "     "], wanted)
    assert train([" " * 2_000_000 + TEXT], wanted)


def test_a_token_that_encoding_never_reaches_is_left_out() -> None:
    data = to_json([b"bc", b"ab", b"abcd", b"abc"], ["<|endoftext|>"], 3)
    assert merges(data) == [(b"b", b"c"), (b"a", b"b"), (b"a", b"bc")]
    assert Tokenizer(data).fast
    assert Tokenizer(data).vocab_size == 256 + 3 + 1


DOCUMENTS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 30), st.integers(1, 50)), max_size=60, unique=True)


@settings(max_examples=200)
@given(documents=DOCUMENTS, budget=st.integers(1, 600), seed=st.integers(0, 5))
def test_sample_is_the_smallest_hashes_whatever_the_order(
    documents: list[tuple[int, int, int]], budget: int, seed: int
) -> None:
    rows = [(hash128(b"%d/%d/%d" % d), f"host{d[1]}", chr(97 + d[1] % 26) * d[2]) for d in documents]

    def texts(order: list[tuple[bytes, str, str]]) -> list[str]:
        sample = Sample(budget, 0.3)
        for row in order:
            sample.offer(*row)
        chosen = list(sample.texts())
        assert sample.bytes == sum(map(len, chosen))
        return chosen

    chosen = texts(rows)
    shuffled = rows.copy()
    random.Random(seed).shuffle(shuffled)
    assert texts(shuffled) == chosen
    training = [row for row in rows if not is_validation(row[1], 0.3)]
    available = sum(len(text) for _, _, text in training)
    assert sum(map(len, chosen)) >= min(budget, available)
    assert not chosen or sum(map(len, chosen[:-1])) < budget
    left_out = {text for _, group, text in rows if is_validation(group, 0.3)} - {text for _, _, text in training}
    assert left_out.isdisjoint(chosen)


def test_one_giant_document_does_not_fill_the_memory() -> None:
    sample = Sample(64 << 20, 0.0)
    sample.offer(b"1" * 16, "g", "é" * 3_000_000)
    (text,) = sample.texts()
    assert sample.bytes == 1 << 20
    assert set(text) == {"é"}
