"""`editloom release …`: what was decided about models, and what a person may decide."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A registered model, such as attribute_editor-smile.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the ledger.")]


def list_models() -> None:
    """Each model: its champion, previous and candidate, the last decision, and aliases moved behind its back."""
    from orchestration.release.view import model_views
    from orchestration.workspace import Workspace

    console, views = Console(), model_views(Workspace.current())
    table = Table(title="Releases", title_justify="left")
    for column in ("model", "champion", "previous", "candidate", "last decision"):
        table.add_column(column, overflow="fold")
    for view in views:
        aliases = (view.aliases.get(alias, "–") for alias in ("champion", "previous", "candidate"))
        table.add_row(view.model, *aliases, escape(view.decided))
    console.print(table)
    _warn(console, (sentence for view in views for sentence in view.moved))


def show(model: Model) -> None:
    """One model's versions, aliases and decisions, newest first."""
    from orchestration.release.view import decision_rows, model_view
    from orchestration.workspace import Workspace

    ws, console = Workspace.current(), Console()
    view = model_view(ws, model)
    names = ", ".join(f"{alias} → version {version}" for alias, version in sorted(view.aliases.items())) or "no alias"
    console.print(f"{model}: versions {', '.join(view.versions) or '–'}; {names}.", highlight=False)
    table = Table(title="Decisions", title_justify="left")
    for column in ("when", "version", "outcome", "who", "what"):
        table.add_column(column, overflow="fold")
    for row in decision_rows(ws, model):
        table.add_row(*map(escape, row))
    console.print(table)
    _warn(console, view.moved)


def approve(
    model: Model,
    by: Annotated[str, typer.Option(help="Who approves; it stands in the ledger.")],
    reason: Reason,
) -> None:
    """Make the version that awaits approval the champion, where the policy asks for a person."""
    from orchestration.release.approval import approve as approve_version
    from orchestration.tracking import open_tracker
    from orchestration.workspace import Workspace

    ws = Workspace.current()
    decided = approve_version(ws, open_tracker(ws), model, by, reason)
    Console().print(f"{model}: {decided.decision.sentence}.", highlight=False, markup=False)


def rollback(
    model: Model, reason: Reason = "", by: Annotated[str, typer.Option(help="Who; else the user's name.")] = ""
) -> None:
    """Make the previous champion the champion again."""
    from orchestration.release.approval import roll_back
    from orchestration.tracking import open_tracker
    from orchestration.workspace import Workspace

    ws = Workspace.current()
    decided = roll_back(ws, open_tracker(ws), model, by or getpass.getuser(), reason)
    Console().print(f"{model}: {decided.decision.sentence}.", highlight=False, markup=False)


def restore(model: Model) -> None:
    """Put `champion` and `previous` back to where the last decision has them."""
    from orchestration.release.aliases import restore as put_back
    from orchestration.release.view import model_view
    from orchestration.tracking import open_tracker
    from orchestration.workspace import Workspace

    ws, console = Workspace.current(), Console()
    model_view(ws, model)
    found = put_back(ws, open_tracker(ws), model)
    for sentence in found:
        console.print(f"put back: {sentence}", highlight=False, markup=False)
    if not found:
        console.print(f"{model}: the aliases are where the last decision put them.", highlight=False)


def bundle(
    version: Annotated[str, typer.Argument(metavar="MODEL@ALIAS|MODEL/VERSION", help="Which released version.")],
    out: Annotated[Path, typer.Option(help="The file to write, ending in .zip.")],
    prove: Annotated[
        list[str] | None, typer.Option(help="sha256 of an image, to prove in or out of each data set; several times.")
    ] = None,
) -> None:
    """Write a version with its signature, card, lineage, proofs and a verifier that needs only Python."""
    from orchestration.signing.bundle import write_bundle
    from orchestration.workspace import Workspace

    facts = write_bundle(Workspace.current(), version, out, prove or ())
    Console().print(
        f"Wrote {out}: {facts.model.name} version {facts.model.version}, {facts.entries} entries of the ledger, "
        f"{facts.datasets} data sets, {facts.proofs} proofs about images. Whoever unpacks it checks it with: "
        "python verify.py --key PUBLIC.pem",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip


def _warn(console: Console, sentences: Iterator[str] | tuple[str, ...]) -> None:
    for sentence in sentences:
        console.print(f"[yellow]warning:[/] {escape(sentence)}.", highlight=False)


HELP = "Versions, aliases and decisions of registered models."
COMMANDS: Mapping[str, Callable[..., None]] = {
    "list": list_models,
    "show": show,
    "approve": approve,
    "rollback": rollback,
    "restore": restore,
    "bundle": bundle,
}
