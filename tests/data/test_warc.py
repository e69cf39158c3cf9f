"""WARC records: what other readers find in real files, and damage of every kind."""

from __future__ import annotations

import bz2
import gzip
import io
import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from fastwarc.stream_io import Lz4Writer, ZstdWriter
from fastwarc.warc import ArchiveIterator
from hypothesis import given
from hypothesis import strategies as st

from firn.data.warc import MAX_BROKEN, Record, records

sys.path.insert(0, str(Path(__file__).parent))
from warcs import damage, http, members, record

WANTED = {"response", "resource", "conversion"}


def read(data: bytes, limit: int = 1 << 20) -> list[Record]:
    return list(records(io.BytesIO(data), limit, WANTED))


def names(found: list[Record]) -> list[str]:
    return [r.headers.get("warc-record-id", "").split(":")[-1].rstrip(">") for r in found if r.error is None]


def sample(count: int = 4, size: int = 3000, seed: int = 0) -> list[bytes]:
    chance = random.Random(seed)
    return [record(str(i), http(chance.randbytes(size))) for i in range(count)]


@pytest.mark.parametrize("pack", [lambda *r: b"".join(r), members], ids=["plain", "gzip"])
def test_a_record_can_be_fetched_again_from_its_place(pack: Callable[..., bytes]) -> None:
    parts = sample()
    data = pack(*parts)
    for number, (found, part) in enumerate(zip(read(data), parts, strict=True)):
        assert found.number == number
        assert found.error is None
        first, last = found.place.removeprefix("bytes=").split("-")
        piece = data[int(first) : int(last) + 1]
        assert (gzip.decompress(piece) if pack is members else piece) == part
        assert found.block == part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n\r\n")


def test_every_compression_gives_the_same_records() -> None:
    parts = sample()
    plain = b"".join(parts)
    packed = io.BytesIO()
    with ZstdWriter(packed) as out:
        out.write(plain)
    lz4 = io.BytesIO()
    with Lz4Writer(lz4) as out:
        out.write(plain)
    expected = [(r.headers, r.block, r.error) for r in read(plain)]
    for data in (members(*parts), gzip.compress(plain), bz2.compress(plain), packed.getvalue(), lz4.getvalue()):
        assert [(r.headers, r.block, r.error) for r in read(data)] == expected
    assert [r.place for r in read(gzip.compress(plain))] == [f"record={i}" for i in range(4)]


@pytest.mark.parametrize("packed", [False, True], ids=["plain dictionary", "packed dictionary"])
def test_zstd_with_a_dictionary(packed: bool) -> None:
    """A skippable frame with the dictionary, then a frame per record (IIPC, WARC Zstandard 1.0)."""
    parts = [record(str(i), http(f"Snow of winter {i}. ".encode() * 20)) for i in range(50)]
    dictionary = zstandard.train_dictionary(4096, parts * 4)
    body = dictionary.as_bytes()
    body = zstandard.ZstdCompressor().compress(body) if packed else body
    data = (0x184D2A5D).to_bytes(4, "little") + len(body).to_bytes(4, "little") + body
    compressor = zstandard.ZstdCompressor(dict_data=dictionary)
    frames = b"".join(compressor.compress(part) for part in parts)
    found = read(data + frames)
    assert [(r.block, r.error) for r in found] == [(r.block, None) for r in read(b"".join(parts))]
    offset, end = found[7].offset, found[7].end
    assert offset is not None
    assert end is not None
    unpacked = zstandard.ZstdDecompressor(dict_data=dictionary).decompress((data + frames)[offset:end])
    assert unpacked == parts[7]


def test_headers_whose_lines_end_in_lf_alone() -> None:
    parts = [record(str(i), b"hello", "resource", "text/plain").replace(b"\r\n", b"\n") for i in range(3)]
    for data in (b"".join(parts), members(*parts)):
        found = read(data)
        assert [(r.block, r.error) for r in found] == [(b"hello", None)] * 3
        assert names(found) == ["0", "1", "2"]


