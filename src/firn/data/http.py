"""An HTTP response as a crawler stored it: status, headers, and the body with its codings undone.

Nothing is trusted: crawlers keep headers of codings that they have undone already, servers lie, and a small body may
inflate to any size.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import brotli  # type: ignore[import-untyped]
import zstandard

_STATUS = re.compile(rb"HTTP/\d(?:\.\d+)?\s+(\d{3})(?:\s|$)", re.IGNORECASE)
_CHUNK = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]{0,1024})?\r?\n")
_MAX_HEADER = 1 << 20
_MAX_CODINGS = 4
_GZIP = b"\x1f\x8b"
# Zstandard frames, and those that hold nothing of the body (RFC 8878, section 3.1).
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
# The largest window of the coding (RFC 9659, section 3).
_ZSTD_WINDOW = 8 << 20
_PIECE = 1 << 14
# What it inflates to has no bound of its own; four bytes may be a block of 128 KiB.
_ZSTD_PIECE = 1 << 8


class TooLarge(Exception):
    """The body is larger than the limit, once decoded."""


class Undecodable(Exception):
    """The body is in a coding that cannot be undone here."""


@dataclass(frozen=True)
class Response:
    """status: 0 where there is no status line. headers: names in lower case, repeated ones joined by commas.
    body: decoded. whole: False where the body breaks off before its coding says that it ends."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool = True

    @property
    def mime(self) -> str:
        """Media type of the Content-Type header, in lower case; empty where there is none."""
        return self.headers.get("content-type", "").split(";")[0].split(",")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The charset parameter of the Content-Type header."""
        found = re.search(r"charset\s*=\s*[\"']?([^\s\"';,]+)", self.headers.get("content-type", ""), re.IGNORECASE)
        return found[1] if found else None


def parse(block: bytes, limit: int) -> Response:
    """The response in `block`: status line, headers, empty line, body.

    limit: largest body in bytes, decoded. Raises TooLarge, and Undecodable for a coding that is not known.
    """
    head, body = _split(block)
    lines = head.splitlines()
    found = _STATUS.match(lines[0]) if lines else None
    headers = parse_headers(lines[1:])
    whole = True
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body, whole = dechunk(body)
    codings = [c.strip() for c in headers.get("content-encoding", "").lower().split(",")]
    codings = [c.removeprefix("x-") for c in codings if c not in ("", "identity", "none", "utf-8")]
    if len(codings) > _MAX_CODINGS:
        raise Undecodable(f"{len(codings)} content codings upon each other")
    for coding in reversed(codings):
        body, ended = _uncode(body, coding, limit)
        whole = whole and ended
    if len(body) > limit:
        raise TooLarge
    return Response(int(found[1]) if found else 0, headers, body, whole)


def parse_headers(lines: list[bytes]) -> dict[str, str]:
    """Header fields; continuation lines are joined, lines without a colon skipped."""
    headers: dict[str, str] = {}
    last = ""
    for line in lines:
        if line[:1] in (b" ", b"\t") and last:
            headers[last] += " " + _latin(line)
            continue
        name, colon, value = line.partition(b":")
        if colon:
            last = _latin(name).lower()
            headers[last] = f"{headers[last]}, {_latin(value)}" if last in headers else _latin(value)
    return headers


def _latin(value: bytes) -> str:
    try:
        return value.strip().decode("utf-8")
    except UnicodeDecodeError:
        return value.strip().decode("latin-1")


def _split(block: bytes) -> tuple[bytes, bytes]:
    """Headers and body. Some servers end lines with LF alone."""
    ends = [(at, len(mark)) for mark in (b"\r\n\r\n", b"\n\n") if (at := block.find(mark, 0, _MAX_HEADER)) >= 0]
    if not ends:
        return block[:_MAX_HEADER], b""
    at, length = min(ends)
    return block[:at], block[at + length :]


def dechunk(body: bytes) -> tuple[bytes, bool]:
    """Undo chunked transfer coding (RFC 9112, section 7.1), and whether the last chunk was there.

    A body that is not chunked, whatever its header said, is returned as it is.
    """
    parts: list[bytes] = []
    at = 0
    while found := _CHUNK.match(body, at):
        size = int(found[1], 16)
        if size == 0:
            return b"".join(parts), True
        parts.append(body[found.end() : found.end() + size])
        at = found.end() + size
        if at > len(body):
            return b"".join(parts), False
        at += 2 if body.startswith(b"\r\n", at) else 1 if body.startswith(b"\n", at) else 0
    return (b"".join(parts), False) if parts else (body, True)


def _uncode(body: bytes, coding: str, limit: int) -> tuple[bytes, bool]:
    if coding == "gzip":
        if not body.startswith(_GZIP):  # undone by the crawler already
            return body, True
        return _inflate(body, 31, limit)
    if coding == "deflate":
        # Servers send zlib streams as the standard says, or raw deflate as the name says.
        zlib_header = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
        out, ended = _inflate(body, 15 if zlib_header else -15, limit)
        return (out, ended) if out or not body else (body, True)
    if coding == "br":
        return _unbrotli(body, limit)
    if coding == "zstd":
        return _unzstd(body, limit) if _ZSTD.match(body) else (body, True)
    raise Undecodable(f"content coding {coding[:40]!r}")


def _inflate(body: bytes, window: int, limit: int) -> tuple[bytes, bool]:
    """Inflate at most `limit` bytes, of one stream or several; what comes before an error counts, as in browsers."""
    out = bytearray()
    while body:
        stream, at = zlib.decompressobj(window), 0
        try:
            while at < len(body) and not stream.eof:
                out += stream.decompress(body[at : at + _PIECE], limit + 1 - len(out))
                at += _PIECE
                if len(out) > limit:
                    raise TooLarge
        except zlib.error:
            return bytes(out), False
        if not stream.eof:
            return bytes(out), False
        rest = stream.unused_data + body[at:]
        body = rest if rest.startswith(_GZIP) else b""
    return bytes(out), True


def _unbrotli(body: bytes, limit: int) -> tuple[bytes, bool]:
    stream, out = brotli.Decompressor(), bytearray()
    try:
        for at in range(0, len(body), _PIECE):
            out += stream.process(body[at : at + _PIECE], output_buffer_limit=limit + 1)
            while not stream.can_accept_more_data() and len(out) <= limit:
                out += stream.process(b"", output_buffer_limit=limit + 1)
            if len(out) > limit:
                raise TooLarge
    except brotli.error:
        return (bytes(out), False) if out else (body, True)
    return bytes(out), stream.is_finished()


def _unzstd(body: bytes, limit: int) -> tuple[bytes, bool]:
    """Frames after each other, as `_inflate` does."""
    out, reader = bytearray(), zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    frame = reader.decompressobj()
    at = 0
    try:
        while at < len(body):
            end = at + _ZSTD_PIECE
            out += frame.decompress(body[at:end])
            if len(out) > limit:
                raise TooLarge
            at = min(end, len(body)) - len(frame.unused_data)
            if frame.eof:
                if not _ZSTD.match(body, at):
                    return bytes(out), True
                frame = reader.decompressobj()
    except zstandard.ZstdError:
        return bytes(out), False
    return bytes(out), False
