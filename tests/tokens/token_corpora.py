"""Corpora for tests: made up in a folder, or run through the stages."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from firn.core.hashing import document_id, fingerprint
from firn.core.schema import DOCUMENT
from firn.core.stage import Stage, Task, Work, execute
from firn.core.store import Manifest, Store
from firn.tokens.bpe import TokenizerSettings, train
from firn.tokens.corpus import Corpus, SourceTokens, TokenFile, TokenStream
from firn.tokens.tokenizer import Tokenizer


@functools.cache
def small_tokenizer() -> Tokenizer:
    return Tokenizer(train(["snow falls on old snow"], TokenizerSettings(vocab_size=512)))


def stream(folder: Path, name: str, parts: Sequence[Sequence[int]]) -> TokenStream:
    """A stream of token files holding exactly these numbers."""
    dtype = small_tokenizer().dtype
    files = []
    for number, tokens in enumerate(parts):
        path = folder / f"{name}-{number}.bin"
        path.write_bytes(np.array(tokens, dtype).tobytes())
        files.append(TokenFile(functools.partial(Path, path), len(tokens)))
    return TokenStream(files, dtype)


def counting_corpus(
    folder: Path, train: Mapping[str, int], validation: Mapping[str, int] | None = None, files: int = 3
) -> Corpus:
    """Sources of so many tokens, token number i being i mod 60,000, in `files` files of unequal size."""
    sources = {}
    for name, tokens in train.items():
        streams = []
        for split, count in (("train", tokens), ("validation", (validation or {}).get(name, 0))):
            cuts = sorted({0, count, *(count * k * k // (files * files) for k in range(files))})
            numbers = np.arange(count) % 60_000
            streams.append(stream(folder, f"{name}-{split}", [numbers[a:b] for a, b in itertools.pairwise(cuts)]))
        sources[name] = SourceTokens(*streams)
    return Corpus(sources, small_tokenizer(), fingerprint([dict(train), dict(validation or {})]))


def documents(work: Work) -> None:
    """A stage that writes the documents of its task's `extra`: rows of (text, group)."""
    rows = [
        {
            "id": document_id(f"{work.label}/{number}", 0, text.encode()),
            "part": 0,
            "group": group,
            "text": text,
            "source": work.extra["source"],
            "url": f"https://example.org/{work.label}/{number}",
            "address": f"{work.label}#{number}",
            "language": "en",
            "copies": 1,
            "meta": "{}",
        }
        for number, (text, group) in enumerate(work.extra["rows"])
    ]
    work.writer("documents", DOCUMENT).write(rows)


DOCUMENTS = Stage("documents", 1, documents)


def document_shard(store: Store, source: str, label: str, rows: Sequence[tuple[str, str]]) -> Manifest:
    return execute(Task(DOCUMENTS, None, (), label, {"source": source, "rows": rows, "label": label}), store)
