from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from firn.data.http import TooLarge, Undecodable, dechunk, parse

PAGE = b"<html><body>" + b"<p>Snow falls on snow.</p>" * 200 + b"</body></html>"
LIMIT = 1 << 20


def response(body: bytes, *headers: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([status, "Content-Type: text/html; charset=koi8-r", *headers, "", ""]).encode() + body


def chunked(body: bytes, sizes: list[int], extension: bytes = b"") -> bytes:
    out, at = b"", 0
    for size in sizes:
        piece = body[at : at + size]
        at += size
        if piece:
            out += f"{len(piece):x}".encode() + extension + b"\r\n" + piece + b"\r\n"
    rest = body[at:]
    return out + (f"{len(rest):X}\r\n".encode() + rest + b"\r\n" if rest else b"") + b"0\r\n\r\n"


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


CODINGS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}


def test_plain() -> None:
    found = parse(response(PAGE), LIMIT)
    assert (found.status, found.mime, found.charset, found.body, found.whole) == (
        200,
        "text/html",
        "koi8-r",
        PAGE,
        True,
    )


@pytest.mark.parametrize("coding", CODINGS)
def test_codings(coding: str) -> None:
    body = CODINGS[coding](PAGE)
    assert parse(response(body, f"Content-Encoding: {coding}"), LIMIT).body == PAGE
    both = response(chunked(body, [3, 100]), f"content-encoding: {coding.upper()}", "Transfer-Encoding: chunked")
    assert parse(both, LIMIT).body == PAGE


def test_codings_upon_each_other() -> None:
    body = brotli.compress(gzip.compress(PAGE))
    assert parse(response(body, "Content-Encoding: gzip, br"), LIMIT).body == PAGE
    with pytest.raises(Undecodable, match="upon each other"):
        parse(response(PAGE, "Content-Encoding: " + "gzip," * 50), LIMIT)


def test_raw_deflate_and_several_gzip_members() -> None:
    assert parse(response(raw_deflate(PAGE), "Content-Encoding: deflate"), LIMIT).body == PAGE
    assert parse(response(gzip.compress(PAGE) * 2, "Content-Encoding: gzip"), LIMIT).body == PAGE * 2


def test_zstandard_frames_after_each_other() -> None:
    skipped = b"\x5a\x2a\x4d\x18\x05\x00\x00\x00empty"
    body = skipped + zstandard.compress(PAGE) + zstandard.compress(b"") + skipped + zstandard.compress(PAGE)
    for after in (b"", b"anything else"):
        found = parse(response(body + after, "Content-Encoding: zstd"), LIMIT)
        assert (found.body, found.whole) == (PAGE * 2, True)
    broken = zstandard.compress(PAGE) + body[:4] + b"\xff" * 9
    found = parse(response(broken, "Content-Encoding: zstd"), LIMIT)
    assert (found.body, found.whole) == (PAGE, False)


def test_a_zstandard_window_beyond_the_coding_s_own_is_not_allocated() -> None:
    sizes = zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    stream = zstandard.ZstdCompressor(compression_params=sizes).compressobj()
    found = parse(response(stream.compress(PAGE) + stream.flush(), "Content-Encoding: zstd"), LIMIT)
    assert (found.body, found.whole) == (b"", False)


def test_what_a_zstandard_bomb_takes_is_bounded() -> None:
    bomb = response(zstandard.compress(bytes(1 << 27)), "Content-Encoding: zstd")
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            parse(bomb, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_header_of_a_coding_that_was_undone() -> None:
    for coding in ("gzip", "deflate", "br", "zstd"):
        assert parse(response(PAGE, f"Content-Encoding: {coding}"), LIMIT).body == PAGE
    assert parse(response(PAGE, "Transfer-Encoding: chunked"), LIMIT).body == PAGE


@pytest.mark.parametrize("coding", CODINGS)
def test_cut_off_bodies_give_what_is_there(coding: str) -> None:
    text = bytes(random.Random(0).choices(b"abcdefgh ", k=600_000))
    body = CODINGS[coding](text)
    found = parse(response(body[: len(body) // 2], f"Content-Encoding: {coding}"), LIMIT)
    assert not found.whole
    assert len(found.body) > 10_000
    assert text.startswith(found.body)


@pytest.mark.parametrize("coding", CODINGS)
def test_bombs_do_not_go_off(coding: str) -> None:
    bomb = CODINGS[coding](b"\0" * (8 << 20))
    with pytest.raises(TooLarge):
        parse(response(bomb, f"Content-Encoding: {coding}"), LIMIT)
    twice = CODINGS[coding](bomb)
    with pytest.raises(TooLarge):
        parse(response(twice, f"Content-Encoding: {coding}, {coding}"), LIMIT)


def test_unknown_coding_and_size_limit() -> None:
    with pytest.raises(Undecodable, match="compress"):
        parse(response(PAGE, "Content-Encoding: compress"), LIMIT)
    with pytest.raises(TooLarge):
        parse(response(PAGE), len(PAGE) - 1)
    assert parse(response(PAGE), len(PAGE)).body == PAGE


@given(st.binary(min_size=1, max_size=300), st.lists(st.integers(1, 50), max_size=8))
def test_chunks_of_any_size(body: bytes, sizes: list[int]) -> None:
    assert dechunk(chunked(body, sizes, b";name=value")) == (body, True)


@given(st.binary(max_size=400))
def test_any_bytes_are_read(block: bytes) -> None:
    parse(block, LIMIT)


def test_odd_headers() -> None:
    found = parse(b"HTTP/1.0 404\nA: 1\na: 2\n  more\nnonsense\nX: \xe9\nEmpty:\n\nbody", LIMIT)
    assert found.status == 404
    assert found.headers == {"a": "1, 2 more", "x": "é", "empty": ""}
    assert found.body == b"body"
    assert parse(b"", LIMIT).status == 0
    assert parse(b"no status line\r\n\r\nbody", LIMIT).status == 0
    assert parse(b"HTTP/1.1 200 OK\r\nA: b", LIMIT).body == b""
