"""What happens on a full disk: one function a case, on a small tmpfs, each to the end with room again.

As a program: `python tests/orchestration/full_disk.py DISK CASE …` runs cases in DISK, which is a small file system,
and prints `CASE ok` for each that held. `on_small_disk` gives the command that mounts one, in a namespace that ends
with the program, so that nothing stays mounted.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
SIZE_MB = 192
_NAMESPACES = (("unshare", "-m"), ("unshare", "-rm"))
"""As root; as anybody, where the system lets people have a user namespace."""


@dataclass(frozen=True)
class Disk:
    """A small file system and the file that fills it."""

    root: Path

    @property
    def filler(self) -> Path:
        return self.root / "filler"

    def fill(self, left_kb: int = 0) -> None:
        """Take all the room but so much."""
        with self.filler.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:
                pass
            file.truncate(max(file.tell() - left_kb * 1024, 0))

    def make_room(self) -> None:
        self.filler.unlink()


def on_small_disk(folder: Path, command: Sequence[str]) -> list[str] | None:
    """`command` in a mount namespace in which `folder` is a tmpfs of SIZE_MB; None where nobody may mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    for namespace in _NAMESPACES:
        script = f'mount -t tmpfs -o size={SIZE_MB}m tmpfs "$0" && exec "$@"'
        words = [*namespace, "sh", "-c", script, str(folder)]
        if shutil.which("unshare") and subprocess.run([*words, "true"], capture_output=True).returncode == 0:
            return [*words, *command]
    return None


def run_cases(folder: Path, names: Sequence[str]) -> dict[str, str] | None:
    """Run cases in one process: by name what went wrong, empty where it held. None where nothing can be mounted."""
    program = on_small_disk(folder, [sys.executable, __file__, str(folder), *names])
    if program is None:
        return None
    # As a person's own process would have it, not a test's.
    known = {k: v for k, v in os.environ.items() if k not in {"EDITLOOM_WORKSPACE", "DAGSTER_HOME"}}
    done = subprocess.run(program, cwd=REPOSITORY, env=known, capture_output=True, text=True)
    held = {line.removesuffix(" ok") for line in done.stdout.splitlines() if line.endswith(" ok")}
    return {name: "" if name in held else f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}" for name in names}


def ledger_before_the_swap(disk: Disk) -> None:
    """No room for the intent: the old payload and the old entry stand, nothing is left in staging."""
    from orchestration.store import ledger
    from orchestration.store.staging import STAGING

    root = _store(disk)
    _publish(root, "old")
    _refused(disk, lambda: _publish(root, "new" * 1000, before=disk.fill), "ledger")
    assert _text(root) == "old" and list((root / STAGING).iterdir()) == []
    disk.make_room()
    assert len(ledger.entries(root)) == 1
    _recovered(root, "old", 1)
    _publish(root, "new")
    _recovered(root, "new", 2)


def ledger_after_the_swap(disk: Disk) -> None:
    """No room for the entry of a payload that stands in its place: recovery writes it down once there is."""
    from orchestration.store import ledger

    root = _store(disk)
    _publish(root, "old")
    with _full_after_the_swap(disk, left_kb=0):
        _refused(disk, lambda: _publish(root, "new"), "publication of images")
    assert _text(root) == "new"
    disk.make_room()
    assert len(ledger.entries(root)) == 1
    _recovered(root, "new", 2)


def staged_payload(disk: Disk) -> None:
    """No room for the payload itself: what was written of it is removed, and gives its room back."""
    from orchestration.store.staging import STAGING

    root = _store(disk)
    _publish(root, "old")
    disk.fill(left_kb=2048)
    _refused(disk, lambda: _publish(root, "new" * 10**6), "a payload")
    assert _text(root) == "old" and list((root / STAGING).iterdir()) == []
    assert shutil.disk_usage(root).free > 1 << 20
    disk.make_room()
    _publish(root, "new" * 10**6)
    _recovered(root, "new" * 10**6, 2)


