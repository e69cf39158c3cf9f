"""The corpus: every source's token shards as one long stream, memory-mapped as they are touched.

The order of a source's shards is that of their content's hashes, so it depends on nothing but content. Opening a corpus
reads manifests only; memory does not grow with its tokens.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from firn.core.errors import FormatError
from firn.core.hashing import fingerprint
from firn.core.schema import check
from firn.core.store import Manifest, Store
from firn.tokens.encode import DATES, INDEX, SPLITS, Dates
from firn.tokens.tokenizer import Tokenizer, load

AnyTokens = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class TokenFile:
    """A token file and its index. Paths are asked for only when they are read: they may have to be fetched.

    tokens: how many it holds. shard: the fingerprint of the token shard it belongs to.
    """

    path: Callable[[], Path]
    tokens: int
    index: Callable[[], Path] | None = None
    shard: str = ""


class TokenStream:
    """Token files, one after the other, read by position.

    documents, bytes: number of documents, and of the UTF-8 bytes of their texts (end-of-text tokens have none).
    """

    def __init__(self, files: Sequence[TokenFile], dtype: np.dtype[Any], documents: int = 0, bytes: int = 0):
        self.files = tuple(file for file in files if file.tokens)
        self.documents, self.bytes = documents, bytes
        self._dtype = dtype
        self._maps: list[AnyTokens | None] = [None] * len(self.files)
        #: Position of each file's first token, and of the end.
        self.starts: list[int] = np.cumsum([0, *(file.tokens for file in self.files)], dtype=np.int64).tolist()

    def __len__(self) -> int:
        return self.starts[-1]

    def file(self, number: int) -> AnyTokens:
        """The tokens of one file, memory-mapped. FormatError where its size is not what its manifest says."""
        found = self._maps[number]
        if found is None:
            path = self.files[number].path()
            # A plain array over the map: slicing it is several times faster than slicing a numpy.memmap.
            found = np.asarray(np.memmap(path, self._dtype, mode="r"))
            if len(found) != self.files[number].tokens:
                raise FormatError(
                    f"the token file holds {len(found)} tokens, its manifest says {self.files[number].tokens}",
                    where=str(path),
                    mend="remove the shard's folder and run the recipe again",
                )
            self._maps[number] = found
        return found

    def read(self, start: int, length: int) -> AnyTokens:
        """Tokens [start, start + length), [length], as stored: a read-only view where they lie in one file.

        Raises IndexError where the stream does not hold them all.
        """
        if start < 0 or length < 0 or start + length > len(self):
            raise IndexError(f"tokens {start} to {start + length} of {len(self)}")
        if length == 0:
            return np.zeros(0, self._dtype)
        number = bisect_right(self.starts, start) - 1
        parts = []
        while length > 0:
            offset = start - self.starts[number]
            part = self.file(number)[offset : offset + length]
            parts.append(part)
            start, length, number = start + len(part), length - len(part), number + 1
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def spans(self, start: int, length: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """The documents that tokens [start, start + length) belong to: (position of its first token, index row)."""
        end = start + length
        number = bisect_right(self.starts, start) - 1
        while start < end and number < len(self.files):
            base = self.starts[number]
            index = self._index(number)
            firsts = index.column("start").to_numpy()
            first = int(np.searchsorted(firsts, start - base, side="right")) - 1
            last = int(np.searchsorted(firsts, end - base, side="left"))
            for row in index.slice(first, last - first).to_pylist():
                yield base + row["start"], row
            start, number = self.starts[number + 1], number + 1

    def _index(self, number: int) -> pa.Table:
        index = self.files[number].index
        if index is None:
            raise FormatError("this token stream was opened without its index")
        return _read_index(index())


@dataclass(frozen=True)
class SourceTokens:
    """One source's training and validation streams. dates: of the documents in the first, by `encode.DATES`."""

    train: TokenStream
    validation: TokenStream
    dates: Mapping[str, Dates] = field(default_factory=dict)

    @property
    def documents(self) -> int:
        """Documents of both splits."""
        return self.train.documents + self.validation.documents

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of both splits."""
        return self.train.bytes + self.validation.bytes


class Corpus:
    """All sources under one tokenizer.

    identity: hash of the tokenizer, the sources' names and the content of their shards. A batch plan names it.
    """

    def __init__(self, sources: dict[str, SourceTokens], tokenizer: Tokenizer, identity: str):
        self.sources = dict(sorted(sources.items()))
        self.tokenizer = tokenizer
        self.identity = identity

    @classmethod
    def open(cls, store: Store, shards: Sequence[Manifest], tokenizer: Manifest) -> Corpus:
        """The corpus of these token shards, in any order. Reads manifests and the tokenizer only."""
        reader = load(store.local(tokenizer, "tokenizer"))
        by_source: dict[str, list[Manifest]] = defaultdict(list)
        for shard in shards:
            if shard.notes["source"] is not None:  # None: the shard has no documents at all
                by_source[shard.notes["source"]].append(shard)
        sources, identity = {}, {}
        for source, manifests in sorted(by_source.items()):
            manifests.sort(key=Manifest.identity)
            identity[source] = [manifest.identity(*_FILES) for manifest in manifests]
            streams = {split: _stream(store, manifests, split, reader.dtype) for split in SPLITS}
            notes = [manifest.notes[SPLITS[0]] for manifest in manifests]
            # Shards of before these were noted have none.
            dates = {name: sum((Dates(**note.get(name, {})) for note in notes), Dates()) for name in DATES}
            sources[source] = SourceTokens(**streams, dates=dates)
        return cls(sources, reader, fingerprint({"tokenizer": tokenizer.identity("tokenizer"), "sources": identity}))

    def index(self, source: str, split: str = "train", columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The document index of a source, file by file. Raises FormatError for a corpus without one."""
        for file in getattr(self.sources[source], split).files:
            if file.index is None:
                raise FormatError("this token stream was opened without its index")
            yield pq.read_table(file.index(), columns=None if columns is None else list(columns))

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return self.tokenizer.vocab_size

    @property
    def end_of_text(self) -> int:
        """Id of the token that ends each document."""
        return self.tokenizer.end_of_text

    def token_bytes(self) -> NDArray[np.int64]:
        """Number of bytes of each id, int64 [vocab_size]; 0 for special tokens."""
        return self.tokenizer.token_bytes()

    def texts(self, source: str, split: str = "train") -> Iterator[bytes]:
        """The documents of a source, in UTF-8, in the order of the stream."""
        stream: TokenStream = getattr(self.sources[source], split)
        for number in range(len(stream.files)):
            tokens = stream.file(number)
            start = 0
            for end in np.flatnonzero(tokens == self.end_of_text).tolist():
                yield self.tokenizer.decode_bytes(tokens[start:end])
                start = end + 1

    def picture(self) -> list[dict[str, Any]]:
        """One row per source and split: source, split, documents, tokens, bytes."""
        return [
            {
                "source": name,
                "split": split,
                "documents": stream.documents,
                "tokens": len(stream),
                "bytes": stream.bytes,
            }
            for name, source in self.sources.items()
            for split, stream in zip(SPLITS, (source.train, source.validation), strict=True)
        ]


@lru_cache(maxsize=4)
def _read_index(path: Path) -> pa.Table:
    table = pq.read_table(path, memory_map=True)
    check(table.schema, INDEX, str(path))
    return table


_FILES = tuple(name for split in SPLITS for name in (split, f"{split}_index"))


def _stream(store: Store, shards: Sequence[Manifest], split: str, dtype: np.dtype[Any]) -> TokenStream:
    files = [
        TokenFile(
            path=partial(store.local, shard, split),
            tokens=shard.files[split].bytes // dtype.itemsize,
            index=partial(store.local, shard, f"{split}_index"),
            shard=shard.fingerprint,
        )
        for shard in shards
    ]
    counts = [shard.notes[split] for shard in shards]
    return TokenStream(files, dtype, sum(c["documents"] for c in counts), sum(c["bytes"] for c in counts))
