"""The one way in which a payload becomes a version: staged bytes are swapped in and recorded exactly once."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from data import fail_points
from data.disk_space import room_in
from data.errors import UserError
from data.image_set import parts_of
from orchestration.graph import AssetId
from orchestration.store import dvc, journal, staging, stat_cache
from orchestration.store.environment import environment_digest
from orchestration.store.gitinfo import git_state
from orchestration.store.journal import Intent
from orchestration.store.keys import signing_key
from orchestration.store.ledger import LedgerEntry
from orchestration.store.payload import PayloadDigest, PayloadError, digest_payload
from orchestration.store.records import Materialization, PublishRecord

LOCKS = Path(".editloom", "locks")
LOGGER = logging.getLogger(__name__)

OnPublished = Callable[[LedgerEntry], None]
"""Told of each entry once its payload, DVC and the ledger agree; must bear being told twice."""


def publish(
    root: Path,
    record: PublishRecord,
    staged: Path,
    *,
    on_published: Sequence[OnPublished] = (),
    commit_dvc: bool = True,
) -> LedgerEntry:
    """Make the directory `staged` the payload of `record`'s asset in the workspace `root`.

    An intent is written first, then come payload, DVC, ledger and `on_published`, then the intent is closed; `recover`
    ends what a crash cuts off. DVC is left alone under `dvc repro`, and with `commit_dvc` False: then call
    `lockfile.sync` after the run.
    Raises PayloadError for bytes that may not be published, UserError without a signing key, DvcError when DVC refuses,
    DiskFullError where there is no room: what stood before still stands, or `recover` completes what stands now.
    """
    asset_id = record.wanted.id
    with room_in(root, f"the publication of {asset_id}"), _asset_lock(root, asset_id):
        _recover_asset(root, asset_id, on_published)
        signing_key(root)  # without one nothing may move: its entry could not be written
        digest = digest_payload(staged)
        staging.fsync_tree(staged)
        made = _materialization(root, record, digest, parts_of(staged))
        intent = Intent(uuid.uuid4().hex, asset_id, "open", staged.relative_to(root), made)
        fail_points.reach("payload-staged")
        journal.begin(root, intent)
        fail_points.reach("intent-written")
        staging.swap(staged, root / intent.target)
        fail_points.reach("payload-swapped")
        return _finish(root, intent, digest, on_published, commit_dvc)


def recover(root: Path, on_published: Sequence[OnPublished] = ()) -> list[AssetId]:
    """Complete or roll back what dead processes left unfinished, and clear their staging; returns the assets touched.

    What a living process is publishing is left to it.
    """
    touched: list[AssetId] = []
    dvc.mend(root)
    for asset_id in dict.fromkeys(intent.asset_id for intent in journal.unfinished(root)):
        try:
            with _asset_lock(root, asset_id, wait=False):
                _recover_asset(root, asset_id, on_published)
        except Timeout:
            continue
        touched.append(asset_id)
    staging.sweep(root, frozenset(root / intent.staged for intent in journal.unfinished(root)))
    return touched


def _finish(
    root: Path,
    intent: Intent,
    digest: PayloadDigest,
    on_published: Sequence[OnPublished],
    commit_dvc: bool,
) -> LedgerEntry:
    """All that follows the swap; each part may be done again."""
    if commit_dvc and not dvc.under_repro():
        dvc.commit(root, [intent.asset_id.stage])
    fail_points.reach("dvc-committed")
    # After DVC, which may give a file another time while it links it to its cache.
    stat_cache.remember(root, intent.asset_id, digest)
    fail_points.reach("payload-remembered")
    entry = journal.record(root, intent)
    fail_points.reach("ledger-written")
    _tell(root, intent, entry, on_published)
    return entry


def _tell(root: Path, intent: Intent, entry: LedgerEntry, on_published: Sequence[OnPublished]) -> None:
    """Call the listeners and close the intent; when one fails the intent stays, and the next run tells it again."""
    try:
        for listener in on_published:
            listener(entry)
    except UserError as error:
        LOGGER.warning("%s is published; the next run tells what could not be told of it: %s", intent.asset_id, error)
        return
    except Exception:
        LOGGER.exception("%s is published, but a listener failed; the next run will tell it again", intent.asset_id)
        return
    fail_points.reach("listeners-told")
    journal.close(root, intent)


def _recover_asset(root: Path, asset_id: AssetId, on_published: Sequence[OnPublished]) -> None:
    for intent in journal.unfinished(root, asset_id):
        if intent.state == "recorded":
            _tell(root, intent, journal.record(root, intent), on_published)
        else:
            _recover_open(root, intent, on_published)
        # Only an asset whose intent is over may lose what was staged for it.
        staging.remove(root / intent.staged)


def _recover_open(root: Path, intent: Intent, on_published: Sequence[OnPublished]) -> None:
    """Roll an open intent forward when its bytes are whole, in their place or in staging; else give it up."""
    staged, target = root / intent.staged, root / intent.target
    staging.settle(staged, target)
    version = intent.materialization.data_version
    digest = _digest_if(target, version)
    if digest is None and (digest := _digest_if(staged, version)) is not None:
        staging.swap(staged, target)
    if digest is None:
        LOGGER.warning("%s: an unfinished publication was rolled back", intent.asset_id)
        journal.close(root, intent, "abandoned")
        return
    _commit_if_dvc_can(root, intent.asset_id)
    _finish(root, intent, digest, on_published, commit_dvc=False)


def _commit_if_dvc_can(root: Path, asset_id: AssetId) -> None:
    """DVC may know the stage no more, when params.yaml changed since the crash: that holds up nothing else."""
    try:
        if not dvc.under_repro():
            dvc.commit(root, [asset_id.stage])
    except dvc.DvcError as error:
        LOGGER.warning("%s was recovered, but not committed to DVC: %s", asset_id, error)


def _digest_if(folder: Path, version: str) -> PayloadDigest | None:
    try:
        digest = digest_payload(folder)
    except (PayloadError, OSError):
        return None
    return digest if digest.root == version else None


def _materialization(
    root: Path, record: PublishRecord, digest: PayloadDigest, parts: Mapping[str, str]
) -> Materialization:
    git = git_state(root)
    return Materialization(
        wanted=record.wanted,
        data_version=digest.root,
        parts=parts,
        consent=record.consent,
        dvc_md5=digest.dvc_md5,
        size_bytes=digest.size_bytes,
        files=len(digest.files),
        git_commit=git.commit,
        git_clean=git.clean,
        environment=environment_digest(),
        dagster_run=record.dagster_run,
        mlflow_run=record.mlflow_run,
    )


@contextmanager
def _asset_lock(root: Path, asset_id: AssetId, wait: bool = True) -> Iterator[None]:
    """One publication of an asset at a time; the operating system frees the lock when its holder dies."""
    folder = root / LOCKS
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{asset_id.stage}.lock", timeout=-1 if wait else 0):
        yield
