"""Payloads and ledger in a remote, on a local disk and in a real S3 server: what one checkout made, another one has."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from moto.server import ThreadedMotoServer

from data.errors import UserError
from orchestration.graph import AssetId
from orchestration.plan import wanted
from orchestration.remote.exchange import pull, push
from orchestration.remote.place import open_place
from orchestration.remote.transport import ENTRIES, KEYS, accept, receive, send
from orchestration.store import chain, dvc, keys, ledger
from orchestration.store.lockfile import sync
from orchestration.store.payload import digest_payload
from orchestration.store.publish import publish
from orchestration.store.records import PublishRecord
from orchestration.store.staging import staging_dir
from orchestration.workspace import Workspace

IMAGES, ALIGNED, BEARD = AssetId("images"), AssetId("aligned_images"), AssetId("attribute_images", "beard")
BUCKET = "artifacts"


def make(ws: Workspace, asset_id: AssetId, text: str) -> str:
    """Publish one small file as an asset's payload, without DVC; returns the data version."""
    record = PublishRecord(wanted=wanted(ws, ws.params(), asset_id))
    with staging_dir(ws.root, asset_id) as staged:
        (staged / "a.json").write_text(json.dumps(text))
        return publish(ws.root, record, staged, commit_dvc=False).materialization.data_version


def commit(ws: Workspace, message: str) -> None:
    """What follows a run: DVC brought up, dvc.lock in git."""
    sync(ws.root, ws.params())
    git(ws.root, "add", "--all")
    git(ws.root, "-c", "user.name=T", "-c", "user.email=t@localhost", "commit", "-q", "-m", message)


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def clone(ws: Workspace, folder: Path) -> Workspace:
    """Another person's checkout: what git has, and the same remote."""
    git(ws.root.parent, "clone", "-q", str(ws.root), str(folder))
    if open_place(ws.root).local:
        with (folder / ".dvc" / "config.local").open("w") as config:
            config.write(f"['remote \"local\"']\n    url = {ws.root / '.dvc-store'}\n")
    return Workspace.at(folder)


def heads(ws: Workspace) -> list[str]:
    return [entry.entry_hash for entry in ledger.entries(ws.root)]


