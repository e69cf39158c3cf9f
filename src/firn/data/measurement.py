"""Rows of the measurement as they come to be: language, points and edits of one document after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from firn.data.edits import Draft
from firn.data.kernels import Context, measure
from firn.data.language import detect
from firn.data.measure import CUT, MODEL, WORDS, Edit, MeasureSettings, schema
from firn.data.signals import URL_SIGNALS
from firn.data.urls import Blocklist, UrlRules, UrlSettings, read_lines

if TYPE_CHECKING:
    from firn.data.word_lists import WordList  # compiled where a recipe has one

#: Files, each with the time of its last change.
Stamped = tuple[tuple[Path, int], ...]


class Rows:
    """The rows of one batch of `signals` as they come to be.

    files: local paths of what the settings speak of and do not hold (measure.task).
    """

    def __init__(self, settings: MeasureSettings, rows: int, files: Mapping[str, Sequence[Path]] | None = None):
        self.settings = settings
        self.languages: list[str | None] = [None] * rows
        self.scores: list[float | None] = [None] * rows
        self.values = np.full((rows, len(settings.columns)), np.nan)
        self.edited: list[bytes | None] = [None] * rows
        self.cuts: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int8]] | None] = [None] * rows
        self.errors: list[str | None] = [None] * rows
        files = files or {}
        model = files[MODEL][0] if settings.language_model else None
        self._detect: Callable[[str], tuple[str, float]] = partial(
            detect, limit=4 * max(settings.language_bytes, 1000), model=model
        )
        self._urls = None
        if settings.url:
            self._urls = _url_rules(settings.url.model_dump_json(), _stamped(files, settings.url.lists))
        names = {WORDS.format(language): language for language in settings.word_lists}
        self._words = {names[name]: _word_list(paths) for name, paths in _stamped(files, names)}

    def measure(
        self, index: int, text: NDArray[np.uint8], language: str | None, score: float | None, url: str | None = None
    ) -> None:
        """Fill in one row. language, score: what the source knows of it."""
        limit = self.settings.text_bytes
        if self.settings.steps and text.size > limit:
            self.errors[index] = f"the text has {text.size} bytes, more than measure.text_bytes = {limit}"
            return
        if language is None and self.settings.language_bytes:
            beginning = text[: self.settings.language_bytes].tobytes().decode("utf-8", "ignore")
            language, score = self._detect(beginning)
        self.languages[index], self.scores[index] = language, score
        at = 0
        if self._urls:
            at = len(URL_SIGNALS)
            self.values[index, :at] = self._urls.measure(url)
        words = self._words.get(language or "")
        context = Context(
            language=language,
            stop_words=self.settings.stop_words.get(language or "", ()),
            original=text,
            detect=self._detect,
            words=words.count if words else None,
        )
        draft = Draft(text, context)
        for number, step in enumerate(self.settings.steps):
            if isinstance(step, Edit):
                draft.edit(number, step.edit, step.limit, tuple(phrase.encode() for phrase in step.phrases))
            else:
                values = measure(draft.view(), step.families)
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


def _stamped(files: Mapping[str, Sequence[Path]], names: Iterable[str]) -> tuple[tuple[str, Stamped], ...]:
    """The files of these names, each with what changes when its content does."""
    return tuple((name, tuple((path, path.stat().st_mtime_ns) for path in files[name])) for name in names)


@cache  # a list is read once per process
def _url_rules(settings: str, files: tuple[tuple[str, Stamped], ...]) -> UrlRules:
    lists = {
        name: Blocklist((line for path, _ in paths for line in read_lines(path)), f"the list {name}")
        for name, paths in files
    }
    return UrlRules(UrlSettings.model_validate_json(settings), lists)


@cache
def _word_list(files: Stamped) -> WordList:
    from firn.data.word_lists import WordList

    return WordList(line for path, _ in files for line in read_lines(path))
