"""Registered models are signed, and what is not as it was signed is neither used nor exported."""

from __future__ import annotations

import hashlib
import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from data.errors import UserError
from orchestration.edit import EditOptions, edit_with_release
from orchestration.export import export_release
from orchestration.signing.model_signature import SIGNATURE_FILE, check_folder, signed_head
from orchestration.signing.registration import registrations
from orchestration.store import chain, ledger
from orchestration.store.keys import signing_key, trust, trusted_keys
from orchestration.store.ledger import Head
from orchestration.tracking import TrackedRun, open_tracker
from orchestration.tracking.registry import CANDIDATE, resolve
from orchestration.workspace import Workspace
from tests.orchestration.signing.released import ATTRIBUTE, RELEASE, flip, model_name, registered, release, tell


@pytest.fixture(scope="module")
def ws(empty_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One for all: each test makes a release of its own, which is the candidate then."""
    root = tmp_path_factory.mktemp("signing") / "workspace"
    shutil.copytree(empty_workspace, root, symlinks=True)
    return Workspace.at(root)


def edited(ws: Workspace, folder: Path, *, allow_unsigned: bool = False) -> str:
    """Edit a crop; returns what the terminal said."""
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(folder / "in.png")
    said, options = StringIO(), EditOptions(aligned=True, allow_unsigned=allow_unsigned)
    console = Console(file=said, width=300)
    edit_with_release(ws, ATTRIBUTE, folder / "in.png", folder / "out.png", options, console)
    return said.getvalue()


def version_of(ws: Workspace) -> str:
    """The candidate's."""
    found = resolve(open_tracker(ws), model_name(ws), CANDIDATE)
    assert found is not None
    return found.version


def test_release_is_signed_with_its_place_in_the_ledger(finished: Workspace) -> None:
    """On a workspace in which `editloom run` did it."""
    tracker, name = open_tracker(finished), model_name(finished)
    entry = ledger.last_entry(finished.root, RELEASE.asset, ATTRIBUTE)
    ((told, known),) = registrations(finished.root, name)
    assert entry is not None and told.seq > entry.seq
    files = Path(tracker.client.download_artifacts(known.mlflow_run, "model"))
    assert check_folder(files, trusted_keys(finished.root)).condition == "intact"
    assert signed_head(files) == Head(entry.seq, entry.entry_hash)
    assert {path.name for path in files.iterdir()} == {*known.files, SIGNATURE_FILE}
    assert known.signature == hashlib.sha256((files / SIGNATURE_FILE).read_bytes()).hexdigest()
    assert (known.release, known.mlflow_run) == (entry.entry_hash, entry.materialization.mlflow_run)
    assert known.keyid == signing_key(finished.root).keyid


def test_registration_told_twice_is_one_version_and_one_entry(ws: Workspace) -> None:
    entry, run = release(ws)
    signature = (registered(ws, run) / SIGNATURE_FILE).read_bytes()
    version = version_of(ws)
    assert tell(ws, entry, run) == version == version_of(ws)
    (known,) = (one for _, one in registrations(ws.root, model_name(ws)) if one.mlflow_run == run.run_id)
    assert (registered(ws, run) / SIGNATURE_FILE).read_bytes() == signature
    assert known.signature == hashlib.sha256(signature).hexdigest()
    assert chain.verify_chain(ws.root) == []


def test_registration_that_died_before_the_ledger_records_what_the_server_has(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("orchestration.signing.registration.record", dies)
        with pytest.raises(KeyboardInterrupt):
            release(ws)
    entry, tracker = ledger.last_entry(ws.root, RELEASE.asset, ATTRIBUTE), open_tracker(ws)
    assert entry is not None
    run = TrackedRun(tracker.client, str(entry.materialization.mlflow_run))
    assert all(one.mlflow_run != run.run_id for _, one in registrations(ws.root, model_name(ws)))
    version = version_of(ws)
    assert tell(ws, entry, run) == version == version_of(ws)
    (known,) = (one for _, one in registrations(ws.root, model_name(ws)) if one.mlflow_run == run.run_id)
    signature = (registered(ws, run) / SIGNATURE_FILE).read_bytes()
    assert known.signature == hashlib.sha256(signature).hexdigest()


def test_altered_editor_is_refused_unless_told_otherwise(ws: Workspace, tmp_path: Path) -> None:
    _, run = release(ws)
    edited(ws, tmp_path)  # a good copy is here: the server's is asked no more, until this one is changed too
    flip(registered(ws, run) / "editor.safetensors")
    assert "not what was signed" not in edited(ws, tmp_path)
    (copy,) = ws.state.glob(f"models/*/{version_of(ws)}-*/editor.safetensors")
    flip(copy)
    (tmp_path / "out.png").unlink()
    with pytest.raises(UserError, match=r"editor\.safetensors altered"):
        edited(ws, tmp_path)
    with pytest.raises(UserError, match=r"editor\.safetensors altered"):
        export_release(ws, ATTRIBUTE, tmp_path / "beard.onnx", Console(file=StringIO()))
    assert not (tmp_path / "out.png").exists() and not (tmp_path / "beard.onnx").exists()
    said = edited(ws, tmp_path, allow_unsigned=True)
    assert "warning" in said and "altered" in said and (tmp_path / "out.png").exists()


def test_unsigned_editor_is_refused_unless_told_otherwise(ws: Workspace, tmp_path: Path) -> None:
    _, run = release(ws)
    (registered(ws, run) / SIGNATURE_FILE).unlink()
    with pytest.raises(UserError, match="is not signed") as told:
        edited(ws, tmp_path)
    assert "--allow-unsigned" in told.value.hint
    assert "is not signed" in edited(ws, tmp_path, allow_unsigned=True)


def test_files_of_another_signed_version_do_not_pass_for_this_one(ws: Workspace, tmp_path: Path) -> None:
    runs = [release(ws)[1] for _ in range(2)]
    old, new = (registered(ws, run) for run in runs)
    for path in old.iterdir():
        (new / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="files of another version"):
        edited(ws, tmp_path)


def test_editor_of_a_key_that_nobody_trusts_is_refused(ws: Workspace, tmp_path: Path) -> None:
    release(ws)
    own = signing_key(ws.root)
    for path in (ws.state / "keys" / "trusted").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="does not trust") as told:
        edited(ws, tmp_path)
    assert "editloom keys trust" in told.value.hint
    trust(ws.root, own.public_pem)
    assert "does not trust" not in edited(ws, tmp_path)