@pytest.fixture(scope="module")
def published(empty_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two commits: three assets, then a newer version of the two later ones. Nothing pushed."""
    root = tmp_path_factory.mktemp("published") / "ws"
    ws = Workspace.at(shutil.copytree(empty_workspace, root, symlinks=True))
    for asset_id in (IMAGES, ALIGNED, BEARD):
        make(ws, asset_id, "first")
    commit(ws, "first")
    for asset_id in (ALIGNED, BEARD):
        make(ws, asset_id, "second")
    commit(ws, "second")
    return root


@pytest.fixture
def origin(published: Path, tmp_path: Path) -> Workspace:
    return Workspace.at(shutil.copytree(published, tmp_path / "origin", symlinks=True))


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """The address of an S3-compatible server in this process, on a free port."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, origin: Workspace, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket as the default remote of `origin`, set as a user would; returns its address."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for method, path in {"POST": "moto-api/reset", "PUT": BUCKET}.items():
        urlopen(Request(f"{s3_server}/{path}", method=method))
    use_s3(origin, s3_server)
    git(origin.root, "-c", "user.name=T", "-c", "user.email=t@localhost", "commit", "-aqm", "S3")
    return s3_server


def use_s3(ws: Workspace, address: str) -> None:
    dvc.run_dvc(ws.root, "remote", "add", "-d", "store", f"s3://{BUCKET}/faces")
    dvc.run_dvc(ws.root, "remote", "modify", "store", "endpointurl", address)


def test_clone_gets_payloads_and_a_ledger_that_verifies(origin: Workspace, tmp_path: Path) -> None:
    assert push(origin).entries == 5
    other = clone(origin, tmp_path / "other")
    done = pull(other)
    assert (done.entries, done.stages) == (5, 3)
    assert heads(other) == heads(origin)
    assert dvc.run_dvc(other.root, "status", "images", "aligned_images", BEARD.stage).strip().endswith("up to date.")
    for asset_id in (IMAGES, ALIGNED, BEARD):
        last = ledger.last_entry(other.root, asset_id.asset, asset_id.partition)
        assert last and digest_payload(other.root / asset_id.path).root == last.materialization.data_version
    # The key came with the ledger, and is a stranger's until a person trusts it.
    (keyid,) = done.strangers
    assert all("does not trust" in sentence for sentence in chain.verify_chain(other.root))
    keys.trust(other.root, keys.distributed_keys(other.root)[keyid])
    assert chain.verify_chain(other.root) == []


def test_s3_remote_gives_a_clone_everything(origin: Workspace, s3: str, tmp_path: Path) -> None:
    assert push(origin).entries == 5
    assert push(origin).entries == 0
    other = clone(origin, tmp_path / "other")
    assert pull(other).entries == 5
    assert heads(other) == heads(origin)
    assert digest_payload(other.root / BEARD.path).root == digest_payload(origin.root / BEARD.path).root
    make(origin, IMAGES, "third")
    assert push(origin).entries == 1
    assert pull(other).entries == 1
    assert heads(other) == heads(origin)


def test_s3_lets_one_of_two_writers_win(origin: Workspace, s3: str) -> None:
    place = open_place(origin.root)
    assert place.create("editloom/x", b"first") and not place.create("editloom/x", b"second")
    assert place.read("editloom/x") == b"first"


def test_any_past_commit_has_its_artifacts(origin: Workspace, tmp_path: Path) -> None:
    push(origin, all_commits=True)
    other = clone(origin, tmp_path / "other")
    pull(other)
    assert json.loads((other.root / BEARD.path / "a.json").read_text()) == "second"
    git(other.root, "checkout", "-q", "HEAD~1")
    pull(other)
    assert json.loads((other.root / BEARD.path / "a.json").read_text()) == "first"
    made = ledger.entries(other.root, str(BEARD))[0].materialization
    assert digest_payload(other.root / BEARD.path).root == made.data_version


def test_named_targets_are_all_that_comes(origin: Workspace, tmp_path: Path) -> None:
    push(origin)
    other = clone(origin, tmp_path / "other")
    assert pull(other, ["attribute_images[beard]"]).stages == 1
    assert (other.root / BEARD.path).is_dir() and not (other.root / IMAGES.path).exists()
    with pytest.raises(UserError, match=r"no version of judges"):
        pull(other, ["judges"])
    with pytest.raises(UserError, match=r"attribute_images\[hat\]"):
        pull(other, ["attribute_images[hat]"])


def test_push_onto_entries_that_are_not_here_asks_for_a_pull(origin: Workspace, tmp_path: Path) -> None:
    behind = Workspace.at(shutil.copytree(origin.root, tmp_path / "behind", symlinks=True))
    dvc.run_dvc(behind.root, "remote", "modify", "local", "url", str(origin.root / ".dvc-store"))
    make(origin, IMAGES, "third")
    push(origin)
    with pytest.raises(UserError, match="1 entries that are not here") as told:
        push(behind)
    assert told.value.hint and "editloom pull" in told.value.hint
    assert pull(behind).entries == 1 and push(behind).entries == 0


def test_histories_that_part_are_told_and_nothing_changes(origin: Workspace, tmp_path: Path) -> None:
    other = Workspace.at(shutil.copytree(origin.root, tmp_path / "other", symlinks=True))
    dvc.run_dvc(other.root, "remote", "modify", "local", "url", str(origin.root / ".dvc-store"))
    for ws, text in ((origin, "here"), (other, "there")):
        make(ws, IMAGES, text)
    push(origin)
    before, there = heads(other), open_place(origin.root).names(ENTRIES)
    for act in (push, pull):
        with pytest.raises(UserError, match="part after entry 5: 1 more here, 1 others there"):
            act(other)
    assert heads(other) == before and open_place(origin.root).names(ENTRIES) == there


def test_ledger_of_another_workspace_is_refused(origin: Workspace, workspace: Workspace) -> None:
    push(origin)
    make(workspace, IMAGES, "mine")
    dvc.run_dvc(workspace.root, "remote", "modify", "local", "url", str(origin.root / ".dvc-store"))
    for act in (push, pull):
        with pytest.raises(UserError, match="another workspace: its first entry is"):
            act(workspace)


def test_two_pushes_at_once_lose_no_entry(origin: Workspace, tmp_path: Path) -> None:
    """Of two that go on from the same entry, one wins; the other is told and its entries are still its own."""
    other = Workspace.at(shutil.copytree(origin.root, tmp_path / "other", symlinks=True))
    place = open_place(origin.root)
    send(origin.root, place, ledger.entries(origin.root))
    for ws, text in ((origin, "a"), (other, "b")):
        for number in range(3):
            make(ws, IMAGES, f"{text}{number}")
    code = (
        "import sys; from pathlib import Path; from orchestration.remote.place import open_place; "
        "from orchestration.remote.transport import send; from orchestration.store import ledger; "
        "root = Path(sys.argv[1]); send(root, open_place(Path(sys.argv[2])), ledger.entries(root))"
    )
    calls = [[sys.executable, "-c", code, str(ws.root), str(origin.root)] for ws in (origin, other)]
    status = [one.wait(timeout=60) for one in [subprocess.Popen(call, stderr=subprocess.DEVNULL) for call in calls]]
    assert sorted(status) == [0, 1]
    winner = (origin, other)[status.index(0)]
    assert len(place.names(ENTRIES)) == 2
    fresh = clone(origin, tmp_path / "fresh")
    accept(fresh.root, receive(fresh.root, place))
    assert heads(fresh) == heads(winner)


def test_payload_that_was_never_pushed_is_named_and_nothing_changes(origin: Workspace, tmp_path: Path) -> None:
    send(origin.root, open_place(origin.root), ledger.entries(origin.root))
    other = clone(origin, tmp_path / "other")
    with pytest.raises(UserError, match=r"lacks payloads that dvc.lock names: images, aligned_images"):
        pull(other)
    assert ledger.entries(other.root) == [] and not (other.root / IMAGES.path).exists()


@pytest.mark.parametrize("damage", ["byte", "signature", "cut", "missing key"])
def test_damaged_ledger_is_not_taken_over(origin: Workspace, tmp_path: Path, damage: str) -> None:
    push(origin)
    folder = origin.root / ".dvc-store"
    (file,) = (folder / ENTRIES).iterdir()
    lines = file.read_text().splitlines()
    if damage == "missing key":
        shutil.rmtree(folder / KEYS)
    elif damage == "cut":
        file.write_text("\n".join([*lines[:-1], lines[-1][:-40]]))
    else:
        last = json.loads(lines[-1])
        if damage == "byte":
            last["payload"] = json.loads(lines[-2])["payload"]
        else:
            last["signatures"] = json.loads(lines[-2])["signatures"]
        file.write_text("\n".join([*lines[:-1], json.dumps(last)]))
    other = clone(origin, tmp_path / "other")
    with pytest.raises(UserError, match="is damaged"):
        pull(other)
    assert ledger.entries(other.root) == [] and not (other.root / IMAGES.path).exists()


def test_remote_that_is_down_changes_nothing(
    origin: Workspace, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = clone(origin, tmp_path / "other")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # a user's own knob; seconds of waiting show nothing here
    for ws, act in ((origin, push), (other, pull)):
        dvc.run_dvc(ws.root, "remote", "modify", "store", "endpointurl", "http://127.0.0.1:1")
        with pytest.raises(UserError, match=r"store \(s3://artifacts/faces\) does not answer") as told:
            act(ws)
        assert told.value.hint and "credentials" in told.value.hint
    assert ledger.entries(other.root) == [] and not (other.root / "artifacts" / "images").exists()


def test_bucket_that_does_not_exist_is_told(origin: Workspace, s3: str) -> None:
    dvc.run_dvc(origin.root, "remote", "modify", "store", "url", "s3://no-such-bucket/faces")
    with pytest.raises(UserError, match="store"):
        push(origin)


def test_wrong_remotes_are_told_with_what_there_is(origin: Workspace, workspace: Workspace) -> None:
    with pytest.raises(UserError, match=r"no DVC remote 'nowhere'. Remotes: local"):
        push(origin, "nowhere")
    with pytest.raises(UserError, match="holds no ledger"):
        pull(origin)
    with pytest.raises(UserError, match="nothing was made here yet"):
        push(workspace)
    config = origin.root / ".dvc" / "config"
    config.write_text(config.read_text().replace("    remote = local\n", ""))
    with pytest.raises(UserError, match="no default remote"):
        push(origin)


def test_commands_tell_what_went_and_what_is_not_trusted(origin: Workspace, tmp_path: Path) -> None:
    make(origin, IMAGES, "third")
    sync(origin.root, origin.params())
    said = command(origin, "push")
    assert "6 new ledger entries" in said and "dvc.lock is not committed" in said
    commit(origin, "third")
    said = command(clone(origin, tmp_path / "other"), "pull")
    assert "editloom keys trust ledger/keys/" in said and "payloads of 3 stages" in said


def command(ws: Workspace, name: str) -> str:
    call = [sys.executable, "-m", "orchestration.cli", name]
    done = subprocess.run(call, cwd=ws.root, env=None, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_pull_and_push_import_no_torch() -> None:
    code = "import sys, orchestration.remote.exchange, orchestration.remote.commands; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
