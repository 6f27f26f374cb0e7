"""`editloom track …`: what was told to MLflow and did not arrive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import typer
from rich.console import Console


def replay(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what waits.")] = False,
) -> None:
    """Send what waits in the spool, with its original times; a server that is away exits with 2."""
    from data.errors import UserError
    from orchestration.tracking.replay import Replayed, replay, tell, unsent
    from orchestration.workspace import Workspace

    ws, console = Workspace.current(), Console()
    found = unsent(ws) if dry_run else replay(ws)
    tell(found, console)
    if found == Replayed():
        console.print("Nothing waits: MLflow has all that it was told.", highlight=False)
    if found.away:
        raise UserError(found.away, "Nothing is lost; the same command sends it when the server is back.")


HELP = "What was told to MLflow while its server was away."
COMMANDS: Mapping[str, Callable[..., None]] = {"replay": replay}
