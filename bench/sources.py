"""How fast sources read, on one core, beside what others use: WARC records, Wikipedia pages, papers.

    python bench/sources.py warc FILE [FILE ...]
    python bench/sources.py wikipedia DUMP [DUMP ...]
    python bench/sources.py papers ARCHIVE [ARCHIVE ...]

warc: records a second of `firn.data.warc.records`, with every record's place and every broken place found, and of bare
fastwarc, which reads the same blocks from the same file; in turn, so that what else the machine does hits both alike.
The ratio is the median of those of the rounds; it is to be at least 0.9. Small files are read as if they were repeated
to 64 MiB, since what is done once per file (its format, its end) counts little in a crawl's files of 1 GB.
wikipedia: `bench/wikitext.py`, beside mwparserfromhell's strip_code, which firn is to pass five times over.
papers: articles a minute of the whole stage `read`, from archive to Parquet; to be at least 500.
"""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

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
    count = 0
    for record in ArchiveIterator(io.BytesIO(data), parse_http=False):
        if record.headers.get("WARC-Type") in DOCUMENTS:
            record.reader.read()
        count += 1
    return count


def by_firn(data: bytes) -> int:
    return sum(1 for _ in records(io.BytesIO(data), 32 << 20, DOCUMENTS))


def timed(way: Callable[[bytes], int], data: bytes) -> tuple[int, float]:
    started = time.process_time()
    count = way(data)
    return count, time.process_time() - started


def warc(path: str) -> None:
    data = Path(path).read_bytes()
    data *= max(_BYTES // len(data), 1)
    spent: list[tuple[float, float]] = []
    for turn in range(_ROUNDS):
        ways = (by_fastwarc, by_firn) if turn % 2 else (by_firn, by_fastwarc)
        seconds = {}
        for way in ways:
            count, seconds[way] = timed(way, data)
        spent.append((seconds[by_fastwarc], seconds[by_firn]))
    bare, ours = (count / statistics.median(column) for column in zip(*spent, strict=True))
    ratio = statistics.median(theirs / firns for theirs, firns in spent)
    print(
        f"{path.rsplit('/', 1)[-1]}: {count:,} records, {len(data) / 1e6:.0f} MB:"
        f" firn {ours:,.0f} records/s, fastwarc {bare:,.0f} records/s, ratio {ratio:.3f}"
    )


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
    if len(sys.argv) < 3 or sys.argv[1] not in ("warc", "wikipedia", "papers"):
        sys.exit(__doc__)
    if sys.argv[1] == "wikipedia":
        sys.argv[1:] = sys.argv[2:]
        wikitext.main()
        return
    for path in sys.argv[2:]:
        warc(path) if sys.argv[1] == "warc" else read_papers(path)


if __name__ == "__main__":
    main()
