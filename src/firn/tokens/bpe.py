"""Stage `tokenizer`: train a byte-level BPE tokenizer on a sample of the training documents.

The sample does not depend on the order of shards or on how documents are spread over them: it holds the training
documents with the smallest hash of their id, up to a budget of bytes. Validation documents never enter it.
"""

from __future__ import annotations

import heapq
import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from firn.core.errors import InputError
from firn.core.hashing import hash64
from firn.core.settings import Settings
from firn.core.split import SplitSettings, is_validation
from firn.core.stage import External, Input, Stage, Task, Work, external
from firn.core.store import Manifest
from firn.tokens import splitting
from firn.tokens.tokenizer import BYTE_TO_CHARACTER, Tokenizer, merge_alone, spell, unspell

_SEED = 0xB9E
_DOCUMENT_BYTES = 1 << 20

# Runs that no reader would call a word: they hold no lesson, each merge walks them whole, and their tokens are long.
_RUNS = re.compile(r"[^\W\d_]{129,}|(?:[^\w\s]|_){129,}|\s{129,}")
_IS_SPACE = np.isin(np.arange(256), list(b" \t\n\v\f\r"))


class TokenizerSettings(Settings):
    """How the tokenizer is made."""

    vocab_size: int = Field(default=8192, ge=512, le=1 << 20)
    """Number of token ids, special tokens included. Fewer when the sample has too few pairs to merge."""
    sample_bytes: int = Field(default=64 << 20, ge=1)
    """Bytes of training text that the merges are learned from."""
    digits: Literal[1, 2, 3] = 3
    """Numbers are cut into groups of up to this many digits. 3 is Llama 3's pattern, 1 is Qwen2's."""
    trainer: Literal["rustbpe", "tokenizers"] = "rustbpe"
    """The library that learns the merges. They break ties between equally frequent pairs differently."""
    special_tokens: tuple[str, ...] = ("<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
    """Special tokens, in the order of their ids, after all others. `<|endoftext|>` ends each document; the three
    sentinels are for training to fill in the middle."""
    split: SplitSettings = SplitSettings()
    """Which documents are held out."""
    file: str | None = None
    """A `tokenizer.json` to use as it is, instead of training one."""


def train(texts: Iterable[str], settings: TokenizerSettings) -> bytes:
    """The `tokenizer.json` of merges learned from `texts`. The order of the texts does not matter."""
    words = (_RUNS.sub(" ", text) if _has_long_run(text) else text for text in texts)
    size = settings.vocab_size - len(settings.special_tokens)
    learn = _rustbpe if settings.trainer == "rustbpe" else _tokenizers
    return to_json(learn(words, size, splitting.pattern(settings.digits)), settings.special_tokens, settings.digits)


def to_json(tokens: Sequence[bytes], special_tokens: Sequence[str], digits: int) -> bytes:
    """`tokenizer.json` of learned tokens, in the order in which they were learned.

    The pair that made each token is found by merging its bytes alone with the tokens before it. A token that this
    does not end in one pair for could never be the result of encoding, and is left out.
    """
    ranks = {bytes([byte]): byte for byte in range(256)}
    merges: list[list[str]] = []
    for token in tokens:
        parts = merge_alone(token, ranks, len(ranks))
        if len(parts) == 2:
            ranks[token] = len(ranks)
            merges.append([spell(part) for part in parts])
    added = [
        {
            "id": len(ranks) + i,
            "content": name,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, name in enumerate(special_tokens)
    ]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    cut = {
        "type": "Split",
        "pattern": {"Regex": splitting.pattern(digits)},
        "behavior": "Isolated",
        "invert": False,
    }
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {spell(token): rank for token, rank in ranks.items()},
        "merges": merges,
    }
    spec = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [cut, level]},
        "post_processor": None,
        "decoder": level,
        "model": model,
    }
    return json.dumps(spec, ensure_ascii=False, indent=1).encode()


def _has_long_run(text: str) -> bool:
    """Whether more than 128 bytes stand together without ASCII white space, or more than 128 of white space.

    Much faster than a search for _RUNS, which tries each letter of each word.
    """
    space = _IS_SPACE[np.frombuffer(text.encode(), np.uint8)]
    borders = np.flatnonzero(space[1:] != space[:-1])
    return int(np.diff(borders, prepend=-1, append=len(space) - 1).max(initial=0)) > 128


