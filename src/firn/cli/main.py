"""The command line: verbs without logic. Each calls one documented Python function of the rooms above.

Nothing heavy is imported before a verb needs it, so that `firn --help` and completion answer at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firn.cli import quality, sources
from firn.core.errors import FirnError

if TYPE_CHECKING:
    from firn.core.progress import Mode
    from firn.run.recipe import Recipe

INTERRUPTED = 130

app = typer.Typer(
    name="firn",
    help="From raw data to an evaluated base model in one recipe, with every token accounted for.",
    epilog="Start with: firn run recipes/quickstart.yaml",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

app.add_typer(sources.app, name="sources")
app.add_typer(quality.app, name="quality")

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe: a YAML file.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Keys of the recipe to override, dotted.", show_default=False),
]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run: its name or its folder.", show_default=False)]
Runs = Annotated[Path, typer.Option("--runs", envvar="FIRN_RUNS", help="The folder that holds the runs.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes.", show_default="all cores")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")]
RUNS = Path("runs")


@app.callback(invoke_without_command=True)
def _firn(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from; any verb takes it.")] = False,
) -> None:
    if version:
        import firn

        typer.echo(f"firn {firn.__version__}")
        raise typer.Exit


@app.command()
def run(
    recipe: RecipeFile,
    overrides: Overrides = None,
    runs: Runs = RUNS,
    workers: Workers = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run a recipe, from raw data to a model and its report.

    What is there already is not made again. Interrupt it, or lose the machine: the same command goes on where it was.

    Example: firn run recipes/quickstart.yaml train.steps=500
    """
    from firn.cli import show
    from firn.run.pipeline import run as run_recipe

    mode: Mode = "json" if as_json else "quiet" if quiet else "auto"
    outcome = run_recipe(_recipe(recipe, overrides), runs, workers=workers, mode=mode)
    if as_json:
        _json_line({"event": "done", **outcome.to_json()})
    elif not quiet:
        show.outcome(outcome)


@app.command()
def plan(recipe: RecipeFile, overrides: Overrides = None, runs: Runs = RUNS, as_json: Json = False) -> None:
    """Say what a run would do and cost.

    Stages with the shards that are there and those to do, documents and tokens, parameters, FLOPs, memory, disk, and
    the expected time on this machine.

    Example: firn plan recipes/quickstart.yaml model.layers=12
    """
    from firn.cli import show
    from firn.run.planning import plan as plan_recipe

    forecast = plan_recipe(_recipe(recipe, overrides), runs)
    if as_json:
        _json_line(forecast.to_json())
    else:
        show.forecast(forecast)


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(metavar="[RUN]", help="A run; all where none is named.")] = None,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Say where a run is, or list all runs.

    Example: firn status quickstart
    """
    from firn.cli import show
    from firn.run import status as room

    if name is None:
        rows = room.overview(runs)
        if as_json:
            for row in rows:
                _json_line(row.to_json())
        else:
            show.overview(rows, runs)
    else:
        state = room.status(name, runs)
        if as_json:
            _json_line(state.to_json())
        else:
            show.status(state)


@app.command()
def generate(
    model: Annotated[str, typer.Argument(metavar="RUN", help="A run, or a Hugging Face folder.", show_default=False)],
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The text to go on from.", show_default=False)],
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens to write at most.")] = 200,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 always takes the likeliest token.")] = 0.8,
    top_k: Annotated[int | None, typer.Option(min=1, help="Draw from the k likeliest tokens.")] = None,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0, help="Draw from the likeliest tokens of this mass.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed writes the same text.")] = 0,
    samples: Annotated[int, typer.Option("-n", "--samples", min=1, help="How many texts to write.")] = 1,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Let a model go on from a prompt.

    Example: firn generate quickstart "def main(" --temperature 0.7 -n 2
    """
    from firn.run.words import Writer

    writer = Writer.open(model, runs)
    for number in range(samples):
        pieces = writer.write(
            prompt,
            max_tokens=max_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed + number,
        )
        if as_json:
            _json_line({"prompt": prompt, "text": "".join(pieces), "seed": seed + number})
            continue
        if number:
            typer.echo("\n---")
        typer.echo(prompt, nl=False)
        for piece in pieces:
            typer.echo(piece, nl=False)
            sys.stdout.flush()
        typer.echo()


