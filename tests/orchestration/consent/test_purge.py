"""A purge leaves no byte of a withdrawn image, takes nothing that is in use, and says what it did."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from data.errors import UserError
from data.manifest import read_manifest
from data.shards import iter_payloads
from orchestration.consent import purge, stored_objects
from orchestration.consent.changes import change_one
from orchestration.consent.naming import Named, named
from orchestration.consent.purge import plan_purge, purge_now
from orchestration.consent.receipts import PREDICATE_TYPE, write_receipt
from orchestration.store import chain, envelope, ledger
from orchestration.store.dvc import cache_dir
from orchestration.store.keys import trusted_keys
from orchestration.workspace import Workspace
from tests.orchestration.consent.lines import ALIGNED, IMAGES, REPORT, first_image, rendered_sets
from tests.orchestration.published import put, text

Editloom = Callable[..., subprocess.CompletedProcess[str]]
QUIET = Console(quiet=True)


@pytest.fixture
def withdrawn(workspace: Workspace) -> tuple[Named, list[bytes]]:
    """A held-out image of two sets and a report, withdrawn and everything made again; its bytes and its crop's."""
    _, aligned = rendered_sets(workspace)
    put(workspace, REPORT, {"aligned_images": aligned}, text("worst.png", "shows it"))
    image = first_image(workspace, "test")
    pngs = [png_of(workspace, "images", image, "sha256"), png_of(workspace, "aligned_images", image, "parent")]
    (workspace.root / ".dvc-store").mkdir(exist_ok=True)
    copy_cache_to_remote(workspace)
    preview = workspace.root / IMAGES.evidence_path / "preview.png"
    preview.parent.mkdir(parents=True, exist_ok=True)
    preview.write_bytes(pngs[0])
    known = named(workspace, image, None)
    change_one(workspace, known, "withdrawn", "asked by mail", "Ada")
    return known, pngs


def make_again(ws: Workspace) -> None:
    _, aligned = rendered_sets(ws)
    put(ws, REPORT, {"aligned_images": aligned}, text("worst.png", "shows others"))


def png_of(ws: Workspace, asset: str, sha256: str, column: str) -> bytes:
    manifest = read_manifest(ws.payload(asset))
    return next(iter_payloads(ws.payload(asset), manifest[manifest[column] == sha256]))


def copy_cache_to_remote(ws: Workspace) -> None:
    """What `dvc push` would do, without the seconds that it takes."""
    for path in cache_dir(ws.root).rglob("*"):
        target = ws.root / ".dvc-store" / "files" / "md5" / path.relative_to(cache_dir(ws.root))
        target.mkdir(parents=True, exist_ok=True) if path.is_dir() else target.write_bytes(path.read_bytes())


def holders(ws: Workspace, pngs: list[bytes]) -> set[Path]:
    """Every file of the workspace that holds one of the images."""
    files = [path for path in ws.root.rglob("*") if path.is_file()]
    return {path.relative_to(ws.root) for path in files if any(png in path.read_bytes() for png in pngs)}


def test_no_byte_is_left_and_the_ledger_keeps_the_digests(
    workspace: Workspace, withdrawn: tuple[Named, list[bytes]]
) -> None:
    known, pngs = withdrawn
    with pytest.raises(UserError, match=r"still stands in what is in use: images, aligned_images, attribute_report"):
        purge_now(workspace, known, "law", "Ada", QUIET)
    make_again(workspace)
    places = {path.parts[0] for path in holders(workspace, pngs)}
    assert places == {".dvc", ".dvc-store", "artifacts"}  # cache, remote, the old preview
    planned = plan_purge(workspace, known, "law", "Ada")
    assert (
        holders(workspace, pngs) and len(planned.removed) == 2 * 3 + 1
    )  # two shards and a picture, twice; the preview
    purge_now(workspace, known, "law", "Ada", QUIET)
    assert holders(workspace, pngs) == set()
    entry = ledger.entries(workspace.root, kind=ledger.PURGE)[0]
    assert set(known.hashes) == set(entry.body["images"]) and entry.subject == known.image
    assert {one["asset"] for one in entry.body["versions"]} == {"images", "aligned_images"}
    assert {one["where"] for one in entry.body["removed"]} == {"dvc cache", "remote:local", "evidence"}
    assert entry.body["other_images"] == 22 and chain.verify_chain(workspace.root) == []
    for asset in (IMAGES, ALIGNED):
        manifest = read_manifest(workspace.payload(asset.asset))
        assert len(list(iter_payloads(workspace.payload(asset.asset), manifest))) == 11


def test_purging_twice_makes_one_entry(workspace: Workspace, withdrawn: tuple[Named, list[bytes]]) -> None:
    make_again(workspace)
    purge_now(workspace, withdrawn[0], "law", "Ada", QUIET)
    again = purge_now(workspace, withdrawn[0], "law", "Ada", QUIET)
    assert again.removed == () and len(ledger.entries(workspace.root, kind=ledger.PURGE)) == 1
    assert again.sentence("were removed").startswith("Nothing that shows")


