"""`editloom keys …`: the key that signs, and the keys that this checkout trusts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def init() -> None:
    """Make the workspace's signing key, unless it has one."""
    from orchestration.store.keys import create
    from orchestration.workspace import Workspace

    key, fresh = create(Workspace.current().root)
    where = key.path or "the environment"
    Console(soft_wrap=True).print(
        f"{'Made' if fresh else 'There is'} the signing key {key.keyid[:12]} ({where}).", highlight=False
    )


def trust(
    file: Annotated[Path, typer.Argument(metavar="PUBLIC.pem", help="A public key, such as ledger/keys/….pem.")],
) -> None:
    """Trust what another key signed, from now on and in this checkout."""
    from data.errors import UserError
    from orchestration.store.keys import trust as trust_key
    from orchestration.workspace import Workspace

    if not file.is_file():
        raise UserError(f"There is no file {file}.", "Give a public key as PEM, such as one of ledger/keys/.")
    keyid = trust_key(Workspace.current().root, file.read_bytes())
    Console().print(f"Signatures of {keyid} are trusted in this checkout.", highlight=False)


def list_keys() -> None:
    """The keys that are trusted here, and those that came with the ledger."""
    from orchestration.store.keys import distributed_keys, trusted_keys
    from orchestration.workspace import Workspace

    root = Workspace.current().root
    trusted, came = trusted_keys(root), distributed_keys(root)
    table = Table(title="Keys", title_justify="left")
    for column in ("key", "trusted here", "came with the ledger"):
        table.add_column(column, overflow="fold")
    for keyid in sorted({*trusted, *came}):
        table.add_row(keyid, "yes" if keyid in trusted else "no", "yes" if keyid in came else "no")
    Console().print(table)


HELP = "The signing key of this workspace, and the keys that it trusts."
COMMANDS: Mapping[str, Callable[..., None]] = {
    "init": init,
    "trust": trust,
    "list": list_keys,
}
