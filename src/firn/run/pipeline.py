"""`firn run`: from a recipe to a model and its page, going on from whatever is there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from firn.core.disk import require_room
from firn.core.errors import FirnError
from firn.core.progress import Mode
from firn.core.store import Store
from firn.measure.figures import figures, held_out
from firn.run import accounts, graph, pages, training
from firn.run.folder import RunFolder, Tally
from firn.run.partway import engine_of
from firn.run.planning import disk_needed
from firn.run.recipe import Recipe
from firn.run.retain import let_go
from firn.serve import report
from firn.serve.numbers import size
from firn.serve.page import Flow, Page
from firn.train.stop import Stopped


@dataclass(frozen=True)
class Outcome:
    """What a run came to. made: how many shards and trainings were made now; 0 when all was there already.
    held_out: the held-out figure by source; figure: which one (`firn.measure.figures`)."""

    name: str
    folder: str
    report: str
    model: str
    made: int
    weights: str
    figure: str
    held_out: dict[str, float]
    page: Page

    @property
    def flows(self) -> list[Flow]:
        """The funnel."""
        return list(self.page.flows)

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the page."""
        values = {key: getattr(self, key) for key in self.__dataclass_fields__ if key != "page"}
        return {**values, "flows": [asdict(flow) for flow in self.flows]}


def run(recipe: Recipe, runs: str | Path = "runs", *, workers: int | None = None, mode: Mode = "auto") -> Outcome:
    """Run a recipe in `<runs>/<name>`, or go on with it; what is there already is not made again.

    workers: processes, in place of the recipe's number. mode: how progress is shown.
    Raises the rooms' FirnErrors; after any of them, or after a kill, the same call goes on.
    """
    folder = RunFolder(Path(runs) / recipe.name)
    folder.read()
    store = Store(recipe.store or Path(runs) / "store")
    progress = Tally(mode)
    folder.began(recipe.resolved(), store.root)
    try:
        check_disk(recipe, store, folder)
        outcome = _run(recipe, folder, store, progress, workers)
        shards, bytes = let_go(folder, recipe.retain)
        if shards:
            progress.note(f"{'retain':<10}  {recipe.retain}: {size(bytes)} of {shards:,} shards let go")
    except (KeyboardInterrupt, Stopped):
        folder.ended("interrupted")
        raise
    except FirnError as error:
        folder.ended("failed", str(error))
        raise
    folder.ended("finished")
    return outcome


def _run(recipe: Recipe, folder: RunFolder, store: Store, progress: Tally, workers: int | None) -> Outcome:
    with engine_of(recipe, folder, store, progress, workers) as engine:
        documents = graph.documents(recipe, engine)
        accounts.take(engine, documents.shards)
        folder.took(documents.shards, engine.needed)
    corpus = training.prepare(recipe, folder, documents.tokens, documents.tokenizer)
    if training.result(folder) is None:
        progress.made += 1
        if not any(source.validation.bytes for source in corpus.sources.values()):
            progress.note(
                "no text is held out, so what the model learns cannot be measured: give the sources more documents, or "
                "raise split.validation"
            )
    if recipe.report.ladder and recipe.train.objective == "causal":
        training.ladder(folder, corpus, progress)  # before training: the model card has it, too
    result = training.train(recipe, folder, corpus, progress)
    page = pages.page(recipe, folder)
    path = folder.path / "report.html"
    report.write(page, path)
    figure, values = held_out(figures(result.validation))
    assert folder.training is not None
    return Outcome(
        name=recipe.name,
        folder=str(folder.path),
        report=str(path),
        model=str(folder.training / "model"),
        made=progress.made,
        weights=result.weights,
        figure=figure,
        held_out=values,
        page=page,
    )


def check_disk(recipe: Recipe, store: Store, folder: RunFolder) -> None:
    """Raise StoreError where what the run is expected to write does not fit on the store's disk, and RecipeError for
    what its training would refuse."""
    require_room(store, disk_needed(recipe, store, folder))
