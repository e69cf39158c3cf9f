"""Two stages whose ledgers tell stories: records are read, and documents merged. Workers import them by name."""

from __future__ import annotations

from firn.core.hashing import document_id
from firn.core.schema import DOCUMENT
from firn.core.stage import Stage, Work


def id_of(n: int) -> bytes:
    return document_id(str(n), 0, b"")


def row(n: int) -> dict[str, object]:
    return {
        "id": id_of(n),
        "part": 0,
        "group": "g",
        "text": f"text {n}",
        "source": "made",
        "address": str(n),
        "copies": 1,
        "meta": "{}",
    }


def read(work: Work) -> None:
    """Records 0-99; those divisible by 10 are no documents."""
    work.rows_in = 100
    out = work.writer("documents", DOCUMENT)
    for n in range(100):
        if n % 10:
            out.write([row(n)])
            work.ledger.kept(id_of(n), url=f"https://made.example/{n}", address=f"crawl#{n}")
        else:
            work.ledger.removed(None, "warc.status", url=f"https://made.example/{n}", address=f"crawl#{n}")


def merge(work: Work) -> None:
    """Even documents are merged into the one before them."""
    out = work.writer("documents", DOCUMENT)
    for document in work.table().to_pylist():
        n = int(document["address"])
        if n % 2:
            work.ledger.kept(document["id"])
            out.write([row(n)])
        else:
            work.ledger.merged(document["id"], id_of(n - 1), "minhash")


READ, DEDUP = Stage("read", 1, read, ledger=True), Stage("dedup", 1, merge, ledger=True)
