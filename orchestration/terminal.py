"""How wide what is printed may be: as the terminal, and never folded where a program reads it."""

from __future__ import annotations

from rich.console import Console

PIPED_COLUMNS = 200


def unfolded(console: Console) -> Console:
    """The console itself on a terminal; elsewhere one that is wide enough for a table's rows to stay on their lines."""
    if console.is_terminal:
        return console
    return Console(file=console.file, width=max(console.width, PIPED_COLUMNS))