def dvc_commit(disk: Disk) -> None:
    """No room in DVC's cache, which has a disk of its own here: dvc.lock is as it was, and the sync brings it up."""
    from orchestration.store import dvc, ledger
    from orchestration.store.lockfile import sync
    from orchestration.store.publish import recover
    from orchestration.workspace import Workspace

    ws = Workspace.new(disk.root / "ws", "smoke")
    cache = ws.root / ".dvc" / "cache"
    cache.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(cache)], check=True)
    try:
        _publish_images(ws, 10)
        before = (ws.root / "dvc.lock").read_bytes()
        _refused(disk, lambda: _publish_images(ws, 4 << 20), "DVC's cache")
        assert (ws.root / "dvc.lock").read_bytes() == before and len(ledger.entries(ws.root)) == 1
        subprocess.run(["mount", "-o", "remount,size=16m", str(cache)], check=True)
        assert [str(one) for one in recover(ws.root)] == ["images"]
        sync(ws.root, ws.params())
        (_, entry) = ledger.entries(ws.root)
        assert dvc.locked_md5(ws.root, entry.materialization.wanted.id) == entry.materialization.dvc_md5
        assert dvc.not_cached(ws.root, ["images"]) == []
    finally:
        subprocess.run(["umount", str(cache)], check=True)


def checkpoint(disk: Disk) -> None:
    """No room for a third checkpoint: two whole ones stand, and the training goes on from them to the same bytes."""
    from training.checkpoint_io import SafetensorsCheckpointIO

    _training(disk, "original_network", call=2, says="a checkpoint")
    kept = sorted((disk.root / "work" / "checkpoints").iterdir())
    assert [path.name for path in kept] == ["000000001.safetensors", "000000002.safetensors"], kept
    assert [SafetensorsCheckpointIO().load_checkpoint(path)["training"]["iteration"] for path in kept] == [1, 2]
    _goes_on(disk, "original_network")


def snapshot(disk: Disk) -> None:
    """No room for a snapshot: the checkpoint of the iteration before stands."""
    _training(disk, "original_network", call=3, says="a snapshot")
    assert [path.name for path in (disk.root / "work" / "snapshots").iterdir()] == ["000000002.safetensors"]
    _goes_on(disk, "original_network")


def editor_checkpoint(disk: Disk) -> None:
    """The same in the editor's training."""
    _training(disk, "attribute_editor", call=3, says="a checkpoint")
    assert len(list((disk.root / "work" / "checkpoints").iterdir())) == 2
    _goes_on(disk, "attribute_editor")


def judge_pictures(disk: Disk) -> None:
    """No room for a pool's pictures: what was written of them is removed."""
    _training(disk, "judges", call=1, says="a judge's pictures")
    assert not any((disk.root / "work" / "pools").rglob("*.npy"))
    _goes_on(disk, "judges")


def judge_checkpoint(disk: Disk) -> None:
    """No room for a judge's checkpoint: the earlier ones stand."""
    _training(disk, "judges", call=4, says="a checkpoint")
    assert list((disk.root / "work" / "checkpoints").rglob("*.safetensors"))
    _goes_on(disk, "judges")


def pairs(disk: Disk) -> None:
    """No room for a chunk of pairs: nothing of it is left."""
    _training(disk, "edit_pairs", call=2, says="pairs")
    assert not list((disk.root / "work" / "chunks").glob("*.tar*"))
    _goes_on(disk, "edit_pairs")


def whole_run(disk: Disk) -> None:
    """`editloom run` on a full disk says so and ends with status 2; with room again it goes on."""
    from orchestration.store import chain, journal, ledger
    from orchestration.workspace import Workspace

    ws = Workspace.new(disk.root / "ws", "smoke")
    assert _editloom(ws.root, "run", "--select", "judge_images").returncode == 0
    before = len(ledger.entries(ws.root))
    disk.fill(left_kb=300)
    done = _editloom(ws.root, "run", "--select", "images")
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert "There is no room in" in said and "Make room there" in said and "Traceback" not in said, said
    assert not (ws.root / "artifacts" / "images").exists()
    disk.make_room()
    assert len(ledger.entries(ws.root)) == before
    done = _editloom(ws.root, "run", "--select", "images")
    assert done.returncode == 0, done.stdout + done.stderr
    assert chain.verify_chain(ws.root) == [] and journal.unfinished(ws.root) == []


STORE_CASES = (staged_payload, ledger_before_the_swap, ledger_after_the_swap)
DVC_CASES = (dvc_commit,)
TRAINING_CASES = (checkpoint, snapshot, editor_checkpoint, judge_pictures, judge_checkpoint, pairs)
RUN_CASES = (whole_run,)
CASES: Mapping[str, Callable[[Disk], None]] = {
    case.__name__: case for case in (*STORE_CASES, *DVC_CASES, *TRAINING_CASES, *RUN_CASES)
}


