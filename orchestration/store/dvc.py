"""DVC, through one writer: what is published is committed to dvc.lock and its cache."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from filelock import FileLock
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from data import fail_points
from data.disk_space import no_room, says_full
from data.errors import UserError
from orchestration.graph import AssetId
from orchestration.store.dvc_commit import commit_stages

WRITER_LOCK = Path(".editloom", "locks", "dvc.lock")
KEPT_LOCK_FILE = Path(".editloom", "locks", "dvc.lock.before")
LOCK_WAIT_S = 600.0
_NOT_KEPT = "failed to transfer"
_BUSY = ("unable to acquire lock", "is busy", "rwlock")
_LOCKS_CUT_OFF = "unable to read rwlock-file"
_READ_WRITE_LOCKS = Path(".dvc", "tmp", "rwlock")


class DvcError(UserError):
    """DVC refused: its own words, and what to do."""


class DvcFullError(DvcError):
    """DVC found no room; dvc.lock is as it was."""


class _BusyError(Exception):
    """Another DVC process holds a lock that this one needs."""


class _Answer(NamedTuple):
    """What DVC answered to one command."""

    succeeded: bool
    said: str
    errors: str


def under_repro() -> bool:
    """Whether this process is the command of a `dvc repro`, which commits the outs itself."""
    return "DVC_STAGE" in os.environ


def commit(root: Path, stages: Sequence[str]) -> None:
    """`dvc commit -f` of these stages; waits for other writers. Raises DvcError with DVC's own words."""
    if stages:
        _as_writer(root, ("commit", "-f", *stages), lambda: _commit(root, stages))


def mend(root: Path) -> None:
    """Put dvc.lock back where a writer was killed while DVC wrote it; `lockfile.sync` brings it up again.

    A living writer is waited for.
    """
    if (root / KEPT_LOCK_FILE).exists():
        with _writing(root):
            pass


def checkout(root: Path, stage: str) -> bool:
    """Bring a stage's outs back from the cache; False when DVC cannot."""
    return _succeeds(root, "checkout", "-q", "--force", stage)


def fetchable(root: Path, asset_id: AssetId, md5: str) -> bool:
    """Whether the directory `md5` (`….dir`), which dvc.lock must name too, can be checked out.

    Files that only a remote holds are brought to the cache on the way.
    """
    if locked_md5(root, asset_id) != md5:
        return False
    return _complete(cache_dir(root), md5) or (
        _succeeds(root, "fetch", "-q", asset_id.stage) and _complete(cache_dir(root), md5)
    )


def not_cached(root: Path, stages: Sequence[str]) -> list[str]:
    """Those of `stages` whose payload, as dvc.lock names it, the cache does not hold whole."""
    locked, store = lock_entries(root), cache_dir(root)
    outs = {stage: [str(out["md5"]) for out in locked.get(stage, {}).get("outs", [])] for stage in stages}
    return [stage for stage, md5s in outs.items() if not md5s or not all(_complete(store, md5) for md5 in md5s)]


def cache_dir(root: Path) -> Path:
    """Where DVC keeps files by md5, unless its configuration moves it."""
    return root / ".dvc" / "cache" / "files" / "md5"


def cached_file(root: Path, md5: str, name: str) -> Path | None:
    """A file, by its path in the directory `md5` (`….dir`), of any version that the cache still holds; else None."""
    store = cache_dir(root)
    listing = store / md5[:2] / md5[2:]
    if not listing.exists():
        return None
    found = next((file["md5"] for file in json.loads(listing.read_text()) if file["relpath"] == name), None)
    path = store / found[:2] / found[2:] if found else None
    return path if path and path.exists() else None


def locked_md5(root: Path, asset_id: AssetId) -> str | None:
    """The md5 that dvc.lock gives to an asset's payload."""
    outs = lock_entries(root).get(asset_id.stage, {}).get("outs", [])
    return next((str(out["md5"]) for out in outs if out["path"] == asset_id.path.as_posix()), None)


def lock_entries(root: Path) -> Mapping[str, Mapping[str, Any]]:
    """The stages of dvc.lock, by name; empty when there is none."""
    return _read_yaml(root / "dvc.lock").get("stages", {}) or {}


def run_dvc(root: Path, *arguments: str) -> str:
    """Run DVC as the only writer of this workspace; returns its standard output."""
    return _as_writer(root, arguments, lambda: _command(root, arguments))


