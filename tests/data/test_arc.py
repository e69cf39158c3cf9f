"""ARC records: the same crawl as ARC and as WARC, and damage of every kind."""

from __future__ import annotations

import gzip
import io
import itertools
import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from firn.data.warc import Record, records

sys.path.insert(0, str(Path(__file__).parent))
from warcs import damage, http, members

WANTED = {"response", "resource", "conversion"}
ABOUT = b"1 0 Test\nURL IP-address Archive-date Content-type Archive-length\n"
FIRST = b"filedesc://test.arc 0.0.0.0 20240518015810 text/plain %d\n%s\n" % (len(ABOUT), ABOUT)


def record(name: str, block: bytes, more: bytes = b"") -> bytes:
    url = f"http://example.org/{name}".encode()
    return b"%s 127.0.0.1 20240518015810 text/html %s%d\n%s\n" % (url, more, len(block), block)


def plain(*parts: bytes) -> bytes:
    return b"".join(parts)


def read(data: bytes, limit: int = 1 << 20) -> list[Record]:
    return list(records(io.BytesIO(data), limit, WANTED))


def names(found: list[Record]) -> list[str]:
    return [r.headers["warc-target-uri"].rsplit("/", 1)[1] for r in found if r.error is None and r.type == "response"]


def sample(count: int = 4, size: int = 1000, seed: int = 0) -> list[bytes]:
    chance = random.Random(seed)
    return [record(str(i), http(chance.randbytes(size))) for i in range(count)]


@pytest.mark.parametrize("pack", [plain, members], ids=["plain", "gzip"])
def test_a_record_can_be_fetched_again_from_its_place(pack: Callable[..., bytes]) -> None:
    parts = [FIRST, *sample()]
    data = pack(*parts)
    for number, (found, part) in enumerate(zip(read(data), parts, strict=True)):
        assert (found.number, found.error) == (number, None)
        first, last = map(int, found.place.removeprefix("bytes=").split("-"))
        piece = data[first : last + 1]
        assert (gzip.decompress(piece) if pack is members else piece).rstrip(b"\n") == part.rstrip(b"\n")
        if number:
            assert found.block == part.split(b"\n", 1)[1][:-1]
            assert found.headers["warc-date"] == "2024-05-18T01:58:10Z"
            assert found.headers["warc-target-uri"] == f"http://example.org/{number - 1}"


def test_a_file_compressed_as_a_whole_and_headers_of_the_second_version() -> None:
    parts = [FIRST, *sample()]
    expected = [(r.headers, r.block, r.error) for r in read(plain(*parts))]
    whole = read(gzip.compress(plain(*parts)))
    assert [(r.headers, r.block, r.error) for r in whole] == expected
    assert [r.place for r in whole] == [f"record={i}" for i in range(5)]
    assert read(gzip.compress(plain(*parts))[:-40])[-1].error
    second = record("2", b"HTTP/1.1 200 OK\r\n\r\nx", b"200 ABCDEF - 1234 a.arc ")
    assert names(read(FIRST + second)) == ["2"]


@pytest.mark.parametrize("pack", [plain, members], ids=["plain", "gzip"])
def test_damage_costs_the_record_it_is_in_and_no_other(pack: Callable[..., bytes]) -> None:
    first, *packed = [pack(part) for part in [FIRST, *sample()]]
    flipped = bytearray(packed[1])
    flipped[10 if pack is plain else 600] ^= 0x80
    for damaged in (bytes(flipped), packed[1][:500], b"noise\n" + packed[1][2:], b"\0" * 700 + b"\n"):
        found = read(first + packed[0] + damaged + packed[2] + packed[3])
        assert names(found)[0] == "0"
        # In a plain file what is cut short takes what it lacks from the next.
        assert names(found)[-1] == "3"
        assert any(r.error for r in found) or pack is plain
    cut = read(first + packed[0] + packed[1][:-20])
    assert names(cut) == ["0"]
    assert cut[-1].error is not None


