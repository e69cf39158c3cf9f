"""WARC files made for tests."""

from __future__ import annotations

import gzip
import random

import xxhash


def record(
    name: str,
    block: bytes,
    kind: str = "response",
    mime: str = "application/http; msgtype=response",
    url: str | None = None,
    **more: str,
) -> bytes:
    """A record whose WARC-Record-ID is `<urn:test:NAME>`."""
    lines = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        f"WARC-Record-ID: <urn:test:{name}>",
        "WARC-Date: 2024-05-18T01:58:10Z",
        f"WARC-Target-URI: {url or f'https://www.example.org/{name}'}",
        f"Content-Type: {mime}",
        *(f"{key.replace('_', '-')}: {value}" for key, value in more.items()),
        f"Content-Length: {len(block)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def http(body: bytes, status: str = "200 OK", mime: str = "text/html; charset=utf-8", *headers: str) -> bytes:
    """An HTTP response."""
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Type: {mime}", *headers]).encode() + b"\r\n\r\n" + body


def page(text: str) -> bytes:
    """A page with enough prose for every extractor."""
    prose = "The snow of many years lies in layers, and every layer of it still knows the winter it fell in. " * 3
    return (
        f"<!doctype html><html><head><title>Snow</title></head><body><article><h1>Snow</h1><p>{text} {prose}</p>"
        f"<p>{prose}</p></article></body></html>"
    ).encode()


def members(*records: bytes) -> bytes:
    """A gzip member per record, as crawlers write them."""
    return b"".join(gzip.compress(each, 1, mtime=0) for each in records)


def lz4(data: bytes) -> bytes:
    """A frame with a check sum of its content, whose blocks are stored as they are (LZ4 Frame Format 1.6)."""
    about = bytes([0b0110_0100, 0x40])
    blocks = [data[at : at + 65536] for at in range(0, len(data), 65536)]
    stored = b"".join((len(block) | 1 << 31).to_bytes(4, "little") + block for block in blocks)
    ends = bytes(4) + xxhash.xxh32(data).intdigest().to_bytes(4, "little")
    return b"\x04\x22\x4d\x18" + about + bytes([xxhash.xxh32(about).intdigest() >> 8 & 255]) + stored + ends


def damage(data: bytes, chance: random.Random, kind: str) -> bytes:
    """The bytes with one bit flipped (`flip`), cut off (`cut`), ten more (`insert`) or fifty zeroed, at some place."""
    damaged = bytearray(data)
    at = chance.randrange(len(damaged))
    if kind == "flip":
        damaged[at] ^= 1 << chance.randrange(8)
    elif kind == "cut":
        del damaged[at:]
    elif kind == "insert":
        damaged[at:at] = chance.randbytes(10)
    else:
        damaged[at : at + 50] = bytes(len(damaged[at : at + 50]))
    return bytes(damaged)
