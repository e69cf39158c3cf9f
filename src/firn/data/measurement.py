"""Rows of the measurement as they come to be: language, points and edits of one document after another."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from firn.data.edits import Draft
from firn.data.kernels import measure
from firn.data.language import detect
from firn.data.measure import CUT, Edit, MeasureSettings, schema


class Rows:
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
        limit = self.settings.text_bytes
        if self.settings.steps and text.size > limit:
            self.errors[index] = f"the text has {text.size} bytes, more than measure.text_bytes = {limit}"
            return
        if language is None and self.settings.language_bytes:
            beginning = text[: self.settings.language_bytes].tobytes().decode("utf-8", "ignore")
            language, score = detect(beginning, limit=4 * self.settings.language_bytes)
        self.languages[index], self.scores[index] = language, score
        draft, at = Draft(text), 0
        for number, step in enumerate(self.settings.steps):
            if isinstance(step, Edit):
                draft.edit(number, step.edit, step.limit, tuple(phrase.encode() for phrase in step.phrases))
            else:
                values = measure(draft.text, step.families, draft.classes)
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
        spans = pa.StructArray.from_arrays([pa.array(part) for part in parts], fields=list(CUT))
        offsets = pa.array(np.cumsum([0, *sizes]), pa.int32())
        return pa.ListArray.from_arrays(offsets, spans, mask=pa.array([cuts is None for cuts in self.cuts]))
