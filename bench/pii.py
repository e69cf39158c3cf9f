"""Personal data found: precision and recall on labelled texts, and speed.

    python bench/pii.py LABELLED.json... [--texts DOCUMENTS.jsonl.gz]

LABELLED: a list of {"full_text", "spans": [{"entity_type", "start_position", "end_position"}]}, as presidio-research
writes it (https://github.com/microsoft/presidio-research). A span that was found counts as right where it overlaps one
that is labelled of its kind. Addresses that are not public do not count as labelled, since they are to stay. --texts:
JSON lines with `text`, to count what is found in ordinary pages and to measure speed; else speed is measured on the
labelled texts.
"""

from __future__ import annotations

import argparse
import gzip
import ipaddress
import json
import statistics
import time
from collections import Counter
from pathlib import Path

import numpy as np

from firn.data.pii.find import Span, find
from firn.data.pii.settings import KINDS

LABELS = {
    "EMAIL_ADDRESS": "email",
    "IP_ADDRESS": "ip",
    "CREDIT_CARD": "card",
    "IBAN_CODE": "iban",
    "US_SSN": "national_id",
    "PHONE_NUMBER": "phone",
}
#: Least precision and recall, by kind.
BOUNDS = dict.fromkeys(("email", "ip", "card", "iban"), (0.95, 0.9))
_ALL = frozenset(KINDS)


def labelled(row: dict[str, object]) -> list[Span]:
    """The labelled spans of a text whose kinds are covered, in UTF-8 bytes."""
    text, spans = str(row["full_text"]), []
    for span in row["spans"]:  # type: ignore[attr-defined]
        kind = LABELS.get(span["entity_type"])
        start, end = (len(text[: span[f"{side}_position"]].encode()) for side in ("start", "end"))
        if kind and not (kind == "ip" and not ipaddress.ip_address(span["entity_value"]).is_global):
            spans.append(Span(start, end, kind))  # type: ignore[arg-type]
    return spans


def overlap(one: Span, other: Span) -> bool:
    return one.kind == other.kind and one.start < other.end and other.start < one.end


def score(rows: list[dict[str, object]]) -> dict[str, tuple[float, float, int, int]]:
    """Kind -> precision, recall, number labelled, number found."""
    right: Counter[str] = Counter()
    met: Counter[str] = Counter()
    gold: Counter[str] = Counter()
    guessed: Counter[str] = Counter()
    for row in rows:
        wanted, found = labelled(row), find(np.frombuffer(str(row["full_text"]).encode(), np.uint8), _ALL)
        gold.update(span.kind for span in wanted)
        guessed.update(span.kind for span in found)
        met.update(span.kind for span in wanted if any(overlap(span, other) for other in found))
        right.update(span.kind for span in found if any(overlap(span, other) for other in wanted))
    return {
        kind: (right[kind] / max(1, guessed[kind]), met[kind] / max(1, gold[kind]), gold[kind], guessed[kind])
        for kind in KINDS
        if gold[kind]
    }


def speed(texts: list[bytes], passes: int = 5) -> tuple[float, float]:
    """Median texts and bytes per second of one core."""
    arrays = [np.frombuffer(text, np.uint8) for text in texts]
    times = []
    for _ in range(passes):
        started = time.process_time()
        for array in arrays:
            find(array, _ALL)
        times.append(time.process_time() - started)
    taken = statistics.median(times)
    return len(texts) / taken, sum(map(len, texts)) / taken


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("labelled", nargs="+", type=Path)
    parser.add_argument("--texts", type=Path)
    options = parser.parse_args()
    rows = [row for path in options.labelled for row in json.loads(path.read_text())]
    missed = False
    print(f"{'kind':12} {'precision':>9} {'recall':>7} {'labelled':>9} {'found':>6}")
    for kind, (precision, recall, gold, guessed) in score(rows).items():
        least = BOUNDS.get(kind, (0.0, 0.0))
        fails = precision < least[0] or recall < least[1]
        missed |= fails
        print(f"{kind:12} {precision:9.3f} {recall:7.3f} {gold:9} {guessed:6}{'  too low' if fails else ''}")
    texts = [str(row["full_text"]).encode() for row in rows]
    if options.texts:
        with gzip.open(options.texts) as lines:
            texts = [json.loads(line)["text"].encode() for line in lines]
        found = Counter(span.kind for text in texts for span in find(np.frombuffer(text, np.uint8), _ALL))
        print(f"{len(texts):,} documents hold {dict(sorted(found.items()))}")
    documents, size = speed(texts)
    print(f"{documents:,.0f} documents/s of {sum(map(len, texts)) / len(texts):,.0f} bytes, {size / 1e6:.1f} MB/s/core")
    raise SystemExit(missed)


if __name__ == "__main__":
    main()
