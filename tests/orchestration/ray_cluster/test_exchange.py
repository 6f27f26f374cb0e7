"""What head and node exchange through a store: whole checkpoints only, verified files, and nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.errors import UserError
from orchestration.graph import AssetId
from orchestration.ray_cluster.checkpoints import Pusher, restore
from orchestration.ray_cluster.node import execute
from orchestration.ray_cluster.node_files import CACHE_VARIABLE, NODE_DIR_VARIABLE, cached, task_folder
from orchestration.ray_cluster.options import choose
from orchestration.ray_cluster.request import FileRef, Request
from orchestration.ray_cluster.space import Space, open_space
from orchestration.ray_cluster.store import AttemptStore, Objects, file_sha256
from orchestration.remote.place import open_place, place_at, shown_settings
from orchestration.store import dvc
from orchestration.store.records import Wanted
from orchestration.workspace import Workspace


@pytest.fixture
def store(tmp_path: Path) -> AttemptStore:
    return AttemptStore(place_at({"url": str(tmp_path / "store")}), "attempt")


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    (tmp_path / "work" / "checkpoints").mkdir(parents=True)
    return tmp_path / "work"


def write(workdir: Path, iteration: int) -> None:
    """A checkpoint as training leaves it, the last two kept."""
    folder = workdir / "checkpoints"
    (folder / f"{iteration:09d}.safetensors").write_text(f"state {iteration}")
    (folder / f"{iteration - 2:09d}.safetensors").unlink(missing_ok=True)


def taken_up(store: AttemptStore, folder: Path) -> tuple[int, list[str]]:
    folder.mkdir()
    number = restore(store, folder)
    return number, sorted(path.name for path in folder.rglob("*.safetensors"))


def test_newest_checkpoint_is_taken_up_and_old_files_go(store: AttemptStore, workdir: Path, tmp_path: Path) -> None:
    pusher = Pusher(store, workdir, tmp_path / "spool")
    for iteration in (1, 2, 3, 4):
        write(workdir, iteration)
        assert pusher.push()
        assert not pusher.push(), "nothing new"
    assert taken_up(store, tmp_path / "other") == (4, ["000000003.safetensors", "000000004.safetensors"])
    assert len(store.place.names(store.objects.folder)) == 3, "the files of the last two checkpoints"
    assert len(store.place.names("attempt")) == 3


def test_half_written_file_never_travels(store: AttemptStore, workdir: Path, tmp_path: Path) -> None:
    write(workdir, 1)
    (workdir / "checkpoints" / "000000002.safetensors.part").write_text("half")
    assert Pusher(store, workdir, tmp_path / "spool").push()
    other = tmp_path / "other"
    assert taken_up(store, other)[0] == 1
    assert [path.name for path in other.rglob("*") if path.is_file()] == ["000000001.safetensors"]


@pytest.mark.parametrize("harm", ["lost", "damaged"])
def test_checkpoint_that_lacks_a_file_gives_way_to_the_one_before(
    store: AttemptStore, workdir: Path, tmp_path: Path, harm: str
) -> None:
    pusher = Pusher(store, workdir, tmp_path / "spool")
    for iteration in (1, 2):
        write(workdir, iteration)
        pusher.push()
    newest = tmp_path / "store" / "attempt" / "objects" / file_sha256(workdir / "checkpoints" / "000000002.safetensors")
    newest.unlink() if harm == "lost" else newest.write_text("something else")
    assert taken_up(store, tmp_path / "other") == (1, ["000000001.safetensors"])


def test_empty_store_means_a_beginning(store: AttemptStore, tmp_path: Path) -> None:
    assert taken_up(store, tmp_path / "other") == (0, [])


def request_of(space: Space, asset_id: AssetId, digest: str, *files: Path) -> Request:
    """A request that reads these files, which are sent."""
    refs = tuple(FileRef(path=f.name, sha256=file_sha256(f), size_bytes=f.stat().st_size) for f in files)
    wanted = Wanted(
        asset=asset_id.asset, partition=asset_id.partition, code_version="1", params_digest="p", params={}, seed=0,
        inputs={}, device_class="cpu",
    )  # fmt: skip
    attempt = space.attempt(asset_id, digest)
    request = Request(
        wanted=wanted, params={}, files=refs, store={}, inputs=space.inputs.folder, attempt=attempt.folder
    )
    space.claim(request)
    for file, ref in zip(files, refs, strict=True):
        space.inputs.push(file, ref.sha256)
        attempt.objects.push(file, ref.sha256)
    return request


def test_input_goes_with_the_last_attempt_that_reads_it(workspace: Workspace, tmp_path: Path) -> None:
    space = open_space(workspace, None)
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    shared.write_text("shared")
    alone.write_text("alone")
    first, second = AssetId("original_network"), AssetId("feature_network", "beard")
    one = request_of(space, first, "1" * 16, shared, alone)
    two = request_of(space, second, "2" * 16, shared)
    space.release(AttemptStore(space.place, one.attempt))
    assert space.place.names(space.inputs.folder) == [file_sha256(shared)]
    space.release(AttemptStore(space.place, two.attempt))
    assert not list(space.place.files.find(f"{space.place.root}/{space.root}"))


def test_attempt_with_other_settings_drops_what_the_one_before_left(workspace: Workspace, tmp_path: Path) -> None:
    space, asset_id, file = open_space(workspace, None), AssetId("original_network"), tmp_path / "file"
    file.write_text("content")
    request_of(space, asset_id, "1" * 16, file)
    new = request_of(space, asset_id, "2" * 16, file)
    assert space.place.names(new.attempt.rpartition("/")[0]) == ["2" * 16]
    assert space.place.has(f"{space.inputs.folder}/{file_sha256(file)}")


def test_nodes_are_told_no_secret(workspace: Workspace) -> None:
    dvc.run_dvc(workspace.root, "remote", "add", "-d", "cloud", "s3://bucket/faces")
    for key, value in {"endpointurl": "http://store:9000", "secret_access_key": "hush", "access_key_id": "me"}.items():
        dvc.run_dvc(workspace.root, "remote", "modify", "--local", "cloud", key, value)
    shown = shown_settings(workspace.root, open_place(workspace.root))
    assert shown["url"] == "s3://bucket/faces" and shown["endpointurl"] == "http://store:9000"
    assert not {"hush", "me"}.intersection(shown.values())


def test_node_keeps_inputs_up_to_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NODE_DIR_VARIABLE, str(tmp_path / "node"))
    monkeypatch.setenv(CACHE_VARIABLE, str(25e-9))  # 25 bytes
    objects = Objects(place_at({"url": str(tmp_path / "store")}), "inputs")
    hashes = []
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name * 10)
        hashes.append(file_sha256(tmp_path / name))
        objects.push(tmp_path / name, hashes[-1])
    with task_folder() as folder:
        for name, sha256 in zip("abc", hashes, strict=True):
            cached(objects, sha256, folder / name)
        assert (folder / "a").read_text() == "a" * 10
    left = sorted(path.name for path in (tmp_path / "node" / "cache").glob("??/*"))
    assert left == sorted(hashes[1:]), "what was used longest ago goes"
    assert not list((tmp_path / "node" / "tasks").iterdir())


def test_dead_steps_folder_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NODE_DIR_VARIABLE, str(tmp_path))
    dead = tmp_path / "tasks" / "dead"
    dead.mkdir(parents=True)
    (tmp_path / "tasks" / "dead.lock").touch()
    with task_folder() as folder, task_folder():
        assert folder.is_dir() and not dead.exists()


def test_node_with_other_code_refuses() -> None:
    text = json.dumps({"wanted": {"asset": "original_network"}})
    ended = execute("the digest of other code", text, None)
    assert ended.mistake is not None
    assert "other code for original_network" in ended.mistake[0]


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:port"])
def test_address_of_another_kind_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITLOOM_EXECUTOR", "local")
    monkeypatch.setenv("EDITLOOM_RAY_ADDRESS", "")
    with pytest.raises(UserError, match="no address of a Ray cluster"):
        choose("ray", address)


def test_address_without_ray_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITLOOM_EXECUTOR", "local")
    with pytest.raises(UserError, match="local executor"):
        choose(None, "head:6379")
