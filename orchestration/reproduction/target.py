"""Which single materialization is to be made again."""

from __future__ import annotations

from data.errors import UserError
from orchestration.audit.targets import resolve_target
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import Workspace

HINT = (
    "Name a model (MODEL@ALIAS, MODEL/VERSION), an asset such as attribute_editor[beard], or a digest of one version."
)


def target_entry(ws: Workspace, text: str) -> LedgerEntry:
    """The materialization that `text` means; a model stands for the release that registered it.

    Raises UserError as `resolve_target` does, and for what was not made, such as a photograph, or is several things.
    """
    target = resolve_target(ws, text)
    if target.kind == "image":
        raise UserError(f"{text} is an image: it was not made by an asset.", HINT)
    if len(target.entries) != 1:
        made = ", ".join(entry.subject for entry in target.entries)
        raise UserError(f"{text} made several things: {made}.", HINT)
    return target.entries[0]
