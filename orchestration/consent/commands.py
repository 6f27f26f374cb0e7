"""`editloom consent …`: withdraw and grant, what follows from it, purge, and signed receipts."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from orchestration.consent.naming import Named
    from orchestration.store.ledger import LedgerEntry
    from orchestration.workspace import Workspace

Image = Annotated[
    str | None, typer.Option("--image", metavar="SHA|FILE", help="An image: a file, or the sha256 of it or its crop.")
]
Subject = Annotated[str | None, typer.Option("--subject", metavar="NAME", help="A person: all of their images.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the ledger.")]
By = Annotated[str, typer.Option(help="Who says so; else the user's name.")]
Retrain = Annotated[bool, typer.Option("--retrain", help="Run the graph afterwards: what is untouched is reused.")]


def withdraw(
    reason: Reason, image: Image = None, subject: Subject = None, by: By = "", retrain: Retrain = False
) -> None:
    """Withdraw consent: what descends from it is listed, and loses its place as champion."""
    from orchestration.consent.changes import change_one
    from orchestration.consent.naming import named
    from orchestration.workspace import Workspace

    ws, console = Workspace.current(), Console()
    known = named(ws, image, subject)
    written = change_one(ws, known, "withdrawn", reason, by or getpass.getuser())
    said = f"recorded as entry {written[0].seq}" if written else "it was withdrawn before"
    console.print(f"Consent to {known.text}: withdrawn, {said}.", highlight=False, markup=False)
    _consequences(ws, console, [known])
    code = _retrain(ws, console, retrain)
    _receipt(ws, console, known)
    raise typer.Exit(code)


def grant(reason: Reason, image: Image = None, subject: Subject = None, by: By = "", retrain: Retrain = False) -> None:
    """Lift a withdrawal of this very image or subject."""
    from orchestration.consent.changes import change_one
    from orchestration.consent.naming import named
    from orchestration.consent.registry import consent_states
    from orchestration.workspace import Workspace

    ws, console = Workspace.current(), Console()
    known = named(ws, image, subject)
    written = change_one(ws, known, "granted", reason, by or getpass.getuser())
    said = f"recorded as entry {written[0].seq}" if written else "it was granted before"
    console.print(f"Consent to {known.text}: granted, {said}.", highlight=False, markup=False)
    subjects = {holding.subject for holding in known.holdings}
    for state in consent_states(ws.root).withdrawals(known.hashes, subjects):
        still = f"It stays withheld: {state.change.is_of} is withdrawn (entry {state.entry.seq})."
        console.print(still, highlight=False, markup=False)
    raise typer.Exit(_retrain(ws, console, retrain))


def import_file(
    file: Annotated[Path, typer.Argument(metavar="CSV", help="Columns: image or subject, state, reason, time, by.")],
    retrain: Retrain = False,
) -> None:
    """Take changes of consent from a CSV file, all of them or none."""
    from orchestration.consent.changes import import_changes
    from orchestration.workspace import Workspace

    ws, console = Workspace.current(), Console()
    written = import_changes(ws, file)
    console.print(f"{len(written)} changes of consent were recorded.", highlight=False)
    withdrawn = _withdrawn(ws, written)
    if withdrawn:
        _consequences(ws, console, withdrawn)
    code = _retrain(ws, console, retrain and bool(written))
    for known in withdrawn:
        _receipt(ws, console, known)
    raise typer.Exit(code)


def list_states() -> None:
    """Every image and subject whose consent ever changed, and what holds now."""
    from orchestration.consent.listing import states_table
    from orchestration.consent.registry import consent_states
    from orchestration.workspace import Workspace

    states = consent_states(Workspace.current().root)
    unique = {state.entry.seq: state for state in (*states.images.values(), *states.subjects.values())}
    Console().print(states_table(unique[seq] for seq in sorted(unique)))


def purge(
    reason: Reason,
    image: Image = None,
    subject: Subject = None,
    by: By = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
) -> None:
    """Remove a withdrawn image's bytes everywhere; its digests stay in the ledger."""
    from orchestration.consent.naming import named
    from orchestration.consent.purge import plan_purge, purge_now
    from orchestration.workspace import Workspace

    ws, console = Workspace.current(), Console(soft_wrap=True)
    known, who = named(ws, image, subject), by or getpass.getuser()
    if dry_run:
        plan = plan_purge(ws, known, reason, who)
        for one in plan.removed:
            console.print(f"{one.where}: {one.path}{f' ({one.row})' if one.row else ''}", highlight=False, markup=False)
        console.print(plan.sentence("would be removed"), highlight=False, markup=False)
        return
    done = purge_now(ws, known, reason, who, console)
    console.print(done.sentence("were removed"), highlight=False, markup=False)
    _receipt(ws, console, known)


def receipt(
    image: Image = None,
    subject: Subject = None,
    out: Annotated[Path | None, typer.Option(help="The file to write; else .editloom/receipts/.")] = None,
) -> None:
    """Write a signed receipt: what was withdrawn, when, what descends from it, what was done."""
    from orchestration.consent.naming import named
    from orchestration.consent.receipts import receipt_document, write_receipt
    from orchestration.workspace import Workspace

    ws, console = Workspace.current(), Console(soft_wrap=True)
    known = named(ws, image, subject)
    for sentence in receipt_document(ws, known)["sentences"]:
        console.print(sentence, highlight=False, markup=False)
    console.print(f"Receipt: {write_receipt(ws, known, out)}", highlight=False, markup=False)


def _consequences(ws: Workspace, console: Console, known: Sequence[Named]) -> None:
    """List what descends from the images, then take the aliases from it."""
    from orchestration.consent.demotion import demote_tainted
    from orchestration.consent.listing import tainted_table
    from orchestration.consent.taint import taint_of

    found = taint_of(ws, (holding for one in known for holding in one.holdings))
    console.print(tainted_table(found.reached) if found.reached else "Nothing here descends from it.")
    for one in demote_tainted(ws, lambda said: console.print(f"[yellow]warning:[/] {escape(said)}.", highlight=False)):
        console.print(f"{one.decision.model}: {one.decision.sentence}.", highlight=False, markup=False)


def _retrain(ws: Workspace, console: Console, wanted: bool) -> int:
    """Run the graph if that is wanted, else say the command; returns the exit status."""
    if not wanted:
        console.print("`editloom run` makes what it touches again; the rest is reused.", highlight=False)
        return 0
    from orchestration.run import run
    from orchestration.summary import show

    result = run(ws, None, None, console)
    show(ws, result, console)
    return result.exit_code


def _receipt(ws: Workspace, console: Console, known: Named) -> None:
    from orchestration.consent.receipts import write_receipt

    console.print(f"Receipt: {write_receipt(ws, known)}", highlight=False, markup=False, soft_wrap=True)


def _withdrawn(ws: Workspace, written: Sequence[LedgerEntry]) -> list[Named]:
    from orchestration.consent.naming import named_images, named_subject
    from orchestration.consent.registry import ConsentChange

    changes = [ConsentChange.model_validate(entry.body) for entry in written]
    gone = [change for change in changes if change.state == "withdrawn"]
    images = named_images(ws, [change.images[0] for change in gone if change.subject is None])
    return [*images, *(named_subject(ws, change.subject) for change in gone if change.subject is not None)]


HELP = "Consent to images: withdrawals, what descends from them, receipts."
COMMANDS: Mapping[str, Callable[..., None]] = {
    "withdraw": withdraw,
    "grant": grant,
    "import": import_file,
    "list": list_states,
    "purge": purge,
    "receipt": receipt,
}
