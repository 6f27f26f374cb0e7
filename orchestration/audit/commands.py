"""`editloom audit` and `editloom why`: where something came from, where it went, and why it was made."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from data.errors import UserError

if TYPE_CHECKING:
    from orchestration.audit.document import AuditDocument
    from orchestration.workspace import Workspace

STDOUT = Path("-")

TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="MODEL@ALIAS, MODEL/VERSION, an asset (attribute_editor[beard]), asset@VERSION, a data version, "
        "a DVC md5, a Dagster or MLflow run, an image file, an image's sha256, or subject:NAME. "
        "Digests may be cut to 6 digits.",
    ),
]


def audit(
    target: TargetArgument,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the audit as JSON; `-` prints it.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the audit as one HTML page.")] = None,
    upstream: Annotated[bool, typer.Option("--upstream", help="Show only what it was made from.")] = False,
    downstream: Annotated[bool, typer.Option("--downstream", help="Show only what was made from it.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Show the settings of each version.")] = False,
    exposure: Annotated[
        bool, typer.Option("--exposure", help="Of an image: in which iterations of which training it was drawn.")
    ] = False,
    export: Annotated[str | None, typer.Option(help="Export as openlineage, prov or cyclonedx.")] = None,
    out: Annotated[Path | None, typer.Option(help="The export's file; else it is printed.")] = None,
    url: Annotated[str | None, typer.Option(help="An OpenLineage server that the events are sent to.")] = None,
) -> None:
    """Show everything behind a target and everything made from it."""
    from orchestration.audit.document import build_audit
    from orchestration.audit.targets import resolve_target
    from orchestration.workspace import Workspace

    if export is None and (out is not None or url is not None):
        raise UserError("--out and --url belong to an export.", "Add --export openlineage, prov or cyclonedx.")
    ws = Workspace.current()
    document = build_audit(ws, resolve_target(ws, target))
    if exposure:
        _show_exposure(ws, document)
    elif export is not None:
        _export(ws, document, export, out, url)
    elif json_file is not None or html is not None:
        _write(ws, document, json_file, html)
    else:
        from orchestration.audit.tree import Shown, show_audit

        show_audit(document, Console(), Shown(upstream or not downstream, downstream or not upstream, full))


def why(
    asset: Annotated[str, typer.Argument(help="An asset, such as original_network or feature_network[beard].")],
    partition: Annotated[str | None, typer.Option(help="Attribute, for a partitioned asset.")] = None,
) -> None:
    """What changed when an asset was last made, and what has changed since."""
    from orchestration.audit.why import show_why
    from orchestration.audit.why import why as ask
    from orchestration.graph import AssetId
    from orchestration.workspace import Workspace

    named = AssetId.parse(asset)
    show_why(ask(Workspace.current(), AssetId(named.asset, partition or named.partition)), Console())


def _write(ws: Workspace, document: AuditDocument, json_file: Path | None, html: Path | None) -> None:
    if html is not None:
        from orchestration.audit.page import write_page

        write_page(ws, document, html)
        Console(stderr=True).print(f"Wrote {html}.", markup=False, highlight=False, soft_wrap=True)
    if json_file is None:
        return
    from orchestration.audit.document import audit_json

    text = json.dumps(audit_json(document), indent=1) + "\n"
    if json_file == STDOUT:
        sys.stdout.write(text)
        return
    try:
        json_file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{json_file} cannot be written: {error.strerror}.", "Name another file.") from None
    Console(stderr=True).print(f"Wrote {json_file}.", markup=False, highlight=False, soft_wrap=True)


def _show_exposure(ws: Workspace, document: AuditDocument) -> None:
    from orchestration.audit.exposure import exposure, exposure_lines

    if document.target.kind != "image":
        raise UserError(
            f"{document.target.text} is no image: --exposure says in which iterations an image was drawn.",
            "Name an image file, an image's sha256 or subject:NAME.",
        )
    for line in exposure_lines(exposure(ws, document.images, document.target.image)):
        Console(soft_wrap=True).print(Text(line))


def _export(ws: Workspace, document: AuditDocument, form: str, out: Path | None, url: str | None) -> None:
    from orchestration.audit.exports import export

    written = export(document, form, out, ws, url)
    if isinstance(written, Path):
        Console().print(f"Wrote {written}.", markup=False, highlight=False, soft_wrap=True)
    else:
        sys.stdout.write(written if written.endswith("\n") else written + "\n")
