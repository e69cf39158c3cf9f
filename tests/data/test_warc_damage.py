"""Damage in archives that are compressed otherwise than by a gzip member per record: it costs what it touches, is one
row, and neither makes records up nor gives one twice."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import re
import sys
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from firn.data.warc import Record, records
from firn.data.wikitext.packed import MAX_DAMAGED, Cut, Piece, unpack

sys.path.insert(0, str(Path(__file__).parent))
from warcs import http, lz4, record

WANTED = {"response", "resource", "conversion"}
Pack = Callable[[bytes], bytes]


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


PACKS: dict[str, Pack] = {"bz2": bz2.compress, "gzip": gzip.compress, "xz": lzma.compress, "zstd": zstd, "lz4": lz4}


def read(data: bytes, limit: int = 1 << 20) -> list[Record]:
    return list(records(io.BytesIO(data), limit, WANTED))


def names(found: list[Record]) -> list[str]:
    return [r.headers["warc-record-id"].split(":")[-1].rstrip(">") for r in found if r.error is None]


def made(chance: random.Random, count: int) -> list[bytes]:
    """Records of which one in four is of a type that is not read."""
    kinds = [("response", "application/http; msgtype=response"), ("request", "application/http; msgtype=request")]
    return [
        record(str(i), http(chance.randbytes(chance.randint(0, 3000))), *kinds[not chance.randrange(4)])
        for i in range(count)
    ]


def hurt(frame: bytes, chance: random.Random, how: str, after: int = 0) -> bytes:
    damaged = bytearray(frame)
    at = chance.randrange(after, len(frame))
    if how == "flip":
        damaged[at] ^= 1 << chance.randrange(8)
    elif how == "cut":
        del damaged[max(at, 1) :]  # of a frame that is gone nothing tells
    elif how == "zeros":
        damaged[at : at + 100] = bytes(len(damaged[at : at + 100]))
    elif how == "noise":
        damaged[after:] = chance.randbytes(len(frame) - after)
    else:
        damaged[at:at] = chance.randbytes(10)
    return bytes(damaged)


CHANCE = st.integers(0, 1 << 32).map(random.Random)
HOW = st.sampled_from(["flip", "cut", "zeros", "noise", "insert"])


@given(CHANCE, st.sampled_from([*set(PACKS) - {"gzip"}]), st.integers(0, 5), HOW)
def test_a_damaged_frame_costs_its_own_record(chance: random.Random, kind: str, where: int, how: str) -> None:
    parts = made(chance, 6)
    frames = [PACKS[kind](part) for part in parts]
    expected = {r.number: r.block for r in read(b"".join(parts))}
    begin = sum(map(len, frames[:where]))
    frames[where] = hurt(frames[where], chance, how)
    data = b"".join(frames)
    found = read(data)
    assert [n for n in names(found) if n != str(where)] == [str(i) for i in range(6) if i != where]
    assert sum(r.error is not None for r in found) <= 1
    for r in found:
        if r.error is None:
            assert r.block == expected[int(names([r])[0])]
        elif kind == "bz2":  # its block may be whole
            assert r.offset is None or begin <= r.offset < (r.end or 0) <= begin + len(frames[where])
            assert "is damaged" in r.error
        else:
            # Bytes before a frame that is whole are all that is lost; a zero there is padding in xz.
            end = begin + len(frames[where])
            assert r.offset is None or begin <= r.offset < (r.end or 0) <= end
            assert re.search(r"at bytes (\d+)-", r.error)[1] in (str(begin), str(begin + 1), str(r.offset))
    # What is lost is told, but for a frame whose content is whole all the same, and a last one that is gone.
    if str(where) not in names(found) and data[begin:].strip(b"\0"):
        assert sum(r.error is not None for r in found) == 1


@given(CHANCE, st.sampled_from([*PACKS]), st.integers(0, 7), HOW)
def test_frames_that_begin_in_the_midst_of_records(chance: random.Random, kind: str, where: int, how: str) -> None:
    """As parallel compressors write them: all records stay that lie in whole frames, whichever they begin in."""
    parts = made(chance, 12)
    plain = b"".join(parts)
    cuts = [0, *sorted(chance.sample(range(len(parts[0]) + 200, len(plain)), 7)), len(plain)]
    frames = [PACKS[kind](plain[a:b]) for a, b in pairwise(cuts)]
    first, last = cuts[where], cuts[where + 1]
    frames[where] = hurt(frames[where], chance, how)
    found = read(b"".join(frames))
    at, whole = 0, []
    for i, part in enumerate(parts):
        if at + len(part) <= first or at >= last:
            whole.append(str(i))
        at += len(part)
    assert [n for n in names(found) if n in whole] == whole
    assert names(found) == sorted(set(names(found)), key=int)
    assert sum(r.error is not None for r in found) <= 1


@given(CHANCE, st.integers(0, 19), HOW)
def test_with_a_dictionary(chance: random.Random, where: int, how: str) -> None:
    parts = [record(str(i), http(f"Snow of winter {i}. ".encode() * 20)) for i in range(20)]
    dictionary = zstandard.train_dictionary(2048, parts * 8)
    body = dictionary.as_bytes()
    head = (0x184D2A5D).to_bytes(4, "little") + len(body).to_bytes(4, "little") + body
    compressor = zstandard.ZstdCompressor(dict_data=dictionary, write_checksum=True)
    frames = [compressor.compress(part) for part in parts]
    frames[where] = hurt(frames[where], chance, how)
    found = read(head + b"".join(frames))
    assert [n for n in names(found) if n != str(where)] == [str(i) for i in range(20) if i != where]
    assert sum(r.error is not None for r in found) <= 1


@given(CHANCE, st.sampled_from([*PACKS]), HOW)
def test_a_single_frame_gives_what_lies_before_the_damage_and_says_how_to_mend_it(
    chance: random.Random, kind: str, how: str
) -> None:
    parts = made(chance, 6)
    whole = PACKS[kind](b"".join(parts))
    found = read(hurt(whole, chance, how, after=16))
    errors = [r.error for r in found if r.error is not None]
    if kind == "gzip" and how != "cut":
        # Its check sum stands at the end: what is wrong before, in a record's header too, is known for it only then.
        assert errors or [r.block for r in found] == [r.block for r in read(b"".join(parts))]
        return
    assert names(found) == [str(i) for i in range(len(names(found)))]
    assert len(errors) == 1 or names(found) == [str(i) for i in range(6)]
    if errors and "is damaged" in errors[-1]:
        assert "nothing can be read behind it: fetch the file anew" in errors[-1]


@given(CHANCE, st.sampled_from(["flip", "zeros", "insert"]))
def test_of_a_single_bz2_stream_of_many_blocks_those_are_lost_that_are_damaged(chance: random.Random, how: str) -> None:
    """Blocks of 100 kB, and records of some 15 kB."""
    parts = [record(str(i), http(chance.randbytes(chance.randint(5000, 10_000)).hex().encode())) for i in range(60)]
    expected = {r.number: r.block for r in read(b"".join(parts))}
    found = read(hurt(bz2.compress(b"".join(parts), 1), chance, how))
    kept = [int(name) for name in names(found)]
    assert kept == sorted(set(kept))
    assert len(kept) >= 60 - 2 * (100_000 // 10_000 + 2)  # damage touches two blocks at most
    assert all(r.block == expected[int(names([r])[0])] for r in found if r.error is None)
    errors = [r.error for r in found if r.error is not None]
    assert len(errors) == 1 or len(kept) == 60
    assert all("bz2 stream at bytes" in error for error in errors)


def test_what_looks_like_a_frame_in_a_damaged_one_makes_no_record_up() -> None:
    """A page that holds an archive: its records are found in no frame, and a magic alone is none."""
    inner = record("false", http(b"x" * 100))
    for pack in (zstd, lz4, bz2.compress):
        for bait in (b"\x28\xb5\x2f\xfd" * 300, b"\x04\x22\x4d\x18" * 300, b"BZh91AY&SY" * 300, b"\r\nWARC/1.0\r\nx"):
            parts = [record("0", http(b"a")), record("1", http(bait + random.Random(1).randbytes(500))), inner]
            frames = [pack(part) for part in parts]
            frames[1] = frames[1][:-9] + b"damage!"
            found = read(b"".join(frames))
            assert [n for n in names(found) if n != "1"] == ["0", "false"]
            assert sum(r.error is not None for r in found) <= 1


def test_tries_are_bounded() -> None:
    for magic in (b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18\x64\x40\x00", b"BZh91AY&SY", b"\x1f\x8b\x08\x00"):
        found = read(zstd(record("0", http(b"a"))) + magic * 50_000)
        assert names(found) in (["0"], [])
        assert sum(r.error is not None for r in found) == 1
    (broken,) = read(b"BZh91AY&SY" * 50_000)
    assert f"{MAX_DAMAGED} places" in (broken.error or "")


def test_frames_within_frames_are_neither_given_twice_nor_unpacked_without_end() -> None:
    """Each block ends with the header of a frame that goes on with the blocks that follow, and all end in a wrong check
    sum: whoever tries each of them to its end reads 16 MB two thousand times."""
    header = b"\x28\xb5\x2f\xfd\x04\x70"  # with a check sum, and a window of 16 MiB
    blocks, numbers = b"", [number.to_bytes(4, "big") for number in range(2000)]
    for number in numbers:
        part = number * 2000 + header
        blocks += (len(part) << 3 | (number == numbers[-1])).to_bytes(3, "little") + part
    data = header + blocks + b"none"
    found = list(unpack(io.BytesIO(data)))
    given_ = b"".join(piece.data for piece in found if isinstance(piece, Piece))
    assert len(data) // 2 < len(given_) < len(data)
    assert all(given_.count(number * 2000) <= 1 for number in numbers[::100])
    assert sum(isinstance(piece, Cut) for piece in found) <= MAX_DAMAGED


@pytest.mark.parametrize("kind", ["bz2", "zstd", "lz4", "xz"])
def test_memory_is_bounded_by_no_frame(kind: str) -> None:
    """A frame of 64 MiB, damaged near its end, whose last record is not wanted."""
    last = record("1", bytes(60 << 20), "request")
    packed = bytearray(PACKS[kind](record("0", http(b"a" * 50)) + last + record("2", http(b"a"))))
    packed[-9 if kind != "bz2" else -20] ^= 1  # what ends a bz2 stream has no content
    data = bytes(packed) + PACKS[kind](record("3", http(b"b")))
    tracemalloc.start()
    found = read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert {"0", "3"} <= set(names(found))
    assert sum(r.error is not None for r in found) == 1
    assert peak < 32 << 20


def test_a_frame_that_unpacks_to_far_more_than_there_is_of_it_is_given_up() -> None:
    compressor = zstandard.ZstdCompressor().compressobj()
    bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(300)) + compressor.flush()
    found = read(zstd(record("0", http(b"a"))) + bomb)
    assert names(found) == ["0"]
    assert "times its size" in (found[-1].error or "")


def test_a_dictionary_that_is_a_bomb_is_not_unpacked() -> None:
    body = zstandard.ZstdCompressor().compress(bytes(100 << 20))
    head = (0x184D2A5D).to_bytes(4, "little") + len(body).to_bytes(4, "little") + body
    tracemalloc.start()
    found = read(head + zstd(record("0", http(b"a"))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert names(found) == ["0"]  # it was made without the dictionary
    assert "a dictionary of more than" in (found[0].error or "")
    assert peak < 64 << 20


def test_every_compression_gives_the_same_headers_as_fastwarc(shared_data: Callable[[str], Path]) -> None:
    compared = 0
    for path in sorted(shared_data("warc").glob("*/*.warc*")):
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b" and path.stat().st_size < 1 << 20:
            try:
                data = gzip.decompress(data)
            except (OSError, EOFError):
                continue
        plain = read(data)
        if not data.startswith(b"WARC/") or len(data) > 4 << 20 or any(r.error for r in plain):
            continue
        found = read(zstd(data))
        assert [(r.headers, r.block, r.error) for r in found] == [(r.headers, r.block, r.error) for r in plain], path
        compared += 1
    assert compared > 10
