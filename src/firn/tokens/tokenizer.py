"""A byte-level BPE tokenizer, read from the `tokenizer.json` that the rest of the ecosystem reads.

`tokenizers` is the definition; tiktoken, built from the same merges, does the work four times as fast. The two agree
when (1) both engines cut the text alike (splitting.KNOWN, tested) and (2) merging any adjacent pair whose
concatenation is a token, as tiktoken does, never takes another pair than the listed one. For (2) it is enough that the
bytes of each token, merged alone with the merges before its own, end in exactly the listed pair: as long as two
neighbours `l`, `r` stand in a text, nothing outside has touched their bytes, so these went through the same states as
alone. `Tokenizer` checks this for every merge, and leaves the work to `tokenizers` where it does not hold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tiktoken
from numpy.typing import ArrayLike, NDArray

from firn.core.errors import FormatError, InputError
from firn.tokens import splitting

Tokens = NDArray[np.int64]

_END_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>")


def _byte_characters() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte, in which `tokenizer.json` spells tokens."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


BYTE_TO_CHARACTER = _byte_characters()
_CHARACTER_TO_BYTE = {character: byte for byte, character in BYTE_TO_CHARACTER.items()}


def spell(token: bytes) -> str:
    """The token as `tokenizer.json` writes it."""
    return "".join(BYTE_TO_CHARACTER[byte] for byte in token)


def unspell(text: str) -> bytes:
    """The bytes of a token that `tokenizer.json` writes as `text`. KeyError when it is not spelled byte by byte."""
    return bytes(_CHARACTER_TO_BYTE[character] for character in text)


def merge_alone(token: bytes, ranks: Mapping[bytes, int], bound: int) -> list[bytes]:
    """The parts that `token` ends in when its pairs are merged, lowest rank first, by ranks below `bound`."""
    parts = [token[i : i + 1] for i in range(len(token))]
    pairs = [ranks.get(parts[i] + parts[i + 1], bound) for i in range(len(parts) - 1)]
    while pairs and (rank := min(pairs)) < bound:
        at = pairs.index(rank)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
        del pairs[at]
        if at > 0:
            pairs[at - 1] = ranks.get(parts[at - 1] + parts[at], bound)
        if at < len(pairs):
            pairs[at] = ranks.get(parts[at] + parts[at + 1], bound)
    return parts


class Tokenizer:
    """Text to token ids and back; every string comes back as it went in.

    Strings that spell a special token are plain text here, whoever wrote them: only `end_of_text` and
    `special_tokens` give the special ids.

    data: the bytes of a `tokenizer.json` holding a byte-level BPE model. Raises FormatError for anything else.
    """

    def __init__(self, data: bytes, where: str = "tokenizer.json"):
        self.json = data
        spec, model = _parse(data, where)
        vocab: dict[str, int] = model["vocab"]
        added = {token["content"]: int(token["id"]) for token in spec.get("added_tokens") or []}
        #: Strings of the special tokens and their ids.
        self.special_tokens: dict[str, int] = added
        #: Number of ids: rows of the embedding.
        self.vocab_size = max([*vocab.values(), *added.values()]) + 1
        #: Id of the token that ends each document.
        self.end_of_text = _end_of_text(added, where)
        #: Bytes of each id; specials in UTF-8.
        self.tokens: list[bytes] = [b""] * self.vocab_size
        try:
            for text, id in vocab.items():
                if text not in added:
                    self.tokens[id] = unspell(text)
            fast = _tiktoken(spec, vocab, added)
        except KeyError:
            raise _unsupported("its tokens are not spelled byte by byte, or a merge makes none", where) from None
        for text, id in added.items():
            self.tokens[id] = text.encode()
        #: Whether tiktoken does the work.
        self.fast = fast is not None
        self._encode = fast or _tokenizers(spec, where)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The little-endian unsigned type of the token files."""
        return np.dtype("<u2" if self.vocab_size <= 1 << 16 else "<u4")

    def encode(self, text: str) -> Tokens:
        """Token ids of `text`, int64 [n]. InputError when it is not Unicode text (a lone surrogate)."""
        try:
            return self._encode(text)
        except UnicodeEncodeError as error:
            raise InputError(f"the text is not Unicode: {error.reason} at character {error.start}") from None

    def encode_batch(self, texts: Iterable[str]) -> list[Tokens]:
        """`encode` of each text."""
        return [self.encode(text) for text in texts]

    def decode_bytes(self, tokens: ArrayLike) -> bytes:
        """The bytes that the ids spell; a special token spells its own name."""
        table = self.tokens
        return b"".join([table[id] for id in np.asarray(tokens, dtype=np.int64).ravel().tolist()])

    def decode(self, tokens: ArrayLike) -> str:
        """The text that the ids spell; bytes that are not UTF-8 become U+FFFD."""
        return self.decode_bytes(tokens).decode("utf-8", "replace")

    def token_bytes(self) -> Tokens:
        """Number of bytes of each id, int64 [vocab_size]; 0 for special tokens."""
        sizes = np.array([len(token) for token in self.tokens], dtype=np.int64)
        sizes[list(self.special_tokens.values())] = 0
        return sizes


