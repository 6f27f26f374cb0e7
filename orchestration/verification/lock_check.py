"""dvc.lock: what it names must be versions that the ledger made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from data.errors import UserError
from orchestration.graph import GRAPH, AssetId
from orchestration.store import dvc
from orchestration.verification.finding import Finding
from orchestration.verification.recorded import Made, Recorded, Scope
from orchestration.workspace import Workspace

LOCK = "dvc.lock"


def check_lock(ws: Workspace, recorded: Recorded, scope: Scope) -> Iterator[Finding]:
    """A finding for each stage whose asset the ledger knows, and for each that names what it does not."""
    try:
        stages = dvc.lock_entries(ws.root)
        outs = {asset_id: stage for stage in stages for asset_id in _payloads(stages[stage], "outs")}
        wanted = [AssetId.parse(subject) for subject in recorded.made if scope.covers(recorded.last(subject))]
        for asset_id in sorted({*wanted, *(outs if scope.keys is None else ())}, key=_place):
            stage = stages.get(outs.get(asset_id, ""), {})
            yield _stage(ws, recorded, asset_id, stage)
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        yield Finding(LOCK, "altered", f"it cannot be read: {error}")


def _stage(ws: Workspace, recorded: Recorded, asset_id: AssetId, stage: Mapping[str, Any]) -> Finding:
    thing, last = f"{LOCK}: {asset_id.stage}", recorded.last(str(asset_id))
    md5 = _payloads(stage, "outs").get(asset_id)
    if md5 is None:
        detail = "dvc.lock has no such stage: `editloom run` commits what is in place"
        return Finding(thing, "absent", detail, excused=not _declared(ws, asset_id))
    unknown = [
        f"it was made from a version of {dep} that the ledger does not know ({dep_md5})"
        for dep, dep_md5 in _payloads(stage, "deps").items()
        if _named(recorded, dep, dep_md5) is None
    ]
    named = _named(recorded, asset_id, md5)
    if named is None or last is None:
        unknown = [f"dvc.lock names a version of {asset_id} that the ledger does not know ({md5})", *unknown]
    if unknown or named is None or last is None:
        return Finding(thing, "altered", "; ".join(unknown))
    return _known(ws.root, thing, named, last)


def _known(root: Path, thing: str, named: Made, last: Made) -> Finding:
    if named.version == last.version:
        return Finding(thing, "intact", f"names the version of entry {last.entry.seq}")
    detail = f"names the version of entry {named.entry.seq}; the newest is that of entry {last.entry.seq}"
    # A past commit that was checked out has its own dvc.lock; then the payload is the older one too.
    return Finding(thing, "intact" if _stands(root, named) else "altered", detail)


def _stands(root: Path, made: Made) -> bool:
    """Whether exactly this version stands in its place."""
    from orchestration.store.payload import PayloadError, digest_payload

    try:
        return digest_payload(root / made.id.path).root == made.version
    except (PayloadError, OSError):
        return False


def _payloads(stage: Mapping[str, Any], kind: str) -> dict[AssetId, str]:
    """md5 by asset of the payloads among a stage's outs or deps."""
    found = {}
    for one in stage.get(kind, ()):
        parts = PurePosixPath(str(one["path"])).parts
        if len(parts) in (2, 3) and parts[0] == "artifacts" and parts[1] in GRAPH:
            found[AssetId(*parts[1:])] = str(one.get("md5"))
    return found


def _named(recorded: Recorded, asset_id: AssetId, md5: str) -> Made | None:
    """The newest materialization with this md5."""
    made = (one for one in reversed(recorded.made.get(str(asset_id), ())) if one.body.dvc_md5 == md5)
    return next(made, None)


def _declared(ws: Workspace, asset_id: AssetId) -> bool:
    """Whether params.yaml still declares the asset's partition."""
    try:
        return asset_id.partition is None or asset_id.partition in ws.params().attributes
    except UserError:
        return True


def _place(asset_id: AssetId) -> tuple[int, str]:
    return list(GRAPH).index(asset_id.asset), asset_id.partition or ""