def test_purge_that_a_crash_cut_off_is_ended_by_the_next(
    workspace: Workspace, withdrawn: tuple[Named, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_again(workspace)
    seen = []

    def crash(*arguments: object) -> None:
        seen.append(arguments)
        if len(seen) == 3:
            raise KeyboardInterrupt
        stored_objects_remove(*arguments)

    stored_objects_remove: Callable[..., None] = stored_objects.remove_object
    with monkeypatch.context() as patch:
        patch.setattr(stored_objects, "remove_object", crash)
        with pytest.raises(KeyboardInterrupt):
            purge_now(workspace, withdrawn[0], "law", "Ada", QUIET)
    assert ledger.entries(workspace.root, kind=ledger.PURGE) == [] and holders(workspace, withdrawn[1])
    purge_now(workspace, withdrawn[0], "law", "Ada", QUIET)
    entry, *more = ledger.entries(workspace.root, kind=ledger.PURGE)
    assert more == [] and len(entry.body["removed"]) == 7 and holders(workspace, withdrawn[1]) == set()
    assert list((workspace.state / purge.INTENTS).glob("*")) == []


def test_only_what_is_withdrawn_may_be_purged(workspace: Workspace, withdrawn: tuple[Named, list[bytes]]) -> None:
    other = named(workspace, first_image(workspace, "train"), None)
    with pytest.raises(UserError, match="is not withdrawn"):
        purge_now(workspace, other, "law", "Ada", QUIET)
    with pytest.raises(UserError, match="needs --reason"):
        purge_now(workspace, withdrawn[0], "", "Ada", QUIET)


def test_remote_that_is_away_stops_a_purge_before_it_begins(
    workspace: Workspace, withdrawn: tuple[Named, list[bytes]]
) -> None:
    make_again(workspace)
    config = workspace.root / ".dvc" / "config"
    config.write_text(config.read_text() + "['remote \"away\"']\n    url = http://127.0.0.1:9/store\n")
    before = holders(workspace, withdrawn[1])
    with pytest.raises(UserError, match="away"):
        purge_now(workspace, withdrawn[0], "law", "Ada", QUIET)
    assert holders(workspace, withdrawn[1]) == before


def test_photographs_and_their_sidecar_rows_go_under_every_name(
    workspace: Workspace, withdrawn: tuple[Named, list[bytes]], change_params: Callable[..., None]
) -> None:
    make_again(workspace)
    inbox = workspace.root / "inbox"
    inbox.mkdir()
    for name, png in (("a.png", withdrawn[1][0]), ("copy of a.png", withdrawn[1][0]), ("b.png", b"another")):
        (inbox / name).write_bytes(png)
    (workspace.root / "people.csv").write_text("file,subject\na.png,ann\nb.png,bob\n")
    source = {"images.source": "folder", "images.ingest.path": "inbox", "images.ingest.sidecar": "people.csv"}
    source |= {"aligned_images.detector": "dlib"}
    change_params(workspace, {**source, "images.ingest.consent_default": "granted", "images.ingest.attested_by": "A"})
    purge_now(workspace, withdrawn[0], "law", "Ada", QUIET)
    assert [path.name for path in inbox.iterdir()] == ["b.png"]
    assert (workspace.root / "people.csv").read_text() == "file,subject\nb.png,bob\n"


def test_receipt_is_signed_and_says_what_was_done(
    workspace: Workspace, withdrawn: tuple[Named, list[bytes]], tmp_path: Path
) -> None:
    make_again(workspace)
    purge_now(workspace, withdrawn[0], "law", "Ada", QUIET)
    document = json.loads(write_receipt(workspace, withdrawn[0], tmp_path / "receipt.json").read_text())
    payload, signatures = envelope.payload_of(document["envelope"])
    assert envelope.signers(payload, signatures, trusted_keys(workspace.root))
    statement = json.loads(base64.b64decode(document["envelope"]["payload"]))
    said = statement["predicate"]
    assert statement["predicateType"] == PREDICATE_TYPE and said["sentences"] == document["summary"]
    assert [one["state"] for one in said["changes"]] == ["withdrawn"] and len(said["purged"]) == 1
    assert {one["asset"]: one["how"] for one in said["descendants"]} == {
        "images": "holds", "aligned_images": "holds", str(REPORT): "measured",
    }  # fmt: skip
    assert {one["asset"] for one in said["made_again"]} == {"images", "aligned_images", str(REPORT)}
    assert said["still_descends"] == []


def test_commands_tell_mistakes_in_a_sentence_and_import_no_torch(workspace: Workspace, editloom: Editloom) -> None:
    unknown = editloom(workspace, "consent", "withdraw", "--image", "f" * 64, "--reason", "r")
    assert unknown.returncode == 2 and "No image set in the ledger holds" in unknown.stderr
    assert "Traceback" not in unknown.stderr
    code = "import sys, orchestration.cli, orchestration.consent.purge, orchestration.consent.changes, "
    code += "orchestration.consent.demotion, orchestration.consent.receipts, orchestration.consent.effects, "
    code += "orchestration.summary; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
