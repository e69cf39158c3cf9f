"""`firn clean`: the data stages alone, from raw files to the documents that tokens would be made of. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from firn.core.disk import require_room
from firn.core.progress import Mode
from firn.core.store import Manifest
from firn.run import accounts, data_page, graph
from firn.run.exporting import Exported, Kind, export
from firn.run.folder import Tally
from firn.run.funnel import flows
from firn.run.lookahead import bytes_written
from firn.run.partway import partway
from firn.run.recipe import Recipe
from firn.serve import report
from firn.serve.cleaning import Cleaning
from firn.serve.page import Flow


@dataclass(frozen=True)
class Cleaned:
    """What cleaning came to.

    made: shards that were made now; 0 when all was there already. documents: Parquet files of what stays, by source.
    """

    name: str
    folder: str
    report: str
    made: int
    flows: list[Flow]
    cleaning: Cleaning | None
    documents: dict[str, list[str]]
    exported: Exported | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def clean(
    recipe: Recipe,
    runs: str | Path = "runs",
    *,
    to: str | Path | None = None,
    kind: Kind = "parquet",
    workers: int | None = None,
    mode: Mode = "auto",
) -> Cleaned:
    """Run the data stages of a recipe in `<runs>/<name>`; what is there already is not made again.

    to: an empty folder or fsspec URL to which what stays is exported, as `kind`. Raises the rooms' FirnErrors.
    """
    progress = Tally(mode)
    with partway(recipe, runs, "cleaned", progress, workers) as part:
        require_room(part.engine.store, bytes_written(recipe, part.engine.store, graph.clean))
        part.shards = graph.clean(recipe, part.engine)
        accounts.take(part.engine, part.shards)
    folder, last = part.folder, {source: graph.last(stages) for source, stages in part.shards.items()}
    page = data_page.page(recipe, folder)
    path = folder.path / "report.html"
    if folder.training is None:
        report.write(page, path)
    exported = None if to is None else export(folder.store, last, to, kind, recipe)
    return Cleaned(
        name=recipe.name,
        folder=str(folder.path),
        report=str(path),
        made=progress.made,
        flows=flows(part.shards),
        cleaning=page.cleaning,
        documents={source: _files(folder.store.files.root, shards) for source, shards in last.items()},
        exported=exported,
    )


def _files(root: str, shards: Sequence[Manifest]) -> list[str]:
    return [f"{root}/{m.files['documents'].path}" for m in shards if m.files["documents"].rows]
