"""Records that lie in their file as they should: what is found at once is what is read one by one."""

from __future__ import annotations

import bz2
import gzip
import io
import random
import sys
import tracemalloc
from collections.abc import Callable, Generator
from itertools import pairwise
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
import zstandard
from hypothesis import assume, given
from hypothesis import strategies as st

from firn.data.frame_kernels import BAD, MORE, lz4_frames, zstd_frames
from firn.data.gzip_kernels import gzip_begins
from firn.data.warc import Record, _Archive, records
from firn.data.warc_packed import Stretches, packed_records

sys.path.insert(0, str(Path(__file__).parent))
from warcs import damage, http, record

WANTED = {"response", "resource", "conversion"}
LIMIT = 100_000
Pack = Callable[[bytes], bytes]


def streamed(data: bytes) -> bytes:
    """A frame whose header does not say how much it holds."""
    packer = zstandard.ZstdCompressor().compressobj()
    return (
        packer.compress(data[:100])
        + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        + packer.compress(data[100:])
        + packer.flush()
    )


PACKS: dict[str, Pack] = {
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "zstd, streamed": streamed,
    "lz4": lambda data: lz4.frame.compress(data, content_checksum=True),
    "lz4, large blocks": lambda data: lz4.frame.compress(data, block_size=7, block_checksum=True, store_size=False),
    "lz4, each block alone": lambda data: lz4.frame.compress(data, block_size=4, block_linked=False),
}
FRAMES = {name: zstd_frames if name.startswith("zstd") else lz4_frames for name in PACKS}
CHANCE = st.integers(0, 1 << 32).map(random.Random)
PACK = st.sampled_from([*PACKS])


def seen(found: list[Record]) -> list[tuple[object, ...]]:
    """What is told of records, but for their ends: frames that are skipped belong to the record before or to none."""
    return [(r.place.split("-")[0], r.type, r.headers, r.block, r.size, r.error is None) for r in found]


def both(data: bytes) -> tuple[list[Record], list[Record]]:
    one_by_one = list(packed_records(io.BytesIO(data), LIMIT, WANTED))
    for number, each in enumerate(one_by_one):
        each.number = number
    return list(records(io.BytesIO(data), LIMIT, WANTED)), one_by_one


def odd(chance: random.Random, pack: Pack) -> bytes:
    """A record as few writers leave it, or several."""
    part = record("odd", http(chance.randbytes(chance.randint(0, 3000))))
    cut = chance.randrange(len(part))
    return chance.choice(
        [
            pack(part[:cut]) + pack(part[cut:]),
            pack(part + record("second", http(b"a"), "resource")),
            pack(part + b"\r\n\0\0\n"),
            pack(part[:-4]),
            pack(part + b"what is no record"),
            pack(record("large", chance.randbytes(LIMIT + 1))),
            pack(record("huge", bytes(LIMIT + (3 << 20)))),
            pack(record("other", bytes(LIMIT + 1), "metadata")),
            pack(part.replace(b"\r\nWARC-Type", b"\r\nwarc-type").replace(b"Content-Length: ", b"CONTENT-LENGTH:")),
            pack(part.replace(b"\r\n", b"\n", 7)),
            pack(part.replace(b"WARC-Date", b"Content-Length: 7\r\nWARC-Date")),
            pack(part.replace(b"WARC-Type: response", b"WARC-Type: Response")),
            pack(b""),
            (0x184D2A53).to_bytes(4, "little") + (9).to_bytes(4, "little") + b"skip this"
            if pack in list(PACKS.values())[:2]
            else b"",
            bytes(20),
        ]
    )


@given(CHANCE, PACK)
def test_the_same_records_as_frame_by_frame(chance: random.Random, kind: str) -> None:
    pack, parts = PACKS[kind], []
    for i in range(chance.randint(1, 12)):
        body = http(chance.randbytes(chance.choice([0, 10, 5000, 90_000])))
        parts.append(pack(record(str(i), body, chance.choice(["response", "request", "resource"]))))
    for _ in range(chance.choice([0, 0, 1, 3])):
        parts.insert(chance.randint(0, len(parts)), odd(chance, pack))
    data = b"".join(parts)
    found, expected = both(data)
    assert seen(found) == seen(expected)
    assert [r.number for r in found] == list(range(len(found)))
    for each in found:
        if each.error is None and each.offset is not None:
            (again,) = packed_records(io.BytesIO(data[each.offset : each.end]), LIMIT, WANTED)
            assert (again.headers, again.block) == (each.headers, each.block)


