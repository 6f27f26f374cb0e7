"""What was purged is told as purged under its receipt, and hides no other change."""

from __future__ import annotations

import json

from data.manifest import MANIFEST
from orchestration.consent.removal import PurgedVersion, PurgePlan, Removal
from orchestration.store import database, ledger
from orchestration.store.dvc import cache_dir
from orchestration.store.ledger import LedgerEntry
from orchestration.verification.verify import verify
from orchestration.workspace import Workspace
from tests.orchestration.verification.image_sets import IMAGES, put_images
from tests.orchestration.verification.tampering import flipped


def test_purged_version_is_told_by_its_receipt_and_alarms_nobody(workspace: Workspace) -> None:
    version, _ = put_images(workspace, range(6)), put_images(workspace, range(1, 6))
    before = verify(workspace, offline=True)
    assert before.holds and [one.state for one in before.findings if version[:12] in one.thing] == ["intact"]
    receipt = _purge(workspace, version)
    found = verify(workspace, offline=True)
    (told,) = [one for one in found.findings if version[:12] in one.thing]
    assert found.holds and told.state == "purged"
    assert receipt.entry_hash[:12] in told.detail and "shards/00.tar is gone" in told.detail


def test_purge_hides_no_change_of_what_is_left(workspace: Workspace) -> None:
    version, _ = put_images(workspace, range(6)), put_images(workspace, range(1, 6))
    _purge(workspace, version)
    md5 = _listing(workspace, version)[MANIFEST]
    with flipped(cache_dir(workspace.root) / md5[:2] / md5[2:]):
        (told,) = verify(workspace, offline=True).wrong
    assert version[:12] in told.thing and told.state == "altered" and MANIFEST in told.detail


def test_lost_old_version_is_missed_only_where_it_is_asked_for(workspace: Workspace) -> None:
    version, _ = put_images(workspace, range(6)), put_images(workspace, range(1, 6))
    _remove_shard(workspace, version)
    (told,) = [one for one in verify(workspace, offline=True).findings if version[:12] in one.thing]
    assert told.state == "absent" and not told.wrong and "editloom pull" in told.detail
    (told,) = verify(workspace, f"images@{version[:8]}", offline=True).wrong
    assert told.state == "absent"


def test_older_version_in_place_needs_a_dvc_lock_that_asks_for_it(workspace: Workspace) -> None:
    put_images(workspace, range(6))
    older_lock = (workspace.root / "dvc.lock").read_text()
    older = workspace.root.with_name("older")
    workspace.payload("images").rename(older)
    put_images(workspace, range(1, 6))
    newer = workspace.root.with_name("newer")
    workspace.payload("images").rename(newer)
    older.rename(workspace.payload("images"))
    assert {one.thing for one in verify(workspace, offline=True).wrong} == {"artifacts/images"}
    (workspace.root / "dvc.lock").write_text(older_lock)
    assert verify(workspace, offline=True).holds


def _purge(ws: Workspace, version: str) -> LedgerEntry:
    """What a purge leaves: the shard gone, and an entry that says so."""
    md5 = _remove_shard(ws, version)
    plan = PurgePlan(
        id="1", image=f"{0:064x}", subject=None, images=(f"{0:064x}",),
        versions=(PurgedVersion(asset=str(IMAGES), version=version),),
        removed=(Removal(where="dvc cache", path="shards/00.tar", md5=md5),),
        other_images=5, unexamined=(), by="a person", reason="asked for",
    )  # fmt: skip
    with database.writing(ws.root) as connection:
        return ledger.append(ws.root, connection, ledger.PURGE, plan.is_of, plan.body)


def _remove_shard(ws: Workspace, version: str) -> str:
    md5 = _listing(ws, version)["shards/00.tar"]
    (cache_dir(ws.root) / md5[:2] / md5[2:]).unlink()
    return md5


def _listing(ws: Workspace, version: str) -> dict[str, str]:
    md5 = ledger.makers(ws.root, str(IMAGES), version)[-1].materialization.dvc_md5
    return {one["relpath"]: one["md5"] for one in json.loads((cache_dir(ws.root) / md5[:2] / md5[2:]).read_text())}
