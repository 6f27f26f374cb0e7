"""The ingest folder is an input: what arrives, changes or goes there makes what depends on it run, and nothing else."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
import yaml

from data.errors import UserError
from orchestration.graph import AssetId, downstream, expand
from orchestration.new_workspace import presets
from orchestration.outside_files import outside_files, place
from orchestration.params import parse_params
from orchestration.photo_folder import FOLDER, photograph_hashes, photographs_digest
from orchestration.plan import plan
from orchestration.sections import Ingest
from orchestration.workspace import Workspace
from tests.orchestration.automation.drops import bare, make_all, photo, watched

IMAGES = AssetId("images")


@pytest.fixture
def made(tmp_path: Path) -> Workspace:
    """Every asset is made from a folder of photographs."""
    ws = bare(tmp_path)
    make_all(ws)
    return ws


def runs(ws: Workspace) -> dict[str, tuple[str, ...]]:
    return {str(item.id): item.reasons for item in plan(ws, ws.params(), expand(["beard"])) if item.action != "reuse"}


def digest(ws: Workspace) -> str:
    return outside_files(ws.root, ws.params(), IMAGES)["folder:photos"]


def test_new_photograph_runs_what_depends_on_the_folder_and_nothing_else(made: Workspace) -> None:
    assert runs(made) == {}
    photo(made.root / "photos" / "new.png", 50)
    found = runs(made)
    assert found["images"] == ("folder:photos changed",)
    assert {AssetId.parse(name).asset for name in found} == {"images", *downstream("images")}


@pytest.mark.parametrize("change", ["bytes", "name", "gone", "sidecar"])
def test_every_change_counts(made: Workspace, change: str) -> None:
    before, first = digest(made), made.root / "photos" / "000.png"
    if change == "bytes":
        times, content = first.stat(), first.read_bytes()
        first.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        os.utime(first, ns=(times.st_atime_ns, times.st_mtime_ns))  # same size, same time: `cp -p`
    elif change == "name":
        first.rename(first.with_name("renamed.png"))
    elif change == "gone":
        first.unlink()
    else:
        (made.root / "photos" / "album").mkdir()
        (made.root / "photos" / "album" / "sidecar.csv").write_text("file\n")
    assert digest(made) != before


def test_what_ingest_does_not_read_does_not_count(made: Workspace) -> None:
    (made.root / "photos" / ".batch-0.part").mkdir()
    photo(made.root / "photos" / ".batch-0.part" / "a.png", 60)
    first = made.root / "photos" / "000.png"
    os.utime(first, ns=(1, 1))
    assert runs(made) == {}


def test_photographs_that_are_elsewhere_do_not_speak_against_what_was_made(made: Workspace) -> None:
    (made.root / "photos").rename(made.root / "away")
    assert runs(made) == {}
    shutil.rmtree(made.root / FOLDER)
    (made.root / "away").rename(made.root / "photos")
    assert runs(made) == {}


def test_renderer_reads_no_folder(made: Workspace) -> None:
    document = yaml.safe_load(presets()["smoke"].read_text())
    assert outside_files(made.root, parse_params(document), IMAGES) == {}
    assert place("folder:photos") == "photos"


def test_look_that_runs_out_of_time_goes_on_from_there(tmp_path: Path) -> None:
    for number in range(5):
        photo(tmp_path / "many" / f"{number}.png", number)
    ingest = Ingest(path="many")
    with pytest.raises(TimeoutError, match="0 of 5 photographs"):
        photograph_hashes(tmp_path, ingest, time.monotonic() - 1)
    assert len(photograph_hashes(tmp_path, ingest, time.monotonic() + 3600)) == 5
    assert photographs_digest(tmp_path, ingest) == photographs_digest(tmp_path, ingest)
    assert photographs_digest(tmp_path, Ingest(path="gone")) is None


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"inbox": {"enabled": True}}, "automation.inbox.path is not set"),
        (watched(attribute="beard"), "inbox.attribute is beard, which has no attribute_images"),
        ({"schedules": {"attribut": "0 3 * * 1"}}, "the nearest is attribute"),
        ({"schedules": {"attribute": "0 3 * *"}}, "is no cron line"),
        ({"timezone": "Paris"}, "no time zone `Paris`"),
        ({"freshness": {"attribute_report": 3}}, "attribute_report` is no release"),
        ({"failures": {"webhook": "ftp://x"}}, "automation.failures.webhook"),
    ],
)
def test_settings_that_cannot_be_are_told(made: Workspace, section: dict[str, object], said: str) -> None:
    document = yaml.safe_load(made.params_file.read_text())
    made.params_file.write_text(yaml.safe_dump({**document, "automation": section}))
    with pytest.raises(UserError, match=said):
        made.params()
