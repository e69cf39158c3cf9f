"""What all that the verbs print has in common."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table


def console() -> Console:
    """Standard output; wide where it is no terminal, so that tables in files are whole."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=120)


def grid(title: str, *columns: str) -> Table:
    """A plain table; columns whose name begins with > are numbers."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        right = column.startswith(">")
        made.add_column(column.removeprefix(">"), justify="right" if right else "left", header_style="dim")
    return made
