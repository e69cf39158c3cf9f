"""The stage `pii`: personal data and secrets in documents become typed placeholders, or go.

A document in which some was found is `changed`, its rule the kind found most often (`pii.email`), `value` how many were
found, `spans` where, and bit i of `rules` stands for kind i of KINDS. The output `found` has a row for each: row of the
document, start and end in UTF-8 bytes of the text before, kind. Values are written nowhere.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from firn.core.schema import DOCUMENT
from firn.core.stage import Input, Stage, Task, Work
from firn.core.store import Manifest
from firn.data.columns import texts
from firn.data.pii.settings import KINDS, Kind, PiiSettings

if TYPE_CHECKING:
    from firn.data.pii.find import Span

#: The output `found`.
FOUND = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
        pa.field("kind", pa.dictionary(pa.int32(), pa.string()), nullable=False),
    ],
    metadata={"format": "firn.pii", "format_version": "1"},
)
#: Rule of documents with more than `most`.
MOST = "pii.most"


def task(settings: PiiSettings, shard: Manifest) -> Task:
    """The task that cleans the documents of a shard."""
    return Task(STAGE, settings, (Input(shard, ("documents",)),), shard.label)


def run(work: Work) -> None:
    """Replace personal data in the documents of one shard."""
    from firn.data.pii.find import find  # numba takes long to import, and the driver never needs it

    settings: PiiSettings = work.settings
    placeholders = settings.placeholders
    kinds = frozenset(placeholders)
    documents, found, row = work.writer("documents", DOCUMENT), work.writer("found", FOUND), 0
    totals: Counter[Kind] = Counter()
    for batch in work.batches():
        stays: list[bool] = []
        cleaned: list[str | None] = []
        places: list[tuple[int, Span]] = []
        for text, id_ in zip(texts(batch.column("text")), batch.column("id").to_pylist(), strict=True):
            stays.append(work.enter(row, id_))
            cleaned.append(None)
            if stays[-1] and (spans := find(text, kinds, settings.countries)):
                counts = Counter(span.kind for span in spans)
                if settings.most is not None and len(spans) > settings.most:
                    work.ledger.removed(id_, MOST, value=len(spans), bound=settings.most, rules=_bits(counts))
                    stays[-1] = False
                else:
                    often = max(KINDS, key=lambda kind: counts[kind])
                    cuts = [(span.start, span.end) for span in spans]
                    work.ledger.changed(id_, spans=cuts, rule=f"pii.{often}", value=len(spans), rules=_bits(counts))
                    cleaned[-1] = replaced(text.tobytes(), spans, placeholders)
                places += [(row, span) for span in spans]
                totals.update(counts)
            elif stays[-1]:
                work.ledger.kept(id_)
            row += 1
        work.leave()
        if places:
            rows, spans = [at for at, _ in places], [span for _, span in places]
            columns = [rows, *([getattr(span, name) for span in spans] for name in ("start", "end", "kind"))]
            found.write(pa.table([pa.array(c, f.type) for c, f in zip(columns, FOUND, strict=True)], schema=FOUND))
        table = pa.Table.from_batches([batch]).select(DOCUMENT.names)
        if any(text is not None for text in cleaned):
            new = pa.array(cleaned, pa.large_string())
            table = table.set_column(
                table.schema.get_field_index("text"), DOCUMENT.field("text"), pc.coalesce(new, table.column("text"))
            )
        documents.write(table.cast(DOCUMENT).filter(pa.array(stays, pa.bool_())))
    work.note("found", dict(sorted(totals.items())))


def replaced(text: bytes, spans: list[Span], placeholders: dict[Kind, str]) -> str:
    """The text with a placeholder in the place of each span."""
    parts, done = [], 0
    for span in spans:
        parts += [text[done : span.start], placeholders[span.kind].encode()]
        done = span.end
    return b"".join([*parts, text[done:]]).decode()


def _bits(counts: Counter[Kind]) -> int:
    return sum(1 << bit for bit, kind in enumerate(KINDS) if counts[kind])


STAGE = Stage("pii", 2, run, ledger=True)