def _as_writer(root: Path, arguments: Sequence[str], ask: Callable[[], _Answer]) -> str:
    """What DVC says when asked while nobody else writes; raises DvcError for a refusal."""
    attempts = Retrying(
        retry=retry_if_exception_type(_BusyError),
        stop=stop_after_delay(LOCK_WAIT_S),
        wait=wait_random_exponential(0.2, max=5),
    )
    try:
        with _writing(root), _lock_file_kept(root):
            return attempts(_asked, root, arguments, ask)
    except RetryError as error:
        hint = "Wait for the other DVC command to end, or see `dvc doctor`, then run the same command again."
        raise DvcError(f"dvc {' '.join(arguments)}: {error.last_attempt.exception()}", hint) from None


@contextmanager
def _writing(root: Path) -> Iterator[None]:
    """Nobody else writes while the block runs; what one who was killed left of dvc.lock is whole again."""
    lock_file, copy = root / "dvc.lock", root / KEPT_LOCK_FILE
    copy.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(root / WRITER_LOCK, timeout=LOCK_WAIT_S):
        if copy.exists() and _cut_off(lock_file, copy):
            copy.replace(lock_file)
        copy.unlink(missing_ok=True)
        yield


@contextmanager
def _lock_file_kept(root: Path) -> Iterator[None]:
    """Put dvc.lock back after a full disk: DVC writes the file in its place, and would leave half of it.

    The copy is made before, while nothing has begun, so that putting it back needs no room.
    """
    lock_file, copy = root / "dvc.lock", root / KEPT_LOCK_FILE
    try:
        if lock_file.exists():
            shutil.copyfile(lock_file, copy)
        yield
    except DvcFullError:
        if copy.exists():
            copy.replace(lock_file)
        raise
    finally:
        copy.unlink(missing_ok=True)


def _asked(root: Path, arguments: Sequence[str], ask: Callable[[], _Answer]) -> str:
    fail_points.reach("dvc-asked")
    began = time.time()
    answer = ask()
    # DVC calls it a success, and writes dvc.lock, when a file did not come to its cache.
    if answer.succeeded and _NOT_KEPT not in answer.errors:
        return answer.said
    said = (answer.errors or answer.said).strip()
    if _LOCKS_CUT_OFF in said.lower():
        # Who wrote it was killed in the midst: DVC reads and writes this file under a lock of its own.
        (root / _READ_WRITE_LOCKS).unlink(missing_ok=True)
    if any(word in said.lower() for word in _BUSY):
        raise _BusyError(said)
    if says_full(said):
        _remove_parts(root, began)
        full = no_room(cache_dir(root), "DVC's cache and dvc.lock")
        raise DvcFullError(full.message, full.hint)
    raise DvcError(f"dvc {' '.join(arguments)} failed in {root}: {said}", "Correct what DVC names, then run again.")


def _command(root: Path, arguments: Sequence[str]) -> _Answer:
    quiet = {"DVC_NO_ANALYTICS": "1", "DVC_STUDIO_OFFLINE": "true", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False, env=os.environ | quiet, stdin=subprocess.DEVNULL
    )
    return _Answer(done.returncode == 0, done.stdout, done.stderr)


def _commit(root: Path, stages: Sequence[str]) -> _Answer:
    succeeded, errors = commit_stages(root, stages)
    return _Answer(succeeded, "", errors)


def _remove_parts(root: Path, since: float) -> None:
    """Delete what a DVC that found no room left half-written in its cache."""
    for part in cache_dir(root).glob("*/.*.tmp"):
        with suppress(FileNotFoundError):
            if part.stat().st_mtime >= since:
                part.unlink()


def _succeeds(root: Path, *arguments: str) -> bool:
    try:
        run_dvc(root, *arguments)
    except DvcError:
        return False
    return True


def _complete(store: Path, md5: str) -> bool:
    listing = store / md5[:2] / md5[2:]
    if not listing.exists():
        return False
    names = (file["md5"] for file in json.loads(listing.read_text()))
    return all((store / name[:2] / name[2:]).exists() for name in names)


def _cut_off(lock_file: Path, before: Path) -> bool:
    """Whether dvc.lock is not whole: DVC never takes a stage from it when it commits."""
    try:
        kept = _read_yaml(before)["stages"].keys()
    except (yaml.YAMLError, TypeError, AttributeError, KeyError):
        return False  # the copy is what was cut off: nothing had been asked of DVC yet
    try:
        return not kept <= _read_yaml(lock_file)["stages"].keys()
    except (yaml.YAMLError, TypeError, AttributeError, KeyError):
        return True


def _read_yaml(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        return {}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), Loader=loader) or {}
