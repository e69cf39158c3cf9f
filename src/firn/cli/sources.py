"""`firn sources`: what the collections have that documents are read from."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer(
    help="Say what there is to read.\n\nExample: firn sources commoncrawl list",
    no_args_is_help=True,
    rich_markup_mode=None,
)
commoncrawl = typer.Typer(
    help="Common Crawl.\n\nExample: firn sources commoncrawl list", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(commoncrawl, name="commoncrawl")


@commoncrawl.command("list")
def list_crawls(
    base: Annotated[
        str | None, typer.Option("--base", help="URL or folder of another copy.", show_default="Common Crawl's own")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")] = False,
) -> None:
    """List the crawls, the newest first.

    The first column is what a recipe names: `crawl: CC-MAIN-2024-22`.

    Example: firn sources commoncrawl list
    """
    from firn.data.sources.crawls import BASE, Archive

    for crawl in Archive(base or BASE).crawls():
        if as_json:
            typer.echo(json.dumps(crawl.to_json()))
        else:
            days = f"{crawl.begin} to {crawl.end or 'today'}" if crawl.begin else ""
            typer.echo(f"{crawl.id:<18} {crawl.name:<36} {days}".rstrip())
