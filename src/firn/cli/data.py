"""The verbs that run part of a recipe and show documents."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firn.cli.main import RUNS, Json, Overrides, Quiet, RecipeFile, Run, Runs, Workers, _json_line, _recipe, app

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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be read.")] = False,
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
    from firn.run import collecting

    if dry_run:
        sources = collecting.dry_run(_recipe(recipe, overrides), runs)
        if as_json:
            _json_line({"event": "dry-run", "sources": [source.to_json() for source in sources]})
        else:
            show_data.to_read(sources)
        return
    mode: Mode = "json" if as_json else "quiet" if quiet else "auto"
    found = collecting.collect(
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
        str | None, typer.Option("--export", metavar="FOLDER", help="Write what stays for other trainers.")
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


@app.command()
def show(
    query: Annotated[str, typer.Argument(metavar="DOC", help="Its id, URL or address, or a file.", show_default=False)],
    name: Annotated[str | None, typer.Option("--run", help="The run.", show_default="the latest")] = None,
    characters: Characters = 800,
    raw: Annotated[
        Path | None, typer.Option("--raw", metavar="FILE", help="Write the raw record's bytes there, - for output.")
    ] = None,
    all_signals: Annotated[bool, typer.Option("--signals", help="Show signals that no rule asks for too.")] = False,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Show a document's life.

    Its raw record, fetched again; the text as it was extracted and as it was left; what was measured and the rules on
    it; what each stage did; its tokens. Personal data is replaced in all excerpts, but not in what --raw writes.

    Example: firn show https://docs.python.org/3/library/asyncio.html --run quickstart
    """
    from firn.cli import show_data
    from firn.run import showing

    if raw is not None:
        _write(showing.raw_of(query, name, runs), raw)
        return
    life = showing.show(query, name, runs, characters=characters)
    if as_json:
        _json_line(life.to_json())
    else:
        show_data.life(life, all_signals)


def _write(data: bytes, path: Path) -> None:
    """Raw bytes to a file, or to standard output unless that is a terminal, which they could drive."""
    from firn.core.errors import RecipeError
    from firn.core.files import atomic_write

    if str(path) != "-":
        atomic_write(path, data)
    elif sys.stdout.isatty():
        mend = "name a file, or send the output to one: firn show DOC --raw - > record"
        raise RecipeError("raw bytes could drive this terminal", key="--raw", mend=mend)
    else:
        sys.stdout.buffer.write(data)


@app.command()
def contamination(name: Run, runs: Runs = RUNS, as_json: Json = False) -> None:
    """Say which evaluation items were found in a run's documents.

    By set and item, with the documents that hold them. From what decontamination wrote; nothing runs again.

    Example: firn contamination quickstart
    """
    from firn.cli import show_data
    from firn.run.contamination import contamination as report

    found = report(name, runs)
    if as_json:
        _json_line(found.to_json())
    else:
        show_data.contamination(found)
