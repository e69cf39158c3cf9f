"""How fast sources read, on one core, beside what others use: WARC records, Wikipedia pages, papers.

    python bench/sources.py warc FILE [FILE ...]
    python bench/sources.py packed FILE [FILE ...]
    python bench/sources.py wikipedia DUMP [DUMP ...]
    python bench/sources.py papers ARCHIVE [ARCHIVE ...]

warc: records a second of `firn.data.warc.records`, with every record's place and every broken place found, and of bare
fastwarc, which reads the same blocks from the same file, and holds each until it has the next, as whoever uses it does;
in turn, so that what else the machine does hits both alike. The ratio is the median of those of the rounds; it is to be
at least 0.9. Small files are read as if they were repeated to 64 MiB, since what is done once per file (its format, its
end) counts little in a crawl's files of 1 GB. What limits firn is what unpacks a member or a frame, seven tenths of the
time and more; of plain files, to copy the blocks, or to make the records where they are small.
packed: the same of the records of such files, packed anew in every way: plain, gzip, zstd, zstd with a dictionary, lz4
as fastwarc writes it, and lz4 with check sums.
wikipedia: `bench/wikitext.py`, beside mwparserfromhell's strip_code, which firn is to pass five times over.
papers: articles a minute of the whole stage `read`, from archive to Parquet; to be at least 500.
"""

from __future__ import annotations

import gzip
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import zstandard
from fastwarc.warc import ArchiveIterator

import wikitext
from firn.core.stage import execute
from firn.core.store import Store
from firn.data.sources import PapersSource, papers
from firn.data.sources.warc import DOCUMENTS
from firn.data.warc import records

_ROUNDS = 9
_BYTES = 64 << 20


def by_fastwarc(data: bytes) -> int:
    count, block = 0, b""
    for record in ArchiveIterator(io.BytesIO(data), parse_http=False):
        if record.headers.get("WARC-Type") in DOCUMENTS:
            block = record.reader.read()
        count += 1
    del block
    return count


def by_firn(data: bytes) -> int:
    return sum(1 for _ in records(io.BytesIO(data), 32 << 20, DOCUMENTS))


def timed(way: Callable[[bytes], int], data: bytes) -> tuple[int, float]:
    started = time.process_time()
    count = way(data)
    return count, time.process_time() - started


def warc(name: str, data: bytes, first: bytes = b"") -> None:
    """first: what a file begins with, and is not repeated."""
    data = first + data * max(_BYTES // len(data), 1)
    spent: list[tuple[float, float]] = []
    for turn in range(_ROUNDS):
        ways = (by_fastwarc, by_firn) if turn % 2 else (by_firn, by_fastwarc)
        found = {way: timed(way, data) for way in ways}
        (count, theirs), (ours, own) = found[by_fastwarc], found[by_firn]
        if count != ours:
            sys.exit(f"{name}: firn finds {ours:,} records, fastwarc {count:,}")
        spent.append((theirs, own))
    bare, firns = (count / statistics.median(column) for column in zip(*spent, strict=True))
    ratio = statistics.median(theirs / own for theirs, own in spent)
    print(
        f"{name}: {count:,} records, {len(data) / 1e6:.0f} MB:"
        f" firn {firns:,.0f} records/s, fastwarc {bare:,.0f} records/s, ratio {ratio:.3f}"
    )


def packed(path: Path) -> None:
    data = path.read_bytes()
    parts = [data[each.offset : each.end] for each in records(io.BytesIO(data), 1 << 30, ())]
    if data.startswith(b"\x1f\x8b"):
        parts = [gzip.decompress(part) for part in parts]
    zstd = zstandard.ZstdCompressor(write_checksum=True)
    ways: dict[str, Callable[[bytes], bytes]] = {
        "plain": bytes,
        "gzip": lambda part: gzip.compress(part, 6),
        "zstd": zstd.compress,
        "lz4": lambda part: lz4.frame.compress(part, block_linked=False, store_size=False),
        "lz4 with check sums": lambda part: lz4.frame.compress(part, content_checksum=True),
    }
    for name, pack in ways.items():
        warc(f"{path.name}, {name}", b"".join(map(pack, parts)))
    known = zstandard.train_dictionary(110 << 10, parts[:1000] * max(1, 100 // len(parts)))
    zstd = zstandard.ZstdCompressor(write_checksum=True, dict_data=known)
    body = zstandard.compress(known.as_bytes())
    first = (0x184D2A5D).to_bytes(4, "little") + len(body).to_bytes(4, "little") + body  # IIPC, WARC Zstandard 1.0
    warc(f"{path.name}, zstd with a dictionary", b"".join(map(zstd.compress, parts)), first)


def read_papers(path: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        started, documents = time.process_time(), 0
        for task in papers.tasks("papers", PapersSource(paths=(path,))):
            documents += execute(task, Store(folder)).counts["kept"]
        seconds = time.process_time() - started
    name = path.rsplit("/", 1)[-1]
    print(
        f"{name}: {documents} articles in {seconds:.1f} s of processor time, {60 * documents / seconds:,.0f} a minute"
    )


def main() -> None:
    if len(sys.argv) < 3 or sys.argv[1] not in ("warc", "packed", "wikipedia", "papers"):
        sys.exit(__doc__)
    if sys.argv[1] == "wikipedia":
        sys.argv[1:] = sys.argv[2:]
        wikitext.main()
        return
    for path in sys.argv[2:]:
        if sys.argv[1] == "warc":
            warc(Path(path).name, Path(path).read_bytes())
        elif sys.argv[1] == "packed":
            packed(Path(path))
        else:
            read_papers(path)


if __name__ == "__main__":
    main()