@pytest.mark.parametrize("pack", [lambda *r: b"".join(r), members], ids=["plain", "gzip"])
def test_a_file_cut_off_anywhere_says_where(pack: Callable[..., bytes]) -> None:
    parts = sample(3, 400)
    whole = pack(*parts)
    start = len(pack(*parts[:2]))
    for cut in range(start + 1, len(whole) - 4):
        found = read(whole[:cut])
        assert names(found)[:2] == ["0", "1"], cut
        assert found[-1].error is not None, cut
        # In a gzip file the content may be whole where its check sum is not.
        assert "at byte" in found[-1].error
        assert found[-1].offset in (start, cut)


def test_damage_costs_the_record_it_is_in_and_no_other() -> None:
    parts = sample()
    packed = [members(part) for part in parts]
    flipped = bytearray(packed[1])
    flipped[1500] ^= 1
    for damaged in (bytes(flipped), b"\0" * len(packed[1]), packed[1][:1000], b"noise" + packed[1][2:]):
        found = read(packed[0] + damaged + packed[2] + packed[3])
        assert names(found)[-2:] == ["2", "3"]
        assert names(found)[0] == "0"
        (broken,) = [r for r in found if r.error]
        assert broken.offset == len(packed[0])
    assert names(read(b"noise" + packed[0][2:] + packed[1]))[-1] == "1"
    # Plain: noise between records, and lengths that lie.
    noise = parts[0] + b"noise\r\n" * 3 + parts[1]
    assert names(read(noise)) == ["0", "1"]
    for lie in (b"Content-Length: 300\r\n", b"Content-Length: 300000\r\n", b"X: y\r\n"):
        at = parts[1].index(b"Content-Length")
        liar = parts[1][:at] + lie + parts[1][parts[1].index(b"\r\n", at) + 2 :]
        for pack in (lambda *r: b"".join(r), members):
            assert {"0", "2"} <= set(names(read(pack(parts[0], liar, parts[2]))))


@given(st.randoms(use_true_random=False), st.booleans(), st.integers(0, 4), st.sampled_from(["flip", "cut", "insert"]))
def test_any_damage_is_survived(chance: random.Random, is_gzip: bool, where: int, kind: str) -> None:
    pack = members if is_gzip else (lambda *r: b"".join(r))
    packed = [pack(record(str(i), http(chance.randbytes(chance.randint(0, 300))))) for i in range(5)]
    damaged = damage(packed[where], chance, kind)
    data = b"".join([*packed[:where], damaged, *packed[where + 1 :]])
    found = read(data)
    assert all(0 <= r.offset <= r.end <= len(data) for r in found if r.offset is not None and r.end is not None)
    lost = {str(i) for i in range(5) if i != where} - set(names(found))
    # In a plain file a record that lost bytes takes those that are missing from the ones after it.
    assert not lost or not is_gzip
    assert all(int(name) > where for name in lost)


def test_damage_within_a_large_block_gives_nothing_twice() -> None:
    packed = [members(part) for part in sample(5, 400_000)]
    for where in range(5):
        damaged = bytearray(packed[where])
        damaged[300_000:300_050] = bytes(50)
        found = read(b"".join([*packed[:where], damaged, *packed[where + 1 :]]))
        assert names(found) == [str(i) for i in range(5) if i != where]
        (broken,) = [r for r in found if r.error]
        assert broken.offset == sum(map(len, packed[:where]))


def test_what_is_no_archive_ends_with_a_reason() -> None:
    assert [(r.error, r.place) for r in read(b"")] == [("the file is empty, at byte 0", "bytes=0-")]
    noise = random.Random(0).randbytes(1 << 20)
    for data in (noise, b"\0" * 100_000, b"\x1f\x8b\x08" + noise, b"BZh9" + noise, b"\x28\xb5\x2f\xfd" + noise):
        found = read(data)
        assert found
        assert all(r.error for r in found)


def test_a_file_of_nothing_but_broken_places_is_given_up() -> None:
    found = read(b"WARC/1.0\nno header\n" * 100_000)
    assert len(found) == MAX_BROKEN
    assert "given up" in (found[-1].error or "")


