"""Reading published text: firn's stage `read` beside datatrove and Hugging Face datasets, documents a second of a core.

    python bench/files.py [FORM ...] [--rounds 7] [--copies 60]

FORM: jsonl, jsonl.gz, jsonl.zst, parquet, csv (default: all). Needs datatrove and datasets, in an environment of its
own: `pip install -c constraints.txt -e '.[bench]'`. The files are made of the 1,000 documents of
`text/c4/c4_sample.jsonl.gz` (FIRN_TEST_DATA), repeated to --copies x 1,000, 2.2 kB of text each: JSON lines as C4 has
them, CSV of the same columns, Parquet with the columns of FineWeb, zstd, row groups of 1,000.

firn is the whole stage `read` as a worker runs it: every row parsed, decoded, brought into Unicode normal form, hashed,
its host taken as group and its date read; documents written as Parquet (zstd), a row of ledger for each; hashed, made
durable, and held to the bounds of time and memory per document. The others:

    datatrove read        a reader run to its end, its documents dropped: less work than firn's
    datatrove read+write  the same into its ParquetWriter, zstd in place of snappy: the work that compares, but for
                          normal form, ledger, hashes and limits, which it has not
    datasets              load_dataset(..., streaming=True) of the local file, gone through to its end: less work too

All share one process that is bound to one core, and take turns, in an order that rotates. A ratio is the median over
rounds of their seconds to firn's, of processor time and of wall-clock time, so that a machine which others use hits all
alike; the rates depend on the machine and on who else uses it. What limits the comparison: files lie in the page cache,
one text is like another, 2.2 kB on average, and the same thousand come again and again.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from datasets import disable_progress_bars, load_dataset
from datatrove.pipeline.readers import JsonlReader, ParquetReader
from datatrove.pipeline.readers.csv import CsvReader
from datatrove.pipeline.writers import ParquetWriter
from datatrove.utils.logging import logger

from firn.core.stage import execute
from firn.core.store import Store
from firn.core.worker import BoardWatch, Limits
from firn.data.extract import ExtractSettings
from firn.data.sources import files

DATA = Path(os.environ.get("FIRN_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
FORMS = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet", "csv")
READERS = {"jsonl": JsonlReader, "parquet": ParquetReader, "csv": CsvReader}
Side = Callable[[Path, Path], int]


def make(folder: Path, form: str, copies: int) -> Path:
    """The file of one form, in a folder of its own."""
    lines = gzip.decompress((DATA / "text/c4/c4_sample.jsonl.gz").read_bytes())
    records = [json.loads(line) for line in lines.splitlines()]
    path = folder / form / f"c4.{form}"
    path.parent.mkdir()
    if form == "parquet":
        with pq.ParquetWriter(path, _fineweb(records, 0).schema, compression="zstd") as writer:
            for copy in range(copies):
                writer.write_table(_fineweb(records, copy))
    elif form == "csv":
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, list(records[0]))
            table.writeheader()
            for _ in range(copies):
                table.writerows(records)
    else:
        packed = {"jsonl": bytes, "jsonl.gz": gzip.compress, "jsonl.zst": zstandard.compress}[form]
        path.write_bytes(packed(lines * copies))
    return path


def _fineweb(records: list[dict[str, str]], copy: int) -> pa.Table:
    rows = [
        {
            "text": record["text"],
            "id": f"<urn:uuid:{copy:08x}-0000-4000-8000-{number:012x}>",
            "dump": "CC-MAIN-2019-18",
            "url": record["url"],
            "date": record["timestamp"].replace(" ", "T") + "Z",
            "file_path": f"s3://commoncrawl/crawl-data/CC-MAIN-2019-18/segments/1555578517682.16/warc/{number:05}.warc.gz",
            "language": "en",
            "language_score": 0.9 + number / 10_000,
            "token_count": len(record["text"]) // 4,
        }
        for number, record in enumerate(records)
    ]
    return pa.Table.from_pylist(rows)


def firn(path: Path, folder: Path) -> int:
    layout = "fineweb" if path.suffix == ".parquet" else "c4"
    source, watch = (
        files.FilesSource(paths=(str(path),), layout=layout),
        BoardWatch(RawArray("q", 16), Limits(60, 8 << 30)),
    )
    try:
        tasks = files.tasks("c4", source, ExtractSettings())
        return sum(execute(task, Store(folder), watch).counts["kept"] for task in tasks)
    finally:
        watch.unbind()


def _documents(path: Path) -> Iterator[Any]:
    reader = READERS[path.name.split(".")[1]](str(path.parent), glob_pattern=path.name)
    return reader.run()


def datatrove_read(path: Path, folder: Path) -> int:
    return sum(1 for _ in _documents(path))


def datatrove_write(path: Path, folder: Path) -> int:
    return sum(1 for _ in ParquetWriter(str(folder), compression="zstd").run(_documents(path)))


def datasets(path: Path, folder: Path) -> int:
    kind = {"jsonl": "json"}.get(name := path.name.split(".")[1], name)
    return sum(1 for _ in load_dataset(kind, data_files=str(path), split="train", streaming=True))


SIDES: dict[str, Side] = {
    "firn": firn, "datatrove read": datatrove_read, "datatrove read+write": datatrove_write, "datasets": datasets,
}  # fmt: skip


def timed(side: Side, path: Path) -> tuple[int, float, float]:
    """Documents, and seconds of processor time and of wall-clock time."""
    with tempfile.TemporaryDirectory() as folder:
        wall, used = time.monotonic(), time.process_time()
        count = side(path, Path(folder))
        return count, time.process_time() - used, time.monotonic() - wall


def compare(path: Path, rounds: int, documents: int) -> None:
    """Print one file's figures."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in SIDES}
    names = list(SIDES)
    for turn in range(rounds + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            count, *seconds = timed(SIDES[name], path)
            assert count == documents, f"{name}: {count} documents"
            if turn:  # what is loaded at its first use is loaded by then
                spent[name].append((seconds[0], seconds[1]))
    print(f"\n{path.name}: {documents:,} documents, {path.stat().st_size / 1e6:.0f} MB, {rounds} rounds")
    for name, times in spent.items():
        used, wall = (statistics.median(column) for column in zip(*times, strict=True))
        pairs = list(zip(times, spent["firn"], strict=True))
        ratios = [statistics.median(theirs[i] / ours[i] for theirs, ours in pairs) for i in (0, 1)]
        print(
            f"  {name:22}{documents / used:9,.0f} documents/s of processor, {documents / wall:9,.0f} by the clock;"
            f" firn is {ratios[0]:.2f} and {ratios[1]:.2f} times as fast"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("forms", nargs="*", metavar="FORM", help=f"of {FORMS}")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--copies", type=int, default=60, help="thousands of documents in each file")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    logger.remove()
    disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        for form in options.forms or FORMS:
            path = make(Path(folder), form, options.copies)
            compare(path, options.rounds, 1000 * options.copies)
            shutil.rmtree(path.parent)


if __name__ == "__main__":
    main()
