"""`editloom push` and `editloom pull`, for a person."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

Remote = Annotated[str | None, typer.Option(help="A remote of DVC's configuration; else its default one.")]
Targets = Annotated[
    list[str] | None, typer.Argument(metavar="[ASSET|ASSET@PARTITION …]", help="Payloads to bring; else all.")
]


def push(
    remote: Remote = None,
    all_commits: Annotated[
        bool, typer.Option("--all-commits", help="Send the payloads of every commit, not of this one alone.")
    ] = False,
) -> None:
    """Send payloads and the ledger to a remote."""
    from orchestration.remote.exchange import push as push_all
    from orchestration.workspace import Workspace

    done = push_all(Workspace.current(), remote, all_commits=all_commits)
    _say(f"{done.place}: payloads of {done.stages} stages are there, {done.entries} new ledger entries.")
    if done.uncommitted:
        _say("dvc.lock is not committed: a clone asks for the versions of the last commit. Commit it and push git too.")


def pull(targets: Targets = None, remote: Remote = None) -> None:
    """Bring the ledger, and the payloads of this commit, from a remote."""
    from orchestration.remote.exchange import pull as pull_all
    from orchestration.workspace import Workspace

    done = pull_all(Workspace.current(), targets or (), remote)
    _say(f"{done.place}: payloads of {done.stages} stages are here, {done.entries} new ledger entries.")
    for keyid in done.strangers:
        _say(f"A key that this checkout does not trust signed some: editloom keys trust ledger/keys/{keyid}.pem")


def _say(words: str) -> None:
    Console(soft_wrap=True, highlight=False).print(escape(words))