@given(st.randoms(use_true_random=False), st.booleans(), st.integers(0, 4), st.sampled_from(["flip", "cut", "insert"]))
def test_any_damage_is_survived(chance: random.Random, is_gzip: bool, where: int, kind: str) -> None:
    pack = members if is_gzip else plain
    packed = [pack(FIRST), *(pack(record(str(i), http(chance.randbytes(chance.randint(0, 300))))) for i in range(4))]
    damaged = damage(packed[where], chance, kind)
    data = b"".join([*packed[:where], damaged, *packed[where + 1 :]])
    found = read(data)
    assert found
    assert all(0 <= r.offset <= r.end <= len(data) for r in found if r.offset is not None and r.end is not None)
    if where and is_gzip:
        assert {str(i) for i in range(4) if i != where - 1} <= set(names(found))


def test_hostile_files_end_within_bounds() -> None:
    bomb = gzip.compress(b"http://a.org/ 1.1.1.1 20240518015810 text/html 100000000\n" + bytes(100 << 20))
    liar = b"http://a.org/ 1.1.1.1 20240518015810 text/html 999999999999999999\nx"
    line = b"http://a.org/" + b" 1.1.1.1 20240518015810 x" * 100_000
    for data in (members(FIRST) + bomb, FIRST + liar, FIRST + line, FIRST[:-1] + b"\n" * 100_000):
        assert all(r.block is None for r in read(data, 1000)[1:])
    assert [r.error is None for r in read(members(FIRST) + bomb + members(*sample(1)))] == [True, False, True]


def test_the_same_crawl_as_arc_and_as_warc(shared_data: Callable[[str], Path]) -> None:
    def found(name: str) -> Counter[tuple[str, bytes | None]]:
        with open(shared_data("warc/aut") / name, "rb") as stream:
            got = list(records(stream, 32 << 20, WANTED))
        assert not any(r.error for r in got)
        return Counter((r.headers["warc-target-uri"], r.block) for r in got if r.type == "response")

    arc, warc = found("example.arc.gz"), found("example.warc.gz")
    assert arc == warc
    assert arc.total() == 299


def test_real_files(shared_data: Callable[[str], Path]) -> None:
    """Responses and broken places. What has no length has no header; one record is shorter than it says."""
    folder = shared_data("warc")
    for name, good, bad in [
        ("pywb/example.arc", 1, 0),
        ("pywb/example.arc.gz", 1, 0),
        ("pywb/bad.arc", 1, 2),
        ("warcio/example-space-in-url.arc", 0, 1),
        ("webarchive-commons/IAH-20080430204825-00000-blackbook-truncated.arc", 8, 0),
    ]:
        with open(folder / name, "rb") as stream:
            got = list(records(stream, 32 << 20, WANTED))
        assert sum(r.type == "response" and r.error is None for r in got) == good, name
        assert sum(r.error is not None for r in got) == bad, name


@given(st.integers(0, 1 << 32).map(random.Random), st.integers(1, 7), st.sampled_from(["flip", "cut", "zeros"]))
def test_damage_in_a_file_compressed_as_a_whole_costs_what_it_touches(
    chance: random.Random, where: int, kind: str
) -> None:
    parts = [FIRST, *(record(str(i), http(chance.randbytes(chance.randint(0, 900)))) for i in range(10))]
    ends = [0, *itertools.accumulate(map(len, parts))]
    cuts = [0, *sorted(chance.sample(range(ends[1] + 100, ends[-1]), 7)), ends[-1]]
    packed = [gzip.compress(plain(*parts)[a:b]) for a, b in itertools.pairwise(cuts)]
    damaged = damage(packed[where], chance, kind)
    assume(damaged)  # of a frame that is gone nothing tells
    found = read(b"".join([*packed[:where], damaged, *packed[where + 1 :]]))
    whole = [str(i) for i in range(10) if ends[i + 2] <= cuts[where] or ends[i + 1] >= cuts[where + 1]]
    assert [name for name in names(found) if name in whole] == whole
    assert names(found) == sorted(set(names(found)), key=int)
    assert sum(r.error is not None for r in found) <= 1