def _rustbpe(texts: Iterable[str], size: int, pattern: str) -> list[bytes]:
    import rustbpe  # here, so that the room is importable without it

    tokenizer = rustbpe.Tokenizer()
    tokenizer.train_from_iterator(iter(texts), size, pattern=splitting.in_blocks(pattern))
    ranked = sorted(tokenizer.get_mergeable_ranks(), key=lambda pair: int(pair[1]))
    return [bytes(token) for token, _ in ranked[256:]]


def _tokenizers(texts: Iterable[str], size: int, pattern: str) -> list[bytes]:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = list(BYTE_TO_CHARACTER.values())
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(iter(texts), trainer)
    ranked = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    return [unspell(text) for text, _ in ranked[256:]]


def _absent(library: str) -> InputError:
    return InputError(
        f"the library {library} is not installed",
        key="tokenizer.trainer",
        mend=f"pip install {library}, or name another trainer (merges then differ where frequencies are equal)",
    )


class Sample:
    """The training texts with the smallest hash of their document's id, of `budget` bytes or little more."""

    def __init__(self, budget: int, validation: float):
        self._budget, self._validation = budget, validation
        self._heap: list[tuple[int, bytes, bytes]] = []  # the largest hash on top
        self.bytes = 0

    def offer(self, id: bytes, group: str, text: Any) -> None:
        """Consider a document. text: a str, or anything whose `as_py()` is one (read only when it is needed)."""
        order = -hash64(id, _SEED)
        full = self.bytes >= self._budget
        if (full and order < self._heap[0][0]) or is_validation(group, self._validation):
            return
        data = (text if isinstance(text, str) else text.as_py()).encode()[:_DOCUMENT_BYTES]
        heapq.heappush(self._heap, (order, id, data))
        self.bytes += len(data)
        while self.bytes - len(self._heap[0][2]) >= self._budget:
            self.bytes -= len(heapq.heappop(self._heap)[2])

    def __len__(self) -> int:
        return len(self._heap)

    def texts(self) -> Iterator[str]:
        """The chosen texts, in the order of their hashes."""
        for _, _, data in sorted(self._heap, reverse=True):
            yield data.decode("utf-8", "ignore")  # a long document is cut, perhaps within a character


def run(work: Work) -> None:
    """Write `tokenizer`: trained on the inputs' documents, or the given `tokenizer.json` where the input is one."""
    if isinstance(work.inputs[0], External):
        data = work.local().read_bytes()
    else:
        settings: TokenizerSettings = work.settings
        sample = Sample(settings.sample_bytes, settings.split.validation)
        for input in range(len(work.inputs)):
            for batch in work.batches(input, columns=["id", "group", "text"]):
                columns = batch.column("id").to_pylist(), batch.column("group").to_pylist(), batch.column("text")
                for id, group, text in zip(*columns, strict=True):
                    sample.offer(id, group, text)
        if not len(sample):
            raise InputError(
                "there is no training document to learn a tokenizer from",
                where=work.label,
                mend="look at the funnel for the rule that removed them; a small corpus may lie in validation wholly",
            )
        work.note("sample", {"documents": len(sample), "bytes": sample.bytes})
        data = train(sample.texts(), settings)
    work.note("vocab_size", Tokenizer(data, work.label).vocab_size)
    with work.open("tokenizer", ".json") as file:
        file.write(data)


STAGE = Stage("tokenizer", 1, run)


def task(settings: TokenizerSettings, documents: Sequence[Manifest]) -> Task:
    """The one task of this stage. documents: the shards of deduplicated documents, in any order."""
    if settings.file is not None:
        # Nothing else enters the fingerprint: neither the settings of training nor where the file lies.
        return Task(STAGE, None, (external(settings.file),), "tokenizer.json")
    if importlib.util.find_spec(settings.trainer) is None:
        raise _absent(settings.trainer)
    inputs = sorted((Input(manifest, ("documents",)) for manifest in documents), key=lambda input: input.identity)
    return Task(replace(STAGE, libraries=(settings.trainer,)), settings, tuple(inputs), "tokenizer")
