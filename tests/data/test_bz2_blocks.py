"""Damage in bz2 streams of several blocks: it costs the blocks that it touches, is told once, and makes nothing up."""

from __future__ import annotations

import bz2
import io
import random
import shutil
import subprocess
import tracemalloc
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.data.wikitext.packed import MAX_DAMAGED, Cut, Piece, unpack

BLOCK, END = 0x314159265359, 0x177245385090


def text(chance: random.Random, size: int) -> bytes:
    """Bytes of which blocks are of many sizes once packed; lines of numbers that are none twice, and runs of zeros."""
    parts, length = [], 0
    while length < size:
        kind = chance.random()
        line = b"%d:" % chance.getrandbits(48)
        if kind < 0.3:
            line += bytes(chance.choices(b"etaoin shrdlu", k=chance.randrange(20_000)))
        elif kind < 0.4:
            line += chance.randbytes(chance.randrange(20_000))
        else:
            line += bytes(chance.randrange(60_000))
        parts.append(line)
        length += len(line)
    return b"".join(parts)


def bits_of(data: bytes) -> str:
    return bin(int.from_bytes(b"\1" + data))[3:]


def blocks_of(stream: bytes) -> list[tuple[float, float, bytes]]:
    """Begin and end of each block of a stream, in bytes, and what it unpacks to: in a stream of its own."""
    bits, at, places = bits_of(stream), -1, []
    magics = (f"{BLOCK:048b}", f"{END:048b}")
    while (at := min((found for magic in magics if (found := bits.find(magic, at + 1)) >= 0), default=-1)) >= 0:
        places.append(at)
    found = []
    for begin, end in pairwise(places):
        alone = bits_of(b"BZh9") + bits[begin:end] + magics[1] + bits[begin + 48 : begin + 80]
        packed = int(alone + "0" * (-len(alone) % 8), 2).to_bytes((len(alone) + 7) // 8)
        found.append((begin / 8, end / 8, bz2.decompress(packed)))
    return found


def hurt(data: bytes, chance: random.Random, how: str, at: int) -> bytes:
    damaged, size = bytearray(data), chance.choice([1, 10, 1000, 100_000])
    if how == "flip":
        damaged[at] ^= 1 << chance.randrange(8)
    elif how == "cut":
        del damaged[at:]
    elif how == "remove":
        del damaged[at : at + size]
    elif how == "insert":
        damaged[at:at] = chance.randbytes(size)
    else:
        size = len(damaged[at : at + size])
        damaged[at : at + size] = bytes(size) if how == "zeros" else chance.randbytes(size)
    return bytes(damaged)


def changed(data: bytes, damaged: bytes) -> tuple[float, float]:
    """From where to where in the sound bytes the damaged ones are not the same."""
    size = min(len(data), len(damaged))
    first = int.from_bytes(data[:size]) ^ int.from_bytes(damaged[:size])
    last = int.from_bytes(data[-size:]) ^ int.from_bytes(damaged[-size:])
    return size - first.bit_length() / 8, len(data) - ((last & -last).bit_length() - 1 if last else 8 * size) / 8


def read(data: bytes) -> list[Piece | Cut]:
    return list(unpack(io.BytesIO(data), search=True))


def given_by(found: list[Piece | Cut]) -> bytes:
    return b"".join(piece.data for piece in found if isinstance(piece, Piece))


def cuts_of(found: list[Piece | Cut]) -> list[Cut]:
    return [each for each in found if isinstance(each, Cut)]


CHANCE = st.integers(0, 1 << 32).map(random.Random)
HOW = st.sampled_from(["flip", "cut", "remove", "zeros", "noise", "insert"])


@given(CHANCE, HOW, st.integers(1, 3), st.sampled_from(["anywhere", "magic", "begin", "end"]))
def test_all_blocks_that_are_whole_are_given_once_and_in_order(
    chance: random.Random, how: str, streams: int, where: str
) -> None:
    parts = [bz2.compress(text(chance, chance.randrange(1, 600_000)), 1) for _ in range(streams)]
    data, blocks, at = b"".join(parts), [], 0
    for part in parts:
        blocks += [(at + begin, at + end, block) for begin, end, block in blocks_of(part)]
        at += len(part)
    assert b"".join(block for _, _, block in blocks) == given_by(read(data)) == bz2.decompress(data)
    place = chance.randrange(len(data))
    if where == "magic":
        place = min(len(data) - 1, int(chance.choice(blocks)[chance.randrange(2)]) + chance.randrange(12))
    elif where != "anywhere":
        place = chance.randrange(14) if where == "begin" else len(data) - 1 - chance.randrange(14)
    damaged = hurt(data, chance, how, place)
    first, last = changed(data, damaged)
    found = read(damaged)
    whole = [block for begin, end, block in blocks if end <= first or begin >= last]
    touched = [(begin, end) for begin, end, block in blocks if not (end <= first or begin >= last)]
    content = given_by(found)
    if not whole and damaged[:3] != b"BZh":
        return  # nothing tells it from a plain file
    # What a block lacks of its last byte may be as it is filled up, and a bit that is another may mean nothing.
    nearly = [block for begin, end, block in blocks if end < first + 1 or begin >= last]
    everything = b"".join(block for _, _, block in blocks)
    assert content in (b"".join(whole), b"".join(nearly), everything)
    cuts = cuts_of(found)
    fewer = [b"".join(parts[:a] + parts[b:]) for a in range(streams + 1) for b in range(a, streams + 1)]
    # Whole streams that are gone leave no trace, nor do zeros in their place at the end.
    if content != everything and damaged not in fewer and (how != "zeros" or damaged[int(first) + 1 :].strip(b"\0")):
        assert len(cuts) == 1
    assert len(cuts) <= 1
    for cut in cuts:
        places = [first, *(begin for begin, _ in touched)]
        assert min(places) - 14 <= cut.block <= max(places[:2]) + 10  # there may be the end or the header of a stream
        assert first <= cut.end <= max(len(damaged), cut.block + 1)
        assert cut.final == (cut.end >= len(damaged))


def lines(count: int, width: int) -> bytes:
    chance = random.Random(7)
    return b"".join(b"%d %s\n" % (number, chance.randbytes(width // 2).hex().encode()) for number in range(count))


def shifted(stream: bytes, by: int) -> bytes:
    """The blocks and the end of a stream, so many bits later."""
    bits = "0" * by + bits_of(stream[4:])
    return int(bits + "0" * (-len(bits) % 8), 2).to_bytes((len(bits) + 7) // 8)


def test_what_bzip2recover_finds(tmp_path: Path) -> None:
    if shutil.which("bzip2recover") is None:
        pytest.skip("bzip2recover is not installed")
    data = bytearray(bz2.compress(lines(20_000, 50), 1))
    for at in (60_000, 200_000):
        data[at : at + 40] = bytes(40)
    (tmp_path / "a.bz2").write_bytes(data)
    subprocess.run(["bzip2recover", "a.bz2"], cwd=tmp_path, check=True, capture_output=True)
    parts = []
    for path in sorted(tmp_path.glob("rec*.bz2")):
        with suppress(OSError):
            parts.append(bz2.decompress(path.read_bytes()))
    found = read(bytes(data))
    assert given_by(found) == b"".join(parts)
    assert [cut.block <= at < cut.end for cut, at in zip(cuts_of(found), (60_000, 200_000), strict=True)] == [
        True,
        True,
    ]
    assert not any(cut.final for cut in cuts_of(found))


def test_blocks_of_gigabytes_are_given_in_bounded_memory_and_never_before_their_check_sum_is_seen() -> None:
    """Runs that a block of a few bytes holds 45 MB of, damaged in the midst."""
    plain = lines(1000, 50) + bytes(100 << 20) + lines(1000, 60)
    data = bz2.compress(plain)
    blocks = blocks_of(data)
    damaged = bytearray(data)
    damaged[int(blocks[1][1]) - 6] ^= 1
    tracemalloc.start()
    size, cuts, tail = 0, 0, b""
    for found in unpack(io.BytesIO(damaged)):
        if isinstance(found, Piece):
            size, tail = size + len(found.data), (tail + found.data)[-50_000:]
        else:
            cuts += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (size, cuts) == (len(plain) - len(blocks[1][2]), 1)
    assert tail.endswith(lines(1000, 60)[-40_000:])
    assert peak < 24 << 20


def test_a_long_gap_is_searched_in_bounded_memory() -> None:
    data = bz2.compress(lines(20_000, 50), 1)
    noise = random.Random(3).randbytes(24 << 20)
    tracemalloc.start()
    found = read(data[:100_000] + noise + data[100_000:])
    peak = tracemalloc.get_traced_memory()[1] - len(noise) * 2
    tracemalloc.stop()
    (cut,) = cuts_of(found)
    assert cut.block <= 100_000
    assert cut.end >= 100_000 + len(noise)
    whole = [block for begin, end, block in blocks_of(data) if not begin < 100_000 < end]
    assert given_by(found) == b"".join(whole)
    assert peak < 32 << 20


@pytest.mark.parametrize("by", range(8))
def test_false_blocks_are_tried_in_bounded_number(by: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """50,000 beginnings of blocks, at any bit, after which a whole block is not looked for."""
    made = 0
    inner = bz2.BZ2Decompressor

    def counted() -> bz2.BZ2Decompressor:
        nonlocal made
        made += 1
        return inner()

    data = bz2.compress(lines(10_000, 50), 1)
    bait = shifted(b"BZh1" + (BLOCK.to_bytes(6) + bytes(5)) * 50_000, by)
    monkeypatch.setattr(bz2, "BZ2Decompressor", counted)
    found = read(data[:100_000] + bait + data[100_000:])
    assert cuts_of(found)[-1].final
    assert f"{MAX_DAMAGED} places" in cuts_of(found)[-1].reason
    assert len(cuts_of(found)) == 1
    assert given_by(found) == b"".join(block for _, end, block in blocks_of(data) if end < 100_000)
    assert made < 6 * MAX_DAMAGED


def test_false_ends_and_headers_cost_little_and_give_nothing_twice() -> None:
    data = bz2.compress(lines(10_000, 50), 1)
    blocks = blocks_of(data)
    for bait in (END.to_bytes(6), b"BZh9", b"BZh9" + END.to_bytes(6), b"BZh91AY&S", bz2.compress(b"")[:-2]):
        found = read(data[:100_000] + bait * 900 + data[100_000:])
        assert given_by(found) == b"".join(block for begin, end, block in blocks if not begin < 100_000 < end), bait
        assert len(cuts_of(found)) == 1, bait


def test_a_stream_within_a_block_is_given_once() -> None:
    """What a block holds may look like the begin of another, and those around it are not given again for that."""
    data = bz2.compress(lines(6000, 50), 1)
    blocks = blocks_of(data)
    for at in range(0, len(data) - 20, len(data) // 40):
        damaged = bytearray(data)
        damaged[at : at + 20] = b"BZh9" + BLOCK.to_bytes(6) + bytes(10)
        found = read(bytes(damaged))
        whole = [block for begin, end, block in blocks if end <= at or begin >= at + 20]
        assert given_by(found) == b"".join(whole)
        assert len(cuts_of(found)) <= 1


def test_pieces_say_from_where_they_can_be_read_again() -> None:
    """The begin of their stream, damaged as it is; of one that has no header the one before."""
    parts = [bz2.compress(lines(count, 50), 1) for count in (5000, 6000, 7000)]
    damaged = bytearray(b"".join(parts))
    damaged[50_000] ^= 1
    second = len(parts[0])
    damaged[second] ^= 1
    found = [piece for piece in read(bytes(damaged)) if isinstance(piece, Piece)]
    assert {piece.block for piece in found} == {0, second + len(parts[1])}
    for piece in found:
        assert piece.block is not None
        assert piece.data in given_by(read(bytes(damaged[piece.block :])))