@pytest.mark.parametrize("pack", [lambda *r: b"".join(r), members, lambda *r: b"".join(map(zstandard.compress, r))])
def test_names_of_fields_in_any_case(pack: Callable[..., bytes]) -> None:
    """ISO 28500 leaves it open, and some libraries write small letters."""
    parts = sample(6)
    parts[2] = parts[2].replace(b"Content-Length", b"content-length").replace(b"WARC-Type", b"warc-type")
    parts[3] = parts[3].replace(b"Content-Length", b"CONTENT-LENGTH")
    parts[4] = parts[4].replace(b"Content-Length:", b"Content-length :")
    data = pack(*parts)
    found, usual = read(data), read(pack(*sample(6)))
    assert [(r.error, r.block, r.type) for r in found] == [(None, r.block, "response") for r in usual]
    for number, each in enumerate(found):
        assert each.number == number
        (again,) = read(data[each.offset : each.end])
        assert again.block == each.block


@pytest.mark.parametrize("pack", [lambda *r: b"".join(r), members, lambda *r: b"".join(map(zstandard.compress, r))])
@pytest.mark.parametrize("length", [b"-60", b"abc", b"", b"1e3", b"0x10"])
def test_a_length_that_is_no_number(pack: Callable[..., bytes], length: bytes) -> None:
    parts = sample(3, size=60)
    parts[1] = parts[1][: parts[1].index(b"Content-Length: ") + 16] + length + b"\r\n\r\n" + b"\r\n\r\n"
    found = read(pack(*parts))
    assert names(found) == ["0", "2"]
    assert sum(r.error is not None for r in found) == 1


def test_a_damaged_record_among_unusual_ones() -> None:
    parts = [part.replace(b"Content-Length", b"content-length") for part in sample(5)]
    parts[2] = parts[2].replace(b"WARC/1.0\r\n", b"WARX")
    data = b"".join(parts)
    found = read(data)
    assert names(found) == ["0", "1", "3", "4"]
    (lost,) = (r for r in found if r.error is not None)
    assert data[lost.offset : lost.end] == parts[2]
    assert lost.error == f"no WARC header, or not all of it, at byte {lost.offset}"


def test_zeros_before_a_record() -> None:
    parts = sample(3)
    assert names(read(parts[0] + bytes(100) + parts[1] + parts[2])) == ["0", "1", "2"]


def test_a_record_over_the_limit_is_passed_over_unread() -> None:
    found = read(members(record("0", b"x" * 2000), record("1", b"y" * 200)), limit=1000)
    assert [(r.size, r.block and len(r.block), r.error) for r in found] == [(2000, None, None), (200, 200, None)]


def test_errors_of_the_stream_are_no_damage() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 1 << 16:
                raise ConnectionResetError("the other side hung up")
            return super().read(size)

    with pytest.raises(ConnectionResetError):
        list(records(Broken(members(*sample(100))), 1 << 20, WANTED))


def test_real_files_hold_what_fastwarc_finds(shared_data: Callable[[str], Path]) -> None:
    compared = 0
    for path in sorted(shared_data("warc").glob("*/*.warc*")):
        expected: Counter[str] = Counter()
        try:
            with open(path, "rb") as stream:
                for found in ArchiveIterator(stream, parse_http=False):
                    headers = {key.lower(): value for key, value in found.headers.items()}
                    whole = len(found.reader.read()) == found.content_length
                    expected[headers["warc-type"] if whole else "cut"] += 1
        except OSError:
            expected["stopped"] += 1
        with open(path, "rb") as stream:
            ours = list(records(stream, 1 << 26, WANTED))
        errors = sum(r.error is not None for r in ours)
        types = Counter(r.type for r in ours if r.error is None)
        stopped = expected.pop("stopped", 0)
        assert errors == expected.pop("cut", 0) + stopped, path
        if stopped:
            assert all(types[kind] >= count for kind, count in expected.items()), path
        else:
            assert types == expected, path
            compared += 1
    assert compared > 50
