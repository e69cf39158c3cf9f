"""Looking back from a finished run: what became of a document, and what a training step read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from firn.core import why as stories
from firn.core.errors import InputError
from firn.core.progress import Progress
from firn.run.chapter import Chapter, chapter
from firn.run.folder import RecordingEngine, RunFolder, every
from firn.run.funnel import LEDGERS
from firn.serve.redact import excerpt
from firn.tokens.batch import batch as read_batch
from firn.tokens.batch import documents_in


def why(query: str, run: str | Path | None = None, runs: str | Path = "runs") -> list[Chapter]:
    """What became of a document, stage by stage. query: its id in 32 hexadecimal digits, its URL or its address.

    Of an address, the file's path may stand for its name in the source. run: the latest of `runs` where none is named.
    The index over the run's ledgers is made at the first question. Raises InputError where no ledger knows it.
    """
    folder = latest(runs) if run is None else RunFolder.open(run, runs)
    funnel = folder.funnel()
    of = {m.fingerprint: (m, source) for source in funnel for stage in LEDGERS for m in funnel[source].get(stage, ())}
    store = folder.store
    with RecordingEngine(folder, store, Progress("quiet")) as engine:
        index = stories.build(engine, [manifest for manifest, _ in of.values()])
    found = stories.find(store, index, query, LEDGERS, list(addresses(query, folder.state["recipe"])))
    return [chapter(store, one, *of[one.shard]) for one in found]


def addresses(path: str, recipe: Mapping[str, Any]) -> Iterator[str]:
    """What a file of the recipe's sources may be called in addresses. path: with the place in it behind a #, if any."""
    path = _absolute(path)
    for source in recipe["sources"].values():
        for given in map(_absolute, source.get("paths") or ()):
            folder = re.split(r"/[^/]*[*?\[]", given, maxsplit=1)[0]  # names begin behind the first wildcard's folder
            if path == folder or path.startswith(f"{folder}#"):
                folder = os.path.dirname(folder)
            if path.startswith(f"{folder}/"):
                name = path.removeprefix(f"{folder}/")
                yield from (name, f"{os.path.basename(folder)}/{name}")  # code is called by its folder too


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))


def latest(runs: str | Path = "runs") -> RunFolder:
    """The run that was worked on last. Raises InputError where there is none."""
    folders = [RunFolder.open(path) for path in every(runs)]
    if not folders:
        raise InputError("there are no runs", where=str(runs), mend="run a recipe: firn run recipes/quickstart.yaml")
    return max(folders, key=lambda folder: str(folder.state.get("process", {}).get("started", "")))


@dataclass(frozen=True)
class BatchPart:
    """A document's part in a batch: row `row`, input tokens [start, end). offset: of the first of them within it."""

    row: int
    source: str
    document: str
    url: str | None
    address: str
    start: int
    end: int
    offset: int
    text: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def batch(run: str | Path, step: int, runs: str | Path = "runs", *, characters: int = 160) -> list[BatchPart]:
    """What training step `step` read: every document's part in every window, with the beginning of its text there.

    Personal data in excerpts is replaced. Raises RecipeError for a step beyond the plan.
    """
    from firn.run.training import opened  # needs torch, which `why` does not

    folder = RunFolder.open(run, runs)
    corpus, plan, skipped = opened(folder)
    drawn = read_batch(corpus, plan, step, skipped=skipped)
    parts = []
    for span in documents_in(corpus, plan, step, skipped=skipped):
        tokens = drawn.inputs[span.row, span.start : span.end]
        text = corpus.tokenizer.decode(tokens[tokens != corpus.end_of_text])
        parts.append(
            BatchPart(
                row=span.row,
                source=span.source,
                document=span.document,
                url=span.url,
                address=span.address,
                start=span.start,
                end=span.end,
                offset=span.offset,
                text=excerpt(text, characters) if characters else "",
            )
        )
    return parts
