"""`firn quality`: train a model that says how good a text is, and find out what it is worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from firn.data.quality.report import Report

app = typer.Typer(
    help="Train and evaluate models of quality, for the key `quality` of recipes.\n\n"
    "Example: firn quality train --positive textbooks/ --negative 'crawl/*.jsonl.gz' --out quality.safetensors",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_FILES = "JSON lines, Parquet, text or Markdown: a file, a folder or a pattern; may be given again."
Text = Annotated[str, typer.Option(metavar="FIELD", help="Field of the text in JSON lines and Parquet.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def train(
    positive: Annotated[list[str], typer.Option(metavar="PATH", help=f"Good documents. {_FILES}", show_default=False)],
    negative: Annotated[
        list[str], typer.Option(metavar="PATH", help="The others, of the same kinds.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the model is written.", show_default=False)],
    text: Text = "text",
    ngrams: Annotated[int, typer.Option(min=1, max=2, help="Words of the longest n-gram.")] = 2,
    bits: Annotated[int, typer.Option(min=10, max=24, help="The model has 2^bits weights of 4 bytes.")] = 20,
    epochs: Annotated[int, typer.Option(min=1, max=100, help="Passes over the documents.")] = 5,
    documents: Annotated[int, typer.Option(min=100, help="Most documents of each set; all are read.")] = 100_000,
    seed: Annotated[int, typer.Option(min=0, help="Another seed learns in another order.")] = 0,
    as_json: Json = False,
) -> None:
    """Train a linear model that tells good documents from others.

    A fifth of the groups (hosts, books, documents) is held out: half of it calibrates the scores, the other half is
    reported on.

    Example: firn quality train --positive wiki/ --positive books/ --negative 'crawl/*.jsonl.gz' --out q.safetensors
    """
    from firn.data.quality.settings import TrainingSettings
    from firn.data.quality.train import train as train_model

    about = {"ngrams": ngrams, "bits": bits, "epochs": epochs, "documents": documents, "seed": seed}
    trained = train_model(positive, negative, TrainingSettings.model_validate(about), text)
    trained.model.save(out)
    _print(trained.report, as_json)
    if not as_json:
        counts = trained.model.trained["documents"]
        both = f", {counts['in both']:,} texts left out that are in both" if counts["in both"] else ""
        typer.echo(f"\nlearned   {counts['learned']:,} of {counts['positive']:,} and {counts['negative']:,}{both}")
        typer.echo(f"model     {out}\nuse       quality: {{file: {out}, keep: 0.1}}")


@app.command()
def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A trained file, or a Hugging Face folder.", show_default=False)
    ],
    positive: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help=f"Good documents. {_FILES}", show_default=False)
    ] = None,
    negative: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="The others, of the same kinds.", show_default=False)
    ] = None,
    labelled: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="Rows that say what they are.", show_default=False)
    ] = None,
    label: Annotated[str, typer.Option(metavar="FIELD", help="Field of labelled rows that says it.")] = "label",
    good: Annotated[str, typer.Option(metavar="VALUE", help="What it says of good documents.")] = "1",
    text: Text = "text",
    output: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Label of a classifier that is the score.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Say how well a model's scores tell good documents from others.

    AUC, precision where 5, 10, 20 and 50 % are kept, and calibration.

    Example: firn quality evaluate quality.safetensors --labelled judged.jsonl --label label --good 1
    """
    from firn.data.quality.evaluate import evaluate as evaluate_model
    from firn.data.quality.settings import ClassifierSettings

    found = evaluate_model(
        model,
        positive=positive or (),
        negative=negative or (),
        labelled=labelled or (),
        label=label,
        good=good,
        text=text,
        classifier=ClassifierSettings(label=output),
    )
    _print(found, as_json)


def _print(report: Report, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report.to_json(), allow_nan=False))
        return
    from firn.cli.tables import console, grid

    out = console()
    out.print(f"{report.documents:,} documents, {report.good:,} of them good; AUC {report.auc:.3f}")
    table = grid("\nWhere a share is kept", ">share", ">score from", ">precision", ">recall")
    for kept in report.kept:
        table.add_row(f"{kept.share:.0%}", f"{kept.at_least:.4g}", f"{kept.precision:.3f}", f"{kept.recall:.3f}")
    out.print(table)
    if report.calibration_error is not None:
        table = grid(f"\nCalibration: error {report.calibration_error:.3f}", "scores", ">documents", ">score", ">good")
        for bin in report.bins:
            row = f"{bin.low:.1f} to {bin.high:.1f}", f"{bin.documents:,}", f"{bin.score:.3f}", f"{bin.good:.3f}"
            table.add_row(*row)
        out.print(table)
