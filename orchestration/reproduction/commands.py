"""`editloom reproduce`: the command, its table and its JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from orchestration.reproduction.result import AssetComparison, Reproduction

EXIT_DIVERGES = 1
DIGITS = 12


def reproduce(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="MODEL@ALIAS, MODEL/VERSION, asset[partition][@VERSION], or an entry's hash."
        ),
    ],
    asset_only: Annotated[bool, typer.Option("--asset-only", help="Take its inputs by hash; make it alone.")] = False,
    portable: Annotated[
        bool, typer.Option("--portable", help="Hold arithmetic to what every AVX2 processor does.")
    ] = False,
    keep: Annotated[
        Path | None, typer.Option(help="A new folder for the temporary workspace, which then stays.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the result.")] = None,
) -> None:
    """Make a recorded version again from its lineage, elsewhere, and compare it bit for bit.

    Exit status: 0 the same (or within tolerance on another class of device), 1 it diverges, 2 a mistake of yours.
    """
    from orchestration.reproduction.reproduce import Options
    from orchestration.reproduction.reproduce import reproduce as make_again
    from orchestration.workspace import Workspace

    console = Console(soft_wrap=True)
    found = make_again(Workspace.current(), target, Options(asset_only, portable, keep), console)
    if out is not None:
        out.write_text(json.dumps(found.document(), indent=1) + "\n", encoding="utf-8")
    show(found, console)
    raise typer.Exit(0 if found.reproduced else EXIT_DIVERGES)


def show(found: Reproduction, console: Console) -> None:
    """Each asset's verdict, the first that differs and why, and one sentence at the end."""
    table = Table(title=f"Reproduction of {escape(found.target)}", title_justify="left")
    for column in ("asset", "recorded", "made again", "verdict"):
        table.add_column(column, overflow="fold")
    for one in found.compared:
        again = one.version[:DIGITS] if one.version else "–"
        table.add_row(escape(one.key), one.recorded_version[:DIGITS], again, one.verdict)
    console.print(table)
    if found.first is not None:
        _show_first(found.first, console)
    for note in found.notes:
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False)
    console.print(_sentence(found), highlight=False, markup=False)


def _show_first(first: AssetComparison, console: Console) -> None:
    console.print(f"The first that differs is {escape(first.key)}:", highlight=False)
    for cause in first.causes:
        console.print(f"  because: {escape(cause)}", highlight=False)
    for file in first.files:
        within = "within tolerance" if file.within else "beyond tolerance"
        size = "" if file.max_abs is None else f" (at most {file.max_abs:.3g})"
        console.print(f"  {escape(file.file)}: {escape(file.what)}{size}, {within}", highlight=False)


def _sentence(found: Reproduction) -> str:
    count, seconds = len(found.compared), f"{found.seconds:.0f} s"
    assets = "1 asset" if count == 1 else f"{count} assets"
    if found.identical:
        return f"{found.target}: reproduced bit for bit, {assets} in {seconds}."
    if found.reproduced:
        return f"{found.target}: reproduced within the tolerance of another class of device, {assets} in {seconds}."
    return f"{found.target}: not reproduced; it diverges from {found.first.key if found.first else '-'} on."
