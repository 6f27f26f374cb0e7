"""Whether the files of a registered version may be used: signed, by a trusted key, as they were registered."""

from __future__ import annotations

from pathlib import Path

from data.errors import UserError
from orchestration.signing.model_signature import SIGNATURE_FILE, Condition, check_folder, file_sha256
from orchestration.signing.registration import registration_of
from orchestration.store.keys import trusted_keys
from orchestration.tracking.registry import ModelVersion
from orchestration.workspace import Workspace

_HINTS: dict[Condition, str] = {
    "unsigned": "Releasing it again signs it: `editloom run --select attribute_release --always`.",
    "altered": "Somebody changed what the tracking server has: release it again, or restore the files of its run.",
    "untrusted": "When you know whose key it is, say so: `editloom keys trust FILE`.",
}


def distrust(ws: Workspace, model: ModelVersion, folder: Path) -> UserError | None:
    """Why a version's fetched files must not be used, or None when nothing speaks against them.

    A good signature of another version's files is no good here: where this workspace's ledger knows the registration,
    the signature must be the registered one.
    """
    state, name = check_folder(folder, trusted_keys(ws.root)), f"{model.name} version {model.version}"
    if state.condition != "intact":
        hint = f"{_HINTS[state.condition]} `edit` and `export` take it all the same with --allow-unsigned."
        return UserError(f"{name} {state.sentence}.", hint)
    known = registration_of(ws.root, model.name, model.version, model.run_id)
    if known is not None and known[1].signature != file_sha256(folder / SIGNATURE_FILE):
        said = "bears a good signature, but not the one it was registered with: these are the files of another version"
        return UserError(f"{name} {said}.", _HINTS["altered"])
    return None
