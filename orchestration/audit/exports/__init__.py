"""The lineage of an audit in the forms that other tools read. The ledger is the truth; these are copies of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, get_args

from data.errors import UserError
from orchestration.audit.document import AuditDocument
from orchestration.workspace import Workspace

Form = Literal["openlineage", "prov", "cyclonedx"]


def export(document: AuditDocument, form: str, out: Path | None, ws: Workspace, url: str | None = None) -> str | Path:
    """The document as OpenLineage events (one per line), PROV-JSON or a CycloneDX ML-BOM: the same bytes every time.

    Returns the file `out` once it is written, or else the text itself. Where `url` names an OpenLineage server the
    events are sent there too; without `out` the answer then only says how many. Raises UserError for an unknown form, a
    file that cannot be written, a server that is down.
    """
    if form not in get_args(Form):
        raise UserError(f"There is no export '{form}'.", f"Choose one of {', '.join(get_args(Form))}.")
    if url is not None and form != "openlineage":
        raise UserError(
            f"An export as {form} is sent to no server.", "Only OpenLineage has servers: leave out the URL."
        )
    text = _text(document, form, ws)
    answer = _written(out, text) if out is not None else text
    if url is None:
        return answer
    from orchestration.audit.exports.openlineage_server import send

    sent = send(text, url)
    return answer if out is not None else f"Sent {sent} events to {url}."


def _text(document: AuditDocument, form: str, ws: Workspace) -> str:
    if form == "openlineage":
        from orchestration.audit.exports.openlineage import event_lines

        return event_lines(document, ws)
    if form == "prov":
        from orchestration.audit.exports.prov import prov_json

        return prov_json(document)
    from orchestration.audit.exports.cyclonedx import bom_json

    return bom_json(document, ws)


def _written(out: Path, text: str) -> Path:
    """The file, whole or not at all."""
    fresh = out.with_name(f"{out.name}.{os.getpid()}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(out)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise UserError(f"{out} cannot be written: {error.strerror}.", "Name a file in a folder that exists.") from None
    return out