@given(CHANCE, PACK, st.sampled_from(["flip", "cut", "zeros", "insert"]))
def test_the_same_records_of_a_damaged_file(chance: random.Random, kind: str, how: str) -> None:
    parts = [record(str(i), http(chance.randbytes(chance.randint(0, 5000)))) for i in range(8)]
    found, expected = both(damage(b"".join(map(PACKS[kind], parts)), chance, how))
    assert seen(found) == seen(expected)


@given(CHANCE, PACK, st.integers(0, 1 << 20))
def test_where_a_frame_ends(chance: random.Random, kind: str, size: int) -> None:
    data = chance.choice([bytes(size), chance.randbytes(size), b"snow and ice " * (size // 13)])
    before, frame, behind = chance.randbytes(7), PACKS[kind](data), chance.randbytes(3)

    def found(data: bytes, at: int, limit: int, rows: int = 3) -> list[list[int]]:
        table = np.zeros((rows, 2), np.int64)
        count = FRAMES[kind](np.frombuffer(data, np.uint8), at, limit, table)
        return table[:count].tolist()

    (first, most), (second, again), last = found(before + frame * 2 + behind, 7, 8 << 20)
    assert (first, second) == (7 + len(frame), 7 + 2 * len(frame))
    assert most == again >= len(data)
    assert last == [BAD, 0]
    assert found(frame * 3, 0, 8 << 20, 2) == [[len(frame), most], [2 * len(frame), most]]
    for length in (0, 3, 5, len(frame) // 2, len(frame) - 1):
        assert found(before + frame[:length], 7, 8 << 20)[0] == [MORE, 0]
    if most:
        assert found(frame, 0, most - 1)[0] == [BAD, 0]
    assert found(b"\0" + frame, 0, 8 << 20)[0] == [BAD, 0]


@given(
    st.lists(st.sampled_from([b"\x1f", b"\x8b", b"\x08", b"\x1f\x8b\x08", b"\0" * 7])),
    st.integers(0, 99),
    st.integers(1, 9),
)
def test_where_a_member_may_begin(parts: list[bytes], at: int, rows: int) -> None:
    data, found = b"".join(parts), np.empty(rows, np.int64)
    count = gzip_begins(np.frombuffer(data, np.uint8), at, found)
    places = [place for place in range(at, len(data)) if data.startswith(b"\x1f\x8b\x08", place)]
    assert found[:count].tolist() == places[:rows]


def told(found: list[Record]) -> list[tuple[object, ...]]:
    return [(r.number, r.place, r.type, r.headers, r.block, r.size, r.error) for r in found]


def as_before(data: bytes, wanted: set[str] = WANTED) -> tuple[list[Record], list[Record]]:
    """Records of a plain file, or of gzip, and as fastwarc alone finds them."""

    def none(self: _Archive, start: int) -> Generator[Record, None, int]:
        yield from ()
        return start

    found = list(records(io.BytesIO(data), LIMIT, wanted))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Archive, "_quick", none)
        return found, list(records(io.BytesIO(data), LIMIT, wanted))


PLAIN: dict[str, Pack] = {"plain": bytes, "gzip": lambda data: gzip.compress(data, 1)}


@given(CHANCE, st.sampled_from([*PLAIN]))
def test_the_same_records_as_fastwarc(chance: random.Random, kind: str) -> None:
    pack, parts = PLAIN[kind], []
    for i in range(chance.randint(1, 12)):
        body = http(chance.randbytes(chance.choice([0, 10, 5000, 90_000, 400_000])))
        parts.append(pack(record(str(i), body, chance.choice(["response", "request", "resource"]))))
    for _ in range(chance.choice([0, 0, 1, 3])):
        parts.insert(chance.randint(0, len(parts)), odd(chance, pack))
    found, expected = as_before(b"".join(parts))
    assert told(found) == told(expected)


@given(CHANCE, st.sampled_from([*PLAIN]), st.sampled_from(["flip", "cut", "zeros", "insert"]))
def test_the_same_records_of_a_damaged_file_as_fastwarc(chance: random.Random, kind: str, how: str) -> None:
    parts = [record(str(i), http(chance.randbytes(chance.randint(0, 5000)))) for i in range(8)]
    found, expected = as_before(damage(b"".join(map(PLAIN[kind], parts)), chance, how))
    assume(all(r.error or r.head.startswith(b"WARC/1.0") for r in found))  # fastwarc knows no WARC/1.4
    assert told(found) == told(expected)


WHOLE: dict[str, Pack] = {**PACKS, "gzip": lambda data: gzip.compress(data, 1), "bz2": bz2.compress, "plain": bytes}


@given(CHANCE, st.sampled_from([*WHOLE]), st.sampled_from(["flip", "cut", "zeros", "insert", None, None]))
def test_the_same_records_of_files_packed_as_a_whole_as_one_by_one(
    chance: random.Random, kind: str, how: str | None
) -> None:
    """Or in several frames, which begin anywhere."""
    parts = []
    for i in range(chance.randint(1, 30)):
        body = http(chance.randbytes(chance.choice([0, 10, 5000, 50_000])))
        parts.append(record(str(i), body, chance.choice(["response", "request", "resource"])))
    for _ in range(chance.choice([0, 0, 3])):
        parts.insert(chance.randint(0, len(parts)), odd(chance, bytes))
    whole = b"".join(parts)
    cuts = sorted(chance.randint(0, len(whole)) for _ in range(chance.choice([0, 0, 1, 4])))
    data = b"".join(WHOLE[kind](whole[a:b]) for a, b in pairwise([0, *cuts, len(whole)]))
    data = damage(data, chance, how) if how else data
    found = list(packed_records(io.BytesIO(data), LIMIT, WANTED))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stretches, "records", lambda *_: [])
        assert told(found) == told(list(packed_records(io.BytesIO(data), LIMIT, WANTED)))


@pytest.mark.parametrize("kind", ["zstd", "lz4"])
def test_a_frame_that_holds_nothing_is_of_no_record_behind_it(kind: str) -> None:
    pack = WHOLE[kind]
    parts = [pack(record(str(i), http(bytes(40_000)))) for i in range(6)]
    data = b"".join(part + pack(b"") for part in parts)
    found = list(records(io.BytesIO(data), LIMIT, WANTED))
    assert [r.error for r in found] == [None] * 6
    for each in found:
        assert each.offset is not None
        assert any(data.startswith(part, each.offset) for part in parts)


def test_a_file_that_changes_its_ways_all_the_time_is_read_whole() -> None:
    pack = PACKS["zstd"]
    parts = [record(str(i), http(b"a")) for i in range(3000)]
    data = b"".join(pack(part) if i % 2 else pack(part[:50]) + pack(part[50:]) for i, part in enumerate(parts))
    found = list(records(io.BytesIO(data), LIMIT, WANTED))
    assert [r.headers["warc-record-id"] for r in found] == [f"<urn:test:{i}>" for i in range(3000)]
    assert all(r.error is None and r.offset is not None for r in found)


@pytest.mark.parametrize("kind", [*PACKS])
def test_memory_is_bounded_by_the_limit_and_not_by_a_frame(kind: str) -> None:
    pack = PACKS[kind]
    bombs = [pack(record("1", bytes(200 << 20), "request")), pack(record("0", http(b"a")) + b"\r\n" * (50 << 20))]
    for bomb in bombs:
        data = pack(record("0", http(b"a"))) + bomb + pack(record("2", http(b"b")))
        tracemalloc.start()
        found = list(records(io.BytesIO(data), LIMIT, WANTED))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found[0].block == http(b"a")
        assert peak < 64 << 20


def test_a_frame_of_nothing_but_empty_blocks() -> None:
    data = b"\x28\xb5\x2f\xfd\x00\x58" + bytes(12 << 20)
    tracemalloc.start()
    (found,) = records(io.BytesIO(data), LIMIT, WANTED)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.error is not None
    assert peak < 16 << 20


def test_a_frame_that_says_it_holds_a_terabyte() -> None:
    frame = bytearray(zstandard.ZstdCompressor().compress(record("0", http(b"a" * 70_000))))
    about = frame[4]
    assert about >> 6 == 2  # four bytes of length
    at = 5 + (not about >> 5 & 1)
    frame[4], frame[at : at + 4] = about | 0xC0, (1 << 40).to_bytes(8, "little")
    (found,) = records(io.BytesIO(bytes(frame)), LIMIT, WANTED)
    assert found.error is not None
    packed = bytearray(lz4.frame.compress(record("0", http(b"a" * 70_000)), store_size=True))
    packed[6:14] = (1 << 40).to_bytes(8, "little")
    (found,) = records(io.BytesIO(bytes(packed)), LIMIT, WANTED)
    assert found.error is not None
