"""A released model's registration: its files signed, registered in MLflow, and told to the ledger, each once."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from orchestration.signing.model_signature import SIGNATURE_FILE, digests, sign_folder, write_head
from orchestration.store import database, ledger
from orchestration.store.keys import SigningKey, signing_key
from orchestration.store.ledger import Head, LedgerEntry
from orchestration.store.staging import staging_dir
from orchestration.tracking.registry import MODEL_FOLDER, register
from orchestration.tracking.runs import TrackedRun, Tracker
from orchestration.workspace import Workspace


class Registration(BaseModel):
    """The body of a ledger entry of kind `release`; its subject is the registered model's name.

    `release` is the entry hash of the release's materialization, `head` the ledger's head that the signature covers.
    `files` maps each signed file to its sha256, `signature` is the sha256 of `model.sig`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: str
    version: str
    release: str
    files: Mapping[str, str]
    signature: str
    keyid: str
    mlflow_run: str
    head: Mapping[str, int | str]


def register_signed(
    ws: Workspace,
    tracker: Tracker,
    run: TrackedRun,
    entry: LedgerEntry,
    model: str,
    files: Iterable[Path],
    tags: Mapping[str, str],
) -> str:
    """Sign a release's files with the ledger's head, register them as a version of `model`, and record that.

    `entry` is the release's materialization. May be told twice; returns the version. Raises UserError without a key.
    """
    key = signing_key(ws.root)
    with signed_copy(ws, entry, model, files, key) as folder:
        version = register(tracker, run, model, sorted(folder.iterdir()), tags)
        known = Registration(
            model=model, version=version, release=entry.entry_hash, files=digests(folder),
            signature=_registered_signature(tracker, run), keyid=key.keyid, mlflow_run=run.run_id,
            head={"seq": entry.seq, "entry_hash": entry.entry_hash},
        )  # fmt: skip
    record(ws.root, known)
    return version


@contextmanager
def signed_copy(
    ws: Workspace, entry: LedgerEntry, model: str, files: Iterable[Path], key: SigningKey
) -> Iterator[Path]:
    """A folder, named as the model, of copies of `files`, the release's place in the ledger, and the signature."""
    with staging_dir(ws.root, entry.materialization.wanted.id) as place:  # which is swept after a crash
        folder = place / model
        folder.mkdir()
        for file in files:
            shutil.copyfile(file, folder / file.name)
        write_head(folder, Head(entry.seq, entry.entry_hash))
        sign_folder(folder, key)
        yield folder


def record(root: Path, registration: Registration) -> LedgerEntry:
    """Write a registration into the ledger; a release's second one is its first."""
    key = f"register/{registration.release}"
    with database.writing(root) as connection:
        known = ledger.entry_of_intent(connection, key)
        body = registration.model_dump(mode="json")
        return known or ledger.append(root, connection, ledger.RELEASE, registration.model, body, key)


def registrations(root: Path, model: str) -> list[tuple[LedgerEntry, Registration]]:
    """Every registration of a model, oldest first, with the entry that holds it."""
    found = ledger.entries(root, model, ledger.RELEASE)
    return [(entry, Registration.model_validate(entry.body)) for entry in found]


def registered_run(root: Path, entry: LedgerEntry) -> str | None:
    """The MLflow run of a release: its own, or where its server was away when it was made, that which registered it."""
    if entry.materialization.mlflow_run is not None:
        return entry.materialization.mlflow_run
    with database.reading(root) as connection:
        known = ledger.entry_of_intent(connection, f"register/{entry.entry_hash}")
    return Registration.model_validate(known.body).mlflow_run if known else None


def registration_of(root: Path, model: str, version: str, run: str) -> tuple[LedgerEntry, Registration] | None:
    """The registration of one version, or None when this ledger has none.

    The run counts too: another tracking server counts its versions from 1 as well.
    """
    found = registrations(root, model)
    return next((one for one in reversed(found) if (one[1].version, one[1].mlflow_run) == (version, run)), None)


def _registered_signature(tracker: Tracker, run: TrackedRun) -> str:
    """The sha256 of the signature that the server has: a retry signs anew, and registers nothing again."""
    with tempfile.TemporaryDirectory() as place:
        path = tracker.client.download_artifacts(run.run_id, f"{MODEL_FOLDER}/{SIGNATURE_FILE}", place)
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