@lru_cache(maxsize=1)
def load(path: Path) -> Tokenizer:
    """The tokenizer in a file of the store, which never changes; kept for the next shard."""
    return Tokenizer(path.read_bytes(), str(path))


def _unsupported(problem: str, where: str) -> FormatError:
    return FormatError(problem, where=where, mend="give a tokenizer.json with a byte-level BPE model and no normalizer")


def _parse(data: bytes, where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        spec = json.loads(data)
        model = spec["model"]
    except (ValueError, KeyError, TypeError):
        raise _unsupported("this is not a tokenizer.json", where) from None
    if model.get("type") != "BPE" or (spec.get("decoder") or {}).get("type") != "ByteLevel":
        raise _unsupported("this is not a byte-level BPE tokenizer", where)
    if spec.get("normalizer") is not None:
        raise _unsupported("its normalizer changes the text, so that encoding would lose some", where)
    if not {BYTE_TO_CHARACTER[byte] for byte in range(256)} <= model["vocab"].keys():
        raise _unsupported("some bytes have no token, so that encoding would lose some text", where)
    return spec, model


def _end_of_text(added: Mapping[str, int], where: str) -> int:
    for name in _END_OF_TEXT:
        if name in added:
            return added[name]
    raise FormatError(f"no special token ends a document; firn looks for {', '.join(_END_OF_TEXT)}", where=where)


def split_pattern(spec: Mapping[str, Any]) -> str | None:
    """The pattern by which this tokenizer cuts text, None when it is not a single known one."""
    before = spec.get("pre_tokenizer") or {}
    steps: Sequence[Mapping[str, Any]] = before["pretokenizers"] if before.get("type") == "Sequence" else [before]
    level = steps[-1]
    if level.get("type") != "ByteLevel" or level.get("add_prefix_space"):
        return None
    if len(steps) == 1:
        return splitting.GPT2 if level.get("use_regex", True) else None
    split = steps[0]
    if len(steps) > 2 or split.get("type") != "Split" or level.get("use_regex", True):
        return None
    found = split.get("pattern", {}).get("Regex")
    return found if split.get("behavior") == "Isolated" and not split.get("invert") else None


def _tiktoken(
    spec: Mapping[str, Any], vocab: Mapping[str, int], added: Mapping[str, int]
) -> Callable[[str], Tokens] | None:
    """Encode with tiktoken by the same merges; None where equality is not proven. KeyError for a broken merge."""
    split, model = split_pattern(spec), spec["model"]
    plain = not any(model.get(key) for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"))
    if split not in splitting.KNOWN or not plain:
        return None
    ranks = {bytes([byte]): byte for byte in range(256)}
    for merge in model["merges"]:
        left, right = (unspell(part) for part in (merge.split(" ") if isinstance(merge, str) else merge))
        if left + right in ranks or merge_alone(left + right, ranks, len(ranks)) != [left, right]:
            return None
        ranks[left + right] = len(ranks)
    if len(ranks) != len(vocab.keys() - added.keys()):
        return None  # a token that no merge makes: `tokenizers` may or may not use it
    ids = np.array([vocab[spell(token)] for token in ranks], dtype=np.int64)
    encoding = tiktoken.Encoding("firn", pat_str=splitting.in_blocks(split), mergeable_ranks=ranks, special_tokens={})

    def encode(text: str) -> Tokens:
        return ids[encoding.encode_to_numpy(text, disallowed_special=())]

    return encode


def _tokenizers(spec: Mapping[str, Any], where: str) -> Callable[[str], Tokens]:
    """Encode with `tokenizers`, which reads the same file without its special tokens: their names are plain text."""
    from tokenizers import Tokenizer as Reference

    plain = {**spec, "added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
    try:
        reference = Reference.from_str(json.dumps(plain))
    except Exception as error:  # the library raises nothing narrower
        raise _unsupported(f"the tokenizers library refuses it: {error}", where) from None

    def encode(text: str) -> Tokens:
        text.encode()  # so that a lone surrogate is an error here too
        return np.asarray(reference.encode(text, add_special_tokens=False).ids, dtype=np.int64)

    return encode