@app.command()
def why(
    query: Annotated[str, typer.Argument(metavar="DOC", help="Its id, URL or address, or a file.", show_default=False)],
    name: Annotated[str | None, typer.Option("--run", help="The run.", show_default="the latest")] = None,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Tell what became of a document.

    Stage by stage: what kept it, changed it or took it out.

    Example: firn why https://docs.python.org/3/library/asyncio.html --run quickstart
    """
    from firn.cli import show
    from firn.run.looking import why as ask

    chapters = ask(query, name, runs)
    if as_json:
        for chapter in chapters:
            _json_line(chapter.to_json())
    else:
        show.story(chapters)


@app.command()
def rules(
    recipe: RecipeFile,
    tries: Annotated[
        list[str], typer.Option("--try", metavar="RULE=LIMIT", help="Another limit, or `off`; may be given again.")
    ],
    samples: Annotated[int, typer.Option(min=0, help="Documents shown per source and direction.")] = 3,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Say what other limits would keep.

    From the signals that a run of the recipe has measured; nothing runs again. By source and language, with documents
    that would change sides. Name one source alone as `source:rule=limit`.

    Example: firn rules recipes/quickstart.yaml --try gopher.min_words=100 --try web:gopher.stop_words=off
    """
    from firn.cli import show
    from firn.run.rules_try import try_bounds

    trial = try_bounds(_recipe(recipe, None), tries, runs, samples=samples)
    if as_json:
        _json_line(trial.to_json())
    else:
        show.trial(trial)


@app.command("show-batch")
def show_batch(
    name: Run,
    step: Annotated[int, typer.Option(min=0, help="The training step, from 0.")] = 0,
    characters: Annotated[int, typer.Option(min=0, help="Length of the excerpts.")] = 160,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Show what a training step read.

    Documents, sources, URLs and excerpts.

    Example: firn show-batch quickstart --step 100
    """
    from firn.cli import show
    from firn.run.looking import batch

    rows = batch(name, step, runs, characters=characters)
    if as_json:
        for row in rows:
            _json_line(row.to_json())
    else:
        show.batch(rows, step)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="RUN", help="A run.", show_default=False)],
    second: Annotated[str, typer.Argument(metavar="RUN", help="Another.", show_default=False)],
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Put two runs side by side.

    What differs in their recipes, their funnels, their curves and results.

    Example: firn compare quickstart quickstart-wide
    """
    from firn.cli import show
    from firn.study.compare import compare as compare_runs

    comparison = compare_runs(first, second, runs)
    if as_json:
        _json_line(comparison.to_json())
    else:
        show.comparison(comparison)


@app.command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Take away what no run needs.

    Shards of changed recipes, and what killed processes left behind.

    Example: firn gc --dry-run
    """
    from firn.cli import show
    from firn.run.gc import collect

    for garbage in collect(runs, dry_run=dry_run):
        if as_json:
            _json_line(garbage.to_json())
        else:
            show.garbage(garbage, dry_run)


@app.command()
def report(name: Run, runs: Runs = RUNS) -> None:
    """Draw a run's page anew.

    From what the run has so far. Prints the path of the page.

    Example: firn report quickstart
    """
    from firn.run.pages import draw

    typer.echo(draw(name, runs))


@app.command()
def schema() -> None:
    """Print the JSON schema of recipes.

    For editors that complete and check YAML.

    Example: firn schema > firn.schema.json
    """
    from firn.run.recipe import schema as recipe_schema

    typer.echo(json.dumps(recipe_schema(), indent=2))


def _recipe(path: Path, overrides: Sequence[str] | None) -> Recipe:
    from firn.run.recipe import load

    return load(path, overrides or ())


def _json_line(value: Any) -> None:
    typer.echo(json.dumps(value, allow_nan=False))


from firn.cli import data, training  # noqa: E402, F401  their verbs take their places beside these


def main() -> None:
    """Entry point of `firn`: exit code 0, the error's own, 2 for wrong usage, 130 after Ctrl-C."""
    sys.exit(execute(sys.argv[1:]))


def execute(arguments: Sequence[str]) -> int:
    """Run the command line with these arguments; its exit code. Errors go to standard error as one block."""
    debug = "--debug" in arguments
    try:
        result = app(args=[word for word in arguments if word != "--debug"], prog_name="firn", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except FirnError as error:
        if debug:
            raise
        print(f"firn: {error}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        if debug:
            raise
        print("\nfirn: interrupted; run the same command to go on", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone. Python would complain once more while it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if show := getattr(error, "show", None):  # wrong usage; the class is typer's or click's, by version
            show()
            return int(getattr(error, "exit_code", 2))
        if debug:
            raise
        print(
            f"firn: this should not have happened: {type(error).__name__}: {error}\n"
            "  mend: run it again with --debug and report what it says; what is finished stays",
            file=sys.stderr,
        )
        return 1