def _refused(disk: Disk, act: Callable[[], object], words: str) -> None:
    """The act ends with an error that names a folder of the disk, how much is left, what for, and what to do."""
    from data.disk_space import HINT, DiskFullError
    from data.errors import UserError

    try:
        act()
    except UserError as error:
        assert isinstance(error, DiskFullError) or "DVC" in words, repr(error)
        assert str(disk.root) in error.message and " are left" in error.message, error.message
        assert words in error.message and error.hint == HINT, error.message
        return
    raise AssertionError("nothing complained of a full disk")


def _store(disk: Disk) -> Path:
    from orchestration.store import keys

    keys.create(disk.root)
    return disk.root


def _publish(root: Path, text: str, before: Callable[[], object] = lambda: None) -> None:
    """Publish one file as `images`, DVC aside."""
    from data.disk_space import room_in
    from orchestration.graph import AssetId
    from orchestration.store.publish import publish
    from orchestration.store.records import PublishRecord, Wanted
    from orchestration.store.staging import staging_dir

    wanted = Wanted(
        asset="images", partition=None, code_version="1", params_digest="p", params={}, seed=0, inputs={},
        device_class="any",
    )  # fmt: skip
    with staging_dir(root, AssetId("images")) as staged:
        with room_in(staged, "a payload"):
            (staged / "a.json").write_text(text)
        before()
        publish(root, PublishRecord(wanted=wanted), staged, commit_dvc=False)


def _publish_images(ws: object, size_bytes: int) -> None:
    """Publish bytes as `images`, with DVC."""
    from orchestration.graph import AssetId
    from orchestration.plan import wanted
    from orchestration.store.publish import publish
    from orchestration.store.records import PublishRecord
    from orchestration.store.staging import staging_dir
    from orchestration.workspace import Workspace

    assert isinstance(ws, Workspace)
    with staging_dir(ws.root, AssetId("images")) as staged:
        (staged / "a.tar").write_bytes(os.urandom(size_bytes))
        publish(ws.root, PublishRecord(wanted=wanted(ws, ws.params(), AssetId("images"))), staged)


@contextmanager
def _full_after_the_swap(disk: Disk, left_kb: int) -> Iterator[None]:
    """Fill the disk at the moment at which a payload has come to its place."""
    from orchestration.store import staging

    swap = staging.swap

    def swap_and_fill(staged: Path, target: Path) -> None:
        swap(staged, target)
        disk.fill(left_kb)

    staging.swap = swap_and_fill
    try:
        yield
    finally:
        staging.swap = swap


def _text(root: Path) -> str:
    return (root / "artifacts" / "images" / "a.json").read_text()


def _recovered(root: Path, text: str, entries: int) -> None:
    """After recovery the payload is this, with so many entries, in a chain that holds."""
    from orchestration.store import chain, journal, ledger
    from orchestration.store.publish import recover

    recover(root)
    assert _text(root) == text and len(ledger.entries(root)) == entries
    assert chain.verify_chain(root) == [] and journal.unfinished(root) == []


def _training(disk: Disk, name: str, call: int, says: str) -> None:
    """Train until the disk is full: from the `call`-th question whether to stop."""
    trainings = _trainings()
    _refused(disk, lambda: trainings.TRAININGS[name](disk.root, trainings.AtCall(call, disk.fill)), says)
    assert not list((disk.root / "work").rglob("*.part")), "a part of a file takes room"


def _goes_on(disk: Disk, name: str) -> None:
    """With room again the training ends as one that nothing disturbed."""
    disk.make_room()
    trainings = _trainings()
    trainings.TRAININGS[name](disk.root, trainings.never)
    with TemporaryDirectory() as elsewhere:
        trainings.TRAININGS[name](Path(elsewhere), trainings.never)
        assert trainings.payload(disk.root) == trainings.payload(Path(elsewhere))


def _trainings() -> Any:
    """The module of small trainings, which a program can find by its place alone."""
    place = REPOSITORY / "tests" / "training" / "resumable.py"
    spec = importlib.util.spec_from_file_location("resumable", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _editloom(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    known = {**os.environ, "EDITLOOM_WORKSPACE": str(root), "COLUMNS": "250"}
    command = [sys.executable, "-m", "orchestration.cli", *arguments]
    return subprocess.run(command, cwd=root, env=known, capture_output=True, text=True)


def _emptied(disk: Disk) -> None:
    for path in disk.root.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def main() -> None:
    """See above."""
    disk = Disk(Path(sys.argv[1]).resolve())
    for name in sys.argv[2:]:
        try:
            CASES[name](disk)
            print(f"{name} ok", flush=True)
        except Exception:
            print(f"{name}:\n{traceback.format_exc()}", flush=True)
        _emptied(disk)


if __name__ == "__main__":
    main()
