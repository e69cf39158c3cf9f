"""The tokenizer: equal to `tokenizers` on every text, lossless, and safe on hostile text."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiktoken
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from firn.core.errors import FormatError, InputError
from firn.tokens import splitting
from firn.tokens.bpe import TokenizerSettings, train
from firn.tokens.tokenizer import Tokenizer, merge_alone, spell, unspell

PROSE = Path(__file__).read_text() + " ".join(
    f"It's {n} o'clock, they'll say; we’ve {n * 37} reasons—naïve ones, ÄÖÜ äöü, 中文字符, ещё раз, 😀👍🏽!\n\n\t"
    for n in range(300)
)
TRICKY = st.text(
    alphabet=st.one_of(
        st.sampled_from("aAbsStTdDlLmMrReEvV'’ \t\n\r\x0b\x0c\x1c\x85\xa0\u2003\u2028\u200b\u3000019٣Ⅷ½ſKﬅßẞ"),
        st.sampled_from("_-=!.<|>😀👍🏽\u200d\ufe0f\u0301é中é\x00\x7f"),
        st.characters(codec="utf-8"),
    ),
    max_size=60,
)
RUNS = st.lists(st.tuples(TRICKY, st.integers(1, 300)), max_size=4).map(
    lambda parts: "".join(t[:3] * n for t, n in parts)
)


@cache
def trained(digits: int = 3, vocab_size: int = 1000) -> Tokenizer:
    return Tokenizer(train([PROSE], TokenizerSettings(vocab_size=vocab_size, digits=digits)))


def reference(tokenizer: Tokenizer) -> Callable[[str], list[int]]:
    """The same file as `tokenizers` reads it, told to treat special tokens' names as text."""
    reader = tokenizers.Tokenizer.from_str(tokenizer.json.decode())
    reader.encode_special_tokens = True
    return lambda text: reader.encode(text, add_special_tokens=False).ids


def agree(tokenizer: Tokenizer, text: str) -> None:
    tokens = tokenizer.encode(text)
    assert tokens.dtype == np.int64
    assert tokens.tolist() == reference_of(tokenizer)(text)
    assert tokenizer.decode(tokens) == text


@cache
def reference_of(tokenizer: Tokenizer) -> Callable[[str], list[int]]:
    return reference(tokenizer)


@pytest.mark.parametrize("digits", [1, 2, 3])
@settings(deadline=None, max_examples=300)
@given(text=st.one_of(TRICKY, RUNS))
def test_equals_tokenizers_on_arbitrary_text(digits: int, text: str) -> None:
    tokenizer = trained(digits)
    assert tokenizer.fast
    agree(tokenizer, text)


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_equals_tokenizers_on_tokens_set_side_by_side(data: st.DataObject) -> None:
    """Strings made of tokens stand closest to every merge's border."""
    tokenizer = trained(vocab_size=2000)
    ids = st.integers(0, tokenizer.vocab_size - 1)
    tokens = data.draw(st.lists(ids, max_size=30))
    agree(tokenizer, tokenizer.decode(tokens))


@settings(deadline=None, max_examples=60)
@given(
    corpus=st.lists(st.text("ab", min_size=1, max_size=40), min_size=1, max_size=8),
    texts=st.lists(st.text("ab ", max_size=200), min_size=1, max_size=10),
)
def test_equals_tokenizers_where_merges_overlap(corpus: list[str], texts: list[str]) -> None:
    """Two letters and long runs make pairs overlap, where the order of merges matters most."""
    tokenizer = Tokenizer(train(corpus, TokenizerSettings(vocab_size=512)))
    assert tokenizer.fast
    check = reference(tokenizer)
    for text in texts:
        assert tokenizer.encode(text).tolist() == check(text)


@pytest.mark.parametrize("name", [r"\p{L}", r"\p{N}", r"\s", r"(?i:[stremvld])"])
def test_both_engines_class_every_code_point_alike(name: str) -> None:
    """The patterns are made of these classes; Unicode tables of another version would show here."""
    points = [chr(i) for i in range(0x110000) if not 0xD800 <= i < 0xE000]
    chunks = ["".join(points[i : i + 20000]) for i in range(0, len(points), 20000)]
    # tiktoken leaves out what the pattern does not match; `removed` leaves out what it does.
    ranks = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding("bytes", pat_str=name, mergeable_ranks=ranks, special_tokens={})
    matched = "".join(bytes(encoding.encode_ordinary(chunk)).decode() for chunk in chunks)
    remover = tokenizers.pre_tokenizers.Split(tokenizers.Regex(name), "removed")
    unmatched = "".join(piece for chunk in chunks for piece, _ in remover.pre_tokenize_str(chunk))
    assert set(matched).isdisjoint(unmatched)
    assert len(matched) + len(unmatched) == len(points)


