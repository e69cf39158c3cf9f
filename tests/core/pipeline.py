"""A tiny pipeline of three stages, run as a program by the tests of the engine: make -> judge -> count (a shuffle).

python pipeline.py STORE WORKERS [hostile]
python pipeline.py inject FOLDER KIND ACTION STEP
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from firn.core import engine as engine_module
from firn.core import faults
from firn.core.engine import LocalEngine
from firn.core.errors import FirnError
from firn.core.hashing import document_id, hash64
from firn.core.progress import Progress
from firn.core.schema import DOCUMENT
from firn.core.shuffle import shuffle
from firn.core.stage import Input, Stage, Task, Work
from firn.core.store import Manifest, Store

SHARDS, DOCUMENTS = 3, 30
COUNT = pa.schema([("word", pa.string()), ("count", pa.int64())])


def make(work: Work) -> None:
    seed = work.extra["seed"]
    rows = [
        {
            "id": document_id(f"{seed}", n, b""),
            "part": 0,
            "group": f"g{n % 5}",
            "text": f"document {n} of shard {seed} " + "snow " * (n % 7),
            "source": "made",
            "address": f"{seed}#{n}",
            "copies": 1,
            "meta": "{}",
        }
        for n in range(DOCUMENTS)
    ]
    work.writer("documents", DOCUMENT).write(rows)


def judge(work: Work) -> None:
    out = work.writer("documents", DOCUMENT)
    row = -1
    for batch in work.batches():
        kept = []
        for id, text in zip(batch.column("id").to_pylist(), batch.column("text").to_pylist(), strict=True):
            row += 1
            if not work.enter(row, id):
                kept.append(False)
                continue
            if work.extra["hostile"]:
                misbehave(row)
            kept.append(text.count("snow") > 1)
            if kept[-1]:
                work.ledger.kept(id)
            else:
                work.ledger.removed(id, "few.snow", value=text.count("snow"), bound=2)
        out.write(batch.filter(pa.array(kept)))


def misbehave(row: int) -> None:
    if row == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if row == 5:
        os._exit(7)
    if row == 7:
        while True:
            pass
    if row == 9:
        bytearray(16 << 30)
    if row == 11:
        raise ValueError("cannot be judged")


def words(work: Work) -> Iterator[pa.Table]:
    for text in work.table().column("text").to_pylist():
        names = text.split()
        yield pa.table({"key": pa.array([hash64(w.encode()) for w in names], pa.uint64()), "word": names})


def count(work: Work, rows: pa.Table) -> None:
    table = rows.group_by("word").aggregate([("word", "count")]).rename_columns(["word", "count"])
    work.writer("counts", COUNT).write(table.take(pc.sort_indices(table, sort_keys=[("word", "ascending")])))


def text(work: Work) -> None:
    work.open("text", ".txt").write("\n".join(work.table().column("text").to_pylist()).encode())


def unstable(work: Work) -> None:
    work.open("data").write(os.urandom(8))


def echo(work: Work) -> None:
    work.open("copy").write(work.local().read_bytes())


MAKE = Stage("make", 1, make)
JUDGE = Stage("judge", 1, judge, ledger=True)
# Stages that the pipeline has not: what reads a judged shard, what is not pure, and what reads that.
TEXT, UNSTABLE, ECHO = Stage("text", 1, text), Stage("unstable", 1, unstable), Stage("echo", 1, echo)


def run(engine: LocalEngine, *, hostile: bool = False, fan_in: int = 2) -> list[Manifest]:
    made = engine.run([Task(MAKE, None, (), f"made {n}", {"seed": n}) for n in range(SHARDS)])
    judged = engine.run(
        [
            Task(JUDGE, None, (Input(m, ("documents",)),), m.label, {"hostile": hostile and n == 1})
            for n, m in enumerate(made)
        ]
    )
    counted = shuffle(
        engine,
        name="count",
        version=1,
        settings=None,
        inputs=[(Input(m, ("documents",)),) for m in judged],
        map=words,
        reduce=count,
        bytes_per_partition=5000,
        fan_in=fan_in,
    )
    return [*made, *judged, *counted]


def hashes(manifests: list[Manifest]) -> list[tuple[str, str, str]]:
    """What must be equal between runs: stage, fingerprint, content."""
    return [(m.stage, m.fingerprint, m.identity()) for m in manifests]


def totals(store: Store, manifests: list[Manifest]) -> Counter[str]:
    """Word counts over all partitions."""
    import pyarrow.parquet as pq

    total: Counter[str] = Counter()
    for manifest in manifests:
        if "counts" in manifest.files:
            for row in pq.read_table(store.local(manifest, "counts")).to_pylist():
                total[row["word"]] += row["count"]
    return total


def main(store: str, workers: int, *options: str) -> int:
    try:
        with LocalEngine(
            Store(store), workers, Progress("plain", Console(stderr=True)), document_seconds=0.5
        ) as engine:
            print(json.dumps(hashes(run(engine, hostile="hostile" in options))), flush=True)
    except FirnError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def inject(folder: str, kind: str, action: str, step: int) -> None:
    """Break one run at each `step`-th fault point in turn, then run it again; one JSON line of what happened for each.

    Runs and workers are forked from this process, so that none of them imports anything again.
    """
    engine_module.context = lambda: multiprocessing.get_context("fork")
    for n in itertools.count(1, step):
        store, counter = f"{folder}/{n}", f"{folder}/{n}.count"
        broken = forked(store, f"{kind}:{n}:{action}", counter)
        print(json.dumps([n, *broken, *forked(store, "", counter)]), flush=True)
        if os.path.getsize(counter) < n:
            return


def forked(store: str, fault: str, counter: str) -> tuple[int, str, str]:
    """A run in a process group of its own: its status, what it printed and what it complained of."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as complaints:
        if not (child := os.fork()):
            os.setsid()
            os.dup2(out.fileno(), 1)
            os.dup2(complaints.fileno(), 2)
            faults._FAULT, os.environ["FIRN_FAULT_COUNTER"] = fault, counter
            os._exit(main(store, 2))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        complaints.seek(0)
        return status, out.read(), complaints.read()


if __name__ == "__main__":
    if sys.argv[1] == "inject":
        inject(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
    else:
        sys.exit(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
