"""The verbs about training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from firn.cli.main import RUNS, Json, Overrides, Quiet, RecipeFile, Run, Runs, Workers, _json_line, _recipe, app


@app.command("verify-resume")
def verify_resume(
    recipe: RecipeFile,
    overrides: Overrides = None,
    steps: Annotated[int, typer.Option(min=2, help="Steps to take.")] = 20,
    runs: Runs = RUNS,
    workers: Workers = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Prove that a killed training ends in the same bits.

    Takes some steps of the recipe's training twice, in a temporary folder: in one go, and killed half-way and started
    again. Compares weights, optimizer state and losses; the exit code is 1 where they differ.

    Example: firn verify-resume recipes/quickstart.yaml --steps 20
    """
    from firn.run.verify import verify_resume as verify

    found = verify(_recipe(recipe, overrides), runs, steps=steps, workers=workers, quiet=quiet or as_json)
    if as_json:
        _json_line(found.to_json())
    elif not quiet:
        about = f"{found.runtime['device']}, {found.runtime['precision']}"
        typer.echo(f"{found.steps} steps in one go, and killed after {found.killed} and started again ({about})")
        for name, (whole, cut) in found.hashes.items():
            typer.echo(f"{name:<10}  {whole}  {'the same' if whole == cut else f'is {cut} where it was killed'}")
        losses = "the same" if found.first_step is None else f"differ, first at step {found.first_step}"
        typer.echo(f"{'losses':<10}  {losses}")
        if found.tensors:
            more = f" and {len(found.tensors) - 5} more" if len(found.tensors) > 5 else ""
            typer.echo(f"{'differing':<10}  {', '.join(found.tensors[:5])}{more}")
        typer.echo("resuming is bitwise" if found.same else "resuming is NOT bitwise")
    if not found.same:
        raise typer.Exit(1)


@app.command()
def export(
    name: Run,
    to: Annotated[
        str, typer.Option("--to", metavar="FORMAT", help="hf: transformers, vLLM. gguf: llama.cpp, one file.")
    ] = "hf",
    dtype: Annotated[
        str | None, typer.Option(metavar="TYPE", help="fp32, bf16 or fp16.", show_default="bf16; of gguf fp16")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A new folder.", show_default="export-... in the run's folder")
    ] = None,
    runs: Runs = RUNS,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a run's model for other programs.

    A Hugging Face folder in 16 bits, or a GGUF file, with tokenizer and model card. The run keeps its own in fp32.

    Example: firn export quickstart --to gguf --out quickstart-gguf
    """
    from firn.run.model_export import export_model
    from firn.serve.numbers import size

    found = export_model(name, runs, to=to, dtype=dtype, out=out)
    if as_json:
        _json_line(found.to_json())
    elif not quiet:
        for file, count in found.files.items():
            typer.echo(f"{size(count):>8}  {found.folder}/{file}")
