"""A release's bundle: checked by its own verifier alone, which finds and names whatever was changed in it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.errors import UserError
from data.manifest import read_manifest
from orchestration.signing.bundle import write_bundle
from orchestration.store import keys
from orchestration.workspace import Workspace
from tests.orchestration.signing.released import flip, model_name

ABSENT = "ab" * 32
Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def bundle(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the champion, with proofs about an image that was held out and one that never was."""
    out = tmp_path_factory.mktemp("bundle") / "beard.zip"
    image = str(read_manifest(finished.payload("images"))["sha256"][0])
    facts = write_bundle(finished, f"{model_name(finished)}@champion", out, [image, ABSENT])
    assert (facts.datasets, facts.proofs) == (3, 6)
    return out


@pytest.fixture
def unpacked(bundle: Path, tmp_path: Path) -> Path:
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "unpacked")
    return tmp_path / "unpacked"


def verified(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run verify.py from outside the repository: of what is installed it may import cryptography alone."""
    watch = (
        "import runpy, sys; script = sys.argv[1]; sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(script, run_name='__main__')\n"
        "finally:\n"
        "  loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "  bad = loaded & {'data', 'training', 'evaluation', 'orchestration', 'torch', 'numpy', 'securesystemslib'}\n"
        "  assert not bad, bad\n"
    )
    command = [sys.executable, "-I", "-c", watch, str(folder / "verify.py"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def test_bundle_holds_by_the_releasers_key_and_says_what_it_shows(
    bundle: Path, unpacked: Path, finished: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "public.pem").write_bytes(keys.signing_key(finished.root).public_pem)
    status, said = verified(unpacked, "--key", str(tmp_path / "public.pem"))
    assert status == 0, said
    for what in ("signatures", "chain", "model", "release", "payload", "lineage", "data set", "image", "decision"):
        assert f"  {what}: " in said, what
    assert said.count("is not in the data set") >= 3 and " is in the data set" in said
    assert "FAIL" not in said and "mlflow/policy.yaml" in said
    status, said = verified(unpacked, str(bundle))  # the zip as it is, by its own keys
    assert status == 0 and "compare it with one that you trust" in said


def test_bundle_written_twice_is_the_same_bytes(finished: Workspace, bundle: Path, tmp_path: Path) -> None:
    image = str(read_manifest(finished.payload("images"))["sha256"][0])
    write_bundle(finished, f"{model_name(finished)}@champion", tmp_path / "again.zip", [image, ABSENT])
    assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()


def changed(name: str, change: Callable[[Any], None]) -> Change:
    """A change of one JSON document of a bundle."""

    def apply(folder: Path) -> None:
        document = json.loads((folder / name).read_text())
        change(document)
        (folder / name).write_text(json.dumps(document))

    return apply


def _other_params(ledger: Any) -> None:
    """Say of the editor that it was trained with another seed."""
    envelope = next(one["envelope"] for one in ledger["entries"] if _said(one)["subject"] == "attribute_editor[beard]")
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"]["body"]["wanted"]["seed"] += 1
    text = json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    envelope["payload"] = base64.b64encode(text.encode()).decode()


def _said(one: Any) -> Any:
    return json.loads(base64.b64decode(one["envelope"]["payload"]))["predicate"]


def _without_images(ledger: Any) -> None:
    ledger["entries"] = [one for one in ledger["entries"] if _said(one)["subject"] != "images"]


def _swap_signatures(ledger: Any) -> None:
    first, second = (one["envelope"] for one in ledger["entries"][:2])
    first["signatures"], second["signatures"] = second["signatures"], first["signatures"]


def _claim_presence(proofs: Any) -> None:
    proof = next(one for one in proofs["images"] if one["image"] == ABSENT)["proof"]
    proof["present"], proof["leaves"] = True, proof["leaves"][:1]


def _shift(proofs: Any) -> None:
    proofs["images"][0]["proof"]["leaves"][0]["position"] += 1


def _fewer_images(proofs: Any) -> None:
    facts = json.loads(proofs["datasets"][0]["dataset"])
    facts["count"] -= 1
    proofs["datasets"][0]["dataset"] = json.dumps(facts)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda folder: flip(folder / "model" / "editor.safetensors"), "model/editor.safetensors is altered"),
        (lambda folder: (folder / "model" / "alignment.json").unlink(), "model/alignment.json is missing"),
        (lambda folder: (folder / "model" / "more.json").write_text("{}"), "model/more.json is added"),
        (changed("ledger.json", _other_params), "(materialization of attribute_editor[beard]) is signed by no key"),
        (changed("ledger.json", lambda ledger: ledger["chain"].pop(2)), "chain: entry"),
        (changed("ledger.json", lambda ledger: ledger["chain"].pop()), "cannot be read"),
        (changed("ledger.json", _without_images), "its input images"),
        (changed("ledger.json", _swap_signatures), "is signed by no key"),
        (changed("proofs.json", _claim_presence), f"the proof about {ABSENT}"),
        (changed("proofs.json", _shift), "image: the proof about"),
        (changed("proofs.json", _fewer_images), "data set: entry"),
        (lambda folder: (folder / "model" / "ledger_head.json").write_text('{"seq": 1}'), "release: cannot be read"),
        (lambda folder: (folder / "ledger.json").write_text("no"), "bundle: cannot be read"),
    ],
)  # fmt: skip
def test_whatever_was_changed_is_found_and_named(unpacked: Path, change: Change, found: str) -> None:
    change(unpacked)
    status, said = verified(unpacked)
    failing = [line for line in said.splitlines() if line.startswith("FAIL")]
    assert status == 1 and any(found in line for line in failing), said


def test_key_of_somebody_else_proves_nothing(unpacked: Path, tmp_path: Path) -> None:
    other, _ = keys.create(tmp_path / "other")
    (tmp_path / "other.pem").write_bytes(other.public_pem)
    status, said = verified(unpacked, "--key", str(tmp_path / "other.pem"))
    assert status == 1 and "model.sig is by no key that counts here" in said and "is signed by no key" in said
    (tmp_path / "other.pem").write_text("no key")
    assert verified(unpacked, "--key", str(tmp_path / "other.pem"))[0] == 2


@pytest.mark.parametrize(
    ("spec", "name", "prove", "said"),
    [
        ("champion", "beard.tar", (), "no name for a bundle"),
        ("champion", "nowhere/beard.zip", (), "does not exist"),
        ("champion", "beard.zip", ("beard.png",), "no sha256 of an image"),
        ("staging", "beard.zip", (), "no alias"),
    ],
)
def test_impossible_bundle_is_told_and_writes_nothing(
    finished: Workspace, tmp_path: Path, spec: str, name: str, prove: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        write_bundle(finished, f"{model_name(finished)}@{spec}", tmp_path / name, prove)
    assert list(tmp_path.iterdir()) == []
