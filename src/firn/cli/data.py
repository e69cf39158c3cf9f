"""The verbs that run part of a recipe and show documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firn.cli.main import RUNS, Json, Overrides, Quiet, RecipeFile, Runs, Workers, _json_line, _recipe, app

if TYPE_CHECKING:
    from firn.core.progress import Mode
    from firn.run.exporting import Kind

Characters = Annotated[int, typer.Option(min=0, help="Length of the excerpts.")]


@app.command()
def collect(
    recipe: RecipeFile,
    overrides: Overrides = None,
    sample: Annotated[int, typer.Option(min=0, help="Documents to show, as the next stage will see them.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed shows the same documents.")] = 0,
    characters: Characters = 600,
    runs: Runs = RUNS,
    workers: Workers = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Read the sources of a recipe, and stop there.

    Records, documents, bytes and errors of each source. What is read stays: `firn run` goes on from it.

    Example: firn collect recipes/quickstart.yaml --sample 20
    """
    from firn.cli import show_data
    from firn.run.collecting import collect as collect_recipe

    mode: Mode = "json" if as_json else "quiet" if quiet else "auto"
    found = collect_recipe(
        _recipe(recipe, overrides), runs, sample=sample, seed=seed, characters=characters, workers=workers, mode=mode
    )
    if as_json:
        _json_line({"event": "done", **found.to_json()})
    elif not quiet:
        show_data.collected(found)


@app.command()
def clean(
    recipe: RecipeFile,
    overrides: Overrides = None,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FOLDER", help="Write what stays for other trainers.")
    ] = None,
    kind: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="Of the export: parquet or jsonl.")
    ] = "parquet",
    runs: Runs = RUNS,
    workers: Workers = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run the data stages of a recipe, and stop before tokens.

    What stays, and what each stage and rule took: by source, language and domain. `firn run` goes on from it.

    Example: firn clean recipes/quickstart.yaml --export corpus/
    """
    from firn.cli import show_data
    from firn.core.errors import RecipeError
    from firn.run.cleaning import clean as clean_recipe

    if kind not in ("parquet", "jsonl"):
        raise RecipeError(f"the format is {kind!r}", key="--format", mend="give parquet or jsonl")
    chosen: Kind = "jsonl" if kind == "jsonl" else "parquet"
    mode: Mode = "json" if as_json else "quiet" if quiet else "auto"
    found = clean_recipe(_recipe(recipe, overrides), runs, to=export, kind=chosen, workers=workers, mode=mode)
    if as_json:
        _json_line({"event": "done", **found.to_json()})
    elif not quiet:
        show_data.cleaned(found)
