"""A publication is whole or not at all, and recorded once, wherever it is cut."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from data.fail_points import VARIABLE
from orchestration.graph import AssetId
from orchestration.store import chain, journal, keys, ledger, stat_cache
from orchestration.store.ledger import LedgerEntry
from orchestration.store.payload import PayloadError
from orchestration.store.publish import OnPublished, publish, recover
from orchestration.store.records import PublishRecord, Wanted
from orchestration.store.staging import STAGING, staging_dir

IMAGES = AssetId("images")


@pytest.fixture(autouse=True)
def key(tmp_path: Path) -> None:
    """What signs the entries."""
    keys.create(tmp_path)


def wanted() -> Wanted:
    return Wanted(
        asset="images",
        partition=None,
        code_version="1",
        params_digest="p",
        params={"images": {"count": 3}},
        seed=0,
        inputs={},
        device_class="any",
    )


def publish_text(root: Path, text: str, on_published: Sequence[OnPublished] = ()) -> LedgerEntry:
    """Publish a payload of one file, DVC aside: test_dvc.py is about that."""
    with staging_dir(root, IMAGES) as staged:
        (staged / "a.json").write_text(text)
        return publish(root, PublishRecord(wanted=wanted()), staged, on_published=on_published, commit_dvc=False)


def killed_publish(root: Path, text: str, at: str) -> None:
    """Publish in a process that dies at a fail point."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from pathlib import Path; "
    code += f"from test_publish import publish_text; publish_text(Path({str(root)!r}), {text!r})"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {VARIABLE: at}, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def text_in_place(root: Path) -> str | None:
    path = root / IMAGES.path / "a.json"
    return path.read_text() if path.exists() else None


def test_published_payload_stands_in_place_with_its_entry(tmp_path: Path) -> None:
    told: list[LedgerEntry] = []
    entry = publish_text(tmp_path, "one", [told.append])
    assert text_in_place(tmp_path) == "one"
    assert told == [entry] == ledger.entries(tmp_path)
    assert entry.materialization.wanted == wanted()
    assert stat_cache.version_in_place(tmp_path, IMAGES, verify_bytes=True) == entry.materialization.data_version
    assert journal.unfinished(tmp_path) == []
    assert list((tmp_path / STAGING).iterdir()) == []


@pytest.mark.parametrize("at", ["intent-written", "payload-swapped", "dvc-committed", "ledger-written"])
@pytest.mark.parametrize("earlier", [None, "old"])
def test_killed_publication_is_completed_once(tmp_path: Path, at: str, earlier: str | None) -> None:
    if earlier:
        publish_text(tmp_path, earlier)
    killed_publish(tmp_path, "new", at)
    assert text_in_place(tmp_path) in {earlier, "new"}
    told: list[LedgerEntry] = []
    assert recover(tmp_path, [told.append]) == [IMAGES]
    assert recover(tmp_path, [told.append]) == []
    assert text_in_place(tmp_path) == "new"
    assert [entry.subject for entry in ledger.entries(tmp_path)] == ["images"] * (2 if earlier else 1)
    assert told == ledger.entries(tmp_path)[-1:]
    assert chain.verify_chain(tmp_path) == []
    assert list((tmp_path / STAGING).iterdir()) == []


def test_publication_whose_bytes_are_lost_is_rolled_back(tmp_path: Path) -> None:
    publish_text(tmp_path, "old")
    killed_publish(tmp_path, "new", "intent-written")
    (staged,) = [path for path in (tmp_path / STAGING).iterdir() if path.is_dir()]
    (staged / "a.json").write_text("ne")
    assert recover(tmp_path) == [IMAGES]
    assert text_in_place(tmp_path) == "old"
    assert len(ledger.entries(tmp_path)) == 1
    assert journal.unfinished(tmp_path) == []


def test_next_publication_completes_the_one_before(tmp_path: Path) -> None:
    killed_publish(tmp_path, "one", "payload-swapped")
    publish_text(tmp_path, "two")
    assert text_in_place(tmp_path) == "two"
    assert len(ledger.entries(tmp_path)) == 2


def test_listener_that_fails_is_told_again_and_loses_nothing(tmp_path: Path) -> None:
    def away(_: LedgerEntry) -> None:
        raise ConnectionError("tracking server is away")

    entry = publish_text(tmp_path, "one", [away])
    assert [intent.state for intent in journal.unfinished(tmp_path)] == ["recorded"]
    told: list[LedgerEntry] = []
    recover(tmp_path, [told.append])
    assert told == [entry] == ledger.entries(tmp_path)
    assert journal.unfinished(tmp_path) == []


def test_unsafe_payload_leaves_the_old_one(tmp_path: Path) -> None:
    publish_text(tmp_path, "old")
    with pytest.raises(PayloadError), staging_dir(tmp_path, IMAGES) as staged:
        (staged / "a.pkl").write_text("x")
        publish(tmp_path, PublishRecord(wanted=wanted()), staged, commit_dvc=False)
    assert text_in_place(tmp_path) == "old"
    assert len(ledger.entries(tmp_path)) == 1