@pytest.mark.parametrize("length", [1, 2, 255, 256, 257, 258, 511, 512, 513, 1024, 1025])
@pytest.mark.parametrize("after", ["", "a", "1", "\n", "\na", " \n\n  b", "."])
def test_white_space_in_blocks_cuts_as_the_plain_pattern(length: int, after: str) -> None:
    for space in (" ", "\t ", "\n "):
        agree(trained(), "x" + (space * length)[:length] + after)


HOSTILE = {
    "one letter": "a",
    "spaces": " ",
    "line ends": "\n",
    "emoji": "😀",
    "combining marks": "\u0301",
    "digits": "7",
    "dashes": "-",
    "spaces and line ends": " \n",
    "two letters": "ab",
    "quotes": "'",
    "joined emoji": "👩\u200d",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_without_a_word_is_encoded(name: str) -> None:
    tokenizer = trained()
    unit = HOSTILE[name]
    text = unit * (1_000_000 // len(unit.encode()))
    assert tokenizer.decode(tokenizer.encode(text)) == text
    agree(tokenizer, text[:50_000] + "a")


def test_more_spaces_than_a_regex_stack_holds_are_encoded() -> None:
    text = " " * 3_000_000 + "word"
    assert trained().decode(trained().encode(text)) == text


def test_names_of_special_tokens_in_a_text_are_plain_text() -> None:
    tokenizer = trained()
    text = "a<|endoftext|>b<|fim_prefix|>"
    tokens = tokenizer.encode(text)
    assert not set(tokens.tolist()) & set(tokenizer.special_tokens.values())
    assert tokenizer.decode(tokens) == text
    assert tokenizer.decode([tokenizer.end_of_text]) == "<|endoftext|>"


def test_token_bytes_count_the_text_and_not_the_specials() -> None:
    tokenizer = trained()
    sizes = tokenizer.token_bytes()
    assert sizes.shape == (tokenizer.vocab_size,)
    assert sizes[tokenizer.end_of_text] == 0
    assert sizes[tokenizer.encode(PROSE)].sum() == len(PROSE.encode())


def test_half_a_character_decodes_to_a_mark_and_not_to_an_error() -> None:
    tokens = trained().encode("\U0001f9ff")
    assert len(tokens) > 1
    assert "�" in trained().decode(tokens[:1])
    assert trained().decode_bytes(tokens[:1]) == "\U0001f9ff".encode()[: len(trained().decode_bytes(tokens[:1]))]


def test_a_lone_surrogate_is_a_clear_error() -> None:
    with pytest.raises(InputError, match="not Unicode"):
        trained().encode("a\ud800b")


def test_batch_is_each_text_alone() -> None:
    texts = ["", "a b", "中文"]
    for tokens, text in zip(trained().encode_batch(texts), texts, strict=True):
        assert tokens.tolist() == trained().encode(text).tolist()


def test_spelling_is_a_bijection() -> None:
    everything = bytes(range(256))
    assert unspell(spell(everything)) == everything
    assert len(set(spell(everything))) == 256


def test_merge_alone_takes_the_lowest_rank_first() -> None:
    ranks = {b"a": 0, b"b": 1, b"c": 2, b"bc": 3, b"ab": 4, b"abc": 5}
    assert merge_alone(b"abc", ranks, 5) == [b"a", b"bc"]
    assert merge_alone(b"abc", ranks, 3) == [b"a", b"b", b"c"]
    assert merge_alone(b"abc", ranks, 6) == [b"abc"]


# Other tokenizers' files.


def edited(**changes: Any) -> bytes:
    return json.dumps({**json.loads(trained().json), **changes}).encode()


def test_a_pattern_that_is_not_known_is_left_to_tokenizers() -> None:
    spec = json.loads(trained().json)
    spec["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"\w+|\W+"
    tokenizer = Tokenizer(json.dumps(spec).encode())
    assert not tokenizer.fast
    for text in (PROSE, "a<|endoftext|>b", "  x\n" * 9):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode(PROSE).tolist() == reference(tokenizer)(PROSE)
    with pytest.raises(InputError):
        tokenizer.encode("\udc00")


def test_a_listed_pair_that_tiktoken_would_not_take_is_left_to_tokenizers() -> None:
    spec = json.loads(trained().json)
    names = [spell(bytes([byte])) for byte in range(256)]
    merges = [["b", "c"], ["a", "b"], ["ab", "c"]]
    vocab = {name: i for i, name in enumerate([*names, "bc", "ab", "abc"])}
    spec["model"] = {**spec["model"], "vocab": vocab, "merges": merges}
    spec["added_tokens"][0]["id"] = len(vocab)
    spec["added_tokens"] = spec["added_tokens"][:1]
    tokenizer = Tokenizer(json.dumps(spec).encode())
    assert not tokenizer.fast
    assert tokenizer.encode("abc").tolist() == reference(tokenizer)("abc") == [ord("a"), 256]


def test_ids_need_not_follow_the_order_of_merges() -> None:
    spec = json.loads(trained().json)
    count = len(spec["model"]["vocab"])
    spec["model"]["vocab"] = {token: count + 3 - id for token, id in spec["model"]["vocab"].items()}
    spec["added_tokens"] = [{**token, "id": i} for i, token in enumerate(spec["added_tokens"])]
    tokenizer = Tokenizer(json.dumps(spec).encode())
    assert tokenizer.fast
    assert tokenizer.end_of_text == 0
    agree(tokenizer, PROSE)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"{", "not a tokenizer.json"),
        (b"[]", "not a tokenizer.json"),
        (b'{"model": {"type": "Unigram"}}', "not a byte-level BPE"),
        (lambda: edited(normalizer={"type": "Lowercase"}), "normalizer"),
        (lambda: edited(decoder={"type": "Metaspace"}), "not a byte-level BPE"),
        (lambda: edited(added_tokens=[]), "ends a document"),
        (lambda: edited(model={"type": "BPE", "vocab": {"a": 0}, "merges": []}), "some bytes have no token"),
    ],
)
def test_what_is_not_lossless_is_refused(data: bytes | Callable[[], bytes], problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        Tokenizer(data if isinstance(data, bytes) else data(), "here.json")


@cache
def gpt2(path: Path) -> Tokenizer:
    return Tokenizer(path.read_bytes())


def test_gpt2_gives_the_published_vectors(shared_data: Callable[[str], Path]) -> None:
    tokenizer = gpt2(shared_data("tok/gpt2/gpt2.tokenizer.json"))
    plans = shared_data("tok/gpt-tokenizer/TestPlans.txt").read_text()
    vectors = re.findall(r"EncodingName: r50k_base\nSample: (.*?)\nEncoded: (\[.*?\])\n", plans, re.DOTALL)
    assert len(vectors) > 50
    for text, expected in vectors:
        assert tokenizer.encode(text).tolist() == ast.literal_eval(expected)


def test_gpt2_equals_tokenizers(shared_data: Callable[[str], Path]) -> None:
    tokenizer = gpt2(shared_data("tok/gpt2/gpt2.tokenizer.json"))
    assert tokenizer.fast
    assert (tokenizer.vocab_size, tokenizer.end_of_text) == (50257, 50256)
    check = settings(deadline=None, max_examples=300)(
        given(st.one_of(TRICKY, RUNS))(lambda text: agree(tokenizer, text))
    )
    check()
    agree(tokenizer, PROSE)


def test_llama3_shape_of_file_is_read_fast() -> None:
    """Llama 3 lists whole pieces first (`ignore_merges`) and writes merges as strings in older files."""
    spec = json.loads(trained().json)
    spec["model"]["ignore_merges"] = True
    spec["model"]["merges"] = [" ".join(pair) for pair in spec["model"]["merges"]]
    tokenizer = Tokenizer(json.dumps(spec).encode())
    assert tokenizer.fast
    agree(tokenizer, PROSE)
    assert tokenizer.encode(PROSE).tolist() == trained().encode(PROSE).tolist()


def test_transformers_reads_the_same_tokens(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    path = tmp_path / "tokenizer.json"
    path.write_bytes(trained().json)
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(path), eos_token="<|endoftext|>")
    text = PROSE.replace("<|", "< |")  # transformers reads the names of special tokens as the tokens
    assert theirs(text)["input_ids"] == trained().encode(text).tolist()
    assert theirs.eos_token_id == trained().end_of_text
    assert theirs.decode(trained().encode(text).tolist()) == text


def test_the_patterns_that_others_know_by_name() -> None:
    assert splitting.pattern(1).count(r"|\p{N}|") == 1
    assert splitting.pattern(3).count(r"|\p{N}{1,3}|") == 1
    assert splitting.in_blocks(splitting.GPT2) != splitting.GPT2
