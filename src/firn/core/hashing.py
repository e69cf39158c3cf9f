"""Hashes: document identity, file contents, fingerprints of settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import xxhash
from pydantic import BaseModel


def hash128(data: bytes | memoryview) -> bytes:
    """xxh3-128 of `data`, 16 bytes, big-endian."""
    return xxhash.xxh3_128_digest(data)


def hash64(data: bytes | memoryview, seed: int = 0) -> int:
    """xxh3-64 of `data` as an unsigned integer."""
    return xxhash.xxh3_64_intdigest(data, seed)


def hash_file(stream: BinaryIO, chunk: int = 1 << 20) -> str:
    """xxh3-128 of a binary stream, read to its end; 32 hexadecimal digits."""
    state = xxhash.xxh3_128()
    while block := stream.read(chunk):
        state.update(block)
    return state.hexdigest()


def document_id(locator: str, part: int, payload: bytes | memoryview) -> bytes:
    """16-byte identity of a document.

    locator: the canonical locator (WARC-Record-ID; page and revision; repository, commit and path; else the path
    relative to the source's root). part: number of the document within its record. payload: the raw bytes.
    The recipe's name for the source, mirrors and install prefixes do not enter.
    """
    name = locator.encode("utf-8", "surrogatepass")
    # Lengths first, so that no two (locator, part, payload) triples spell the same bytes.
    state = xxhash.xxh3_128(len(name).to_bytes(8, "little") + name + part.to_bytes(8, "little"))
    state.update(payload)
    return state.digest()


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values, equal text. Floats as repr; NaN is an error."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def fingerprint(value: Any) -> str:
    """xxh3-128 of the canonical JSON of `value`: 32 hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(canonical(value).encode())


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item) for item in value), key=canonical)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
