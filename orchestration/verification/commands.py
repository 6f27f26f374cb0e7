"""`editloom verify`: whether everything is as the ledger says, and proofs of what is in an image set."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from orchestration.verification.finding import Finding

STYLES = {"intact": "green", "altered": "red", "purged": "cyan", "absent": "yellow", "untrusted": "magenta"}
# MLflow retries a server that is away for minutes; whoever verifies wants to hear it now.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


def verify(
    target: Annotated[
        str | None, typer.Argument(metavar="[TARGET]", help="A model, asset, version or image; else everything.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the findings as JSON; - for stdout.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Leave the tracking server out.")] = False,
    membership: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="Prove that this image (file or sha256) is in, or is not.")
    ] = None,
    of: Annotated[
        str | None, typer.Option(metavar="ASSET[@VERSION]", help="With --membership: which image set.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="With --membership: the file to write the proofs to.")] = None,
    proof: Annotated[Path | None, typer.Option(help="Check such a file of proofs; needs no workspace.")] = None,
    key: Annotated[Path | None, typer.Option(help="With --proof: a public key (PEM) to trust in this check.")] = None,
) -> None:
    """Recompute everything and hold it against the ledger: each thing is intact, altered, purged, absent or untrusted.

    Exit status: 0 all holds, 1 something does not, 2 a mistake of yours.
    """
    _refuse_mixtures(membership, of, out, proof, key)
    if proof is not None:
        raise typer.Exit(_check_proof(proof, key, json_file))
    if membership is not None:
        raise typer.Exit(_prove(membership, target, of, out, json_file))
    from orchestration.verification.verify import verify as verify_workspace
    from orchestration.workspace import Workspace

    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    found = verify_workspace(Workspace.current(), target, offline=offline)
    _tell(found.findings, found.record(), json_file, "What was verified")
    said = Console(stderr=_to_stdout(json_file), soft_wrap=True, highlight=False)
    for sentence in found.unreachable:
        said.print(f"[red]not checked:[/] {escape(sentence)}")
    for sentence in found.not_checked:
        said.print(f"[yellow]not checked:[/] {escape(sentence)}")
    said.print(f"{'Everything holds' if found.holds else '[red]It does not hold[/]'}: {escape(found.summary)}")
    raise typer.Exit(0 if found.holds else 1)


def _prove(image: str, target: str | None, of: str | None, out: Path | None, json_file: Path | None) -> int:
    from orchestration.verification.membership import prove_membership
    from orchestration.workspace import Workspace

    document = prove_membership(Workspace.current(), image, target, of)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(document.model_dump_json(indent=1) + "\n")
    return _checked(document, None, json_file)


def _check_proof(path: Path, key: Path | None, json_file: Path | None) -> int:
    from orchestration.verification.proof_file import read_proof

    return _checked(read_proof(path), key, json_file)


def _checked(document: Any, key: Path | None, json_file: Path | None) -> int:
    """Check proofs as a stranger would, from the file alone, and tell what they show."""
    from data.errors import UserError
    from orchestration.store.keys import public_key, trusted_keys
    from orchestration.verification.proof_file import check_proof_file
    from orchestration.workspace import Workspace

    try:
        root = Workspace.current().root
    except UserError:
        root = None
    trusted = dict(trusted_keys(root)) if root else {}
    if key is not None:
        if not key.is_file():
            raise UserError(f"There is no file {key}.", "Give a public key as PEM.")
        trusted.update([public_key(key.read_bytes(), str(key))])
    findings = check_proof_file(document, trusted, root)
    holds = not any(one.wrong for one in findings)
    record = {"holds": holds, "image": document.image, "sets": [
        {**one.record(), "present": proved.holds_image} for one, proved in zip(findings, document.sets, strict=True)
    ]}  # fmt: skip
    _tell(findings, record, json_file, f"Image {document.image}")
    return 0 if holds else 1


def _tell(findings: Sequence[Finding], record: Mapping[str, Any], json_file: Path | None, title: str) -> None:
    """The findings as a table, what is wrong at its end; or as JSON."""
    if json_file is not None:
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        if _to_stdout(json_file):
            typer.echo(text, nl=False)
            return
        json_file.write_text(text, encoding="utf-8")
    table = Table(title=title, title_justify="left")
    for column in ("state", "what", "detail"):
        table.add_column(column, overflow="fold")
    for one in sorted(findings, key=lambda one: (one.wrong, one.state != "intact")):
        table.add_row(f"[{STYLES[one.state]}]{one.state}[/]", escape(one.thing), escape(one.detail))
    Console().print(table)


def _to_stdout(json_file: Path | None) -> bool:
    return str(json_file) == "-"


def _refuse_mixtures(
    membership: str | None, of: str | None, out: Path | None, proof: Path | None, key: Path | None
) -> None:
    from data.errors import UserError

    if membership is None and (of or out):
        raise UserError("--of and --out go with --membership IMAGE.", "Name the image that is asked about.")
    if proof is None and key:
        raise UserError("--key goes with --proof FILE.", "Elsewhere the keys that this checkout trusts count.")
    if proof is not None and membership is not None:
        raise UserError("--proof and --membership are two commands.", "First write the proofs, then check them.")
