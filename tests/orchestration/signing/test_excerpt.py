"""What of the ledger goes into a bundle: a change of consent that concerns it does, another's does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from data.errors import UserError
from data.manifest import read_manifest
from orchestration.signing.excerpt import excerpt_of
from orchestration.signing.registration import registrations
from orchestration.store import database, ledger
from orchestration.tracking.registry import ModelVersion
from orchestration.workspace import Workspace
from tests.orchestration.signing.released import model_name


def version(ws: Workspace, number: str = "1") -> ModelVersion:
    """The released version, from the ledger alone."""
    ((_, known),) = registrations(ws.root, model_name(ws))
    return ModelVersion(known.model, number, "", known.mlflow_run, {})


def withdraw(ws: Workspace, image: str | None, subject: str | None) -> int:
    """An entry about a consent; returns its number."""
    body = {"state": "withdrawn", "images": [image] if image else [], "subject": subject, "reason": "r", "by": "Ada"}
    with database.writing(ws.root) as connection:
        return ledger.append(ws.root, connection, ledger.CONSENT, str(image or subject), body).seq


def test_only_consents_about_images_of_the_lineage_are_shown(finished: Workspace, tmp_path: Path) -> None:
    shutil.copytree(finished.root, tmp_path / "workspace", symlinks=True)
    ws = Workspace.at(tmp_path / "workspace")
    rows = read_manifest(ws.payload("images"))
    shown = {withdraw(ws, str(rows["sha256"][0]), None), withdraw(ws, None, str(rows["subject"][5]))}
    withdraw(ws, "ff" * 32, None)
    withdraw(ws, None, "renderer:1")
    assert {entry.seq for entry in excerpt_of(ws, version(ws)).entries if entry.kind == ledger.CONSENT} == shown


def test_version_that_this_ledger_did_not_register_is_told(finished: Workspace) -> None:
    with pytest.raises(UserError, match="knows nothing of the registration") as told:
        excerpt_of(finished, version(finished, "7"))
    assert "editloom pull" in told.value.hint
