"""A data drop: complete files only, each once, all at once, and one request that makes what depends on it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from data.errors import UserError
from data.quarantine import read_quarantine
from orchestration.automation import batches
from orchestration.automation.graph_run import editloom_run
from orchestration.automation.inbox import SEEN, Cursor, Look, look
from orchestration.automation.inbox_files import InboxFiles
from orchestration.automation.sensors import inbox_sensor
from orchestration.consent.registry import ConsentChange, record_changes
from orchestration.graph import AssetId, downstream, expand
from orchestration.plan import plan
from orchestration.workspace import VARIABLE, Workspace
from tests.orchestration.automation.drops import bare, broken, drop, folder_params, make_all, photo, watched

AGES_S = 3600.0


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return bare(tmp_path)


class Watch:
    """Looks at an inbox one after the other, by a clock of its own."""

    def __init__(self, ws: Workspace) -> None:
        self.ws, self.now, self.cursor = ws, 1_000_000.0, Cursor({}, ())

    def after(self, seconds: float) -> Look:
        """The look some seconds after the last one; its cursor goes through text, as Dagster keeps it."""
        self.now += seconds
        found = look(self.ws, self.ws.params().automation.inbox, self.cursor, self.now, time.monotonic() + AGES_S)
        self.cursor = Cursor.read(found.cursor.write())
        return found


@pytest.fixture
def watch(ws: Workspace) -> Watch:
    return Watch(ws)


def inside(ws: Workspace) -> list[str]:
    """What the ingest folder holds, without what was there from the start."""
    found = (path.relative_to(ws.root / "photos").as_posix() for path in (ws.root / "photos").rglob("*"))
    return sorted(name for name in found if "/" in name or name.startswith("."))


def test_drop_becomes_one_batch_when_it_is_complete_and_never_again(ws: Workspace, watch: Watch) -> None:
    drop(ws.root / "inbox", range(100, 105))
    assert not watch.after(0).batches  # nobody knows yet whether they are complete
    assert not watch.after(9).batches
    assert inside(ws) == []
    (batch,) = watch.after(1).batches
    assert inside(ws) == [f"{batch.name}/{seed}.png" for seed in range(100, 105)]
    assert batch.name == f"batch-{batch.digest[:12]}" and batches.records(ws.root) == [batch]
    for _ in range(3):
        assert not watch.after(60).batches
    shutil.copytree(ws.root / "inbox", ws.root / "inbox" / "again")  # the same bytes under other names
    photo(ws.root / "inbox" / "000-too.png", 0)  # ingested from the start
    for _ in range(3):
        assert not watch.after(60).batches
    assert len(batches.records(ws.root)) == 1


def test_file_that_is_still_copied_is_not_taken_and_holds_its_drop_up(ws: Workspace, watch: Watch) -> None:
    drop(ws.root / "inbox", range(100, 104))
    growing = ws.root / "inbox" / "z.png"
    for step in range(4):
        with growing.open("ab") as file:
            file.write(b"x" * (step + 1))
        assert not watch.after(9).batches
    growing.write_bytes(photo(ws.root / "z.png", 7).read_bytes())
    assert not watch.after(9).batches  # its last change was seen just now
    (batch,) = watch.after(10).batches
    assert set(batch.photographs) == {*(f"{seed}.png" for seed in range(100, 104)), "z.png"}


def test_file_that_never_stops_changing_holds_nobody_up_for_ever(ws: Workspace, watch: Watch) -> None:
    drop(ws.root / "inbox", range(100, 104))
    found = Look((), watch.cursor, "")
    for step in range(30):
        (ws.root / "inbox" / "log.txt").write_text("x" * step)
        found = watch.after(6)
        if found.batches:
            break
    assert "log.txt" not in found.batches[0].photographs and len(found.batches[0].photographs) == 4


def test_below_the_threshold_nothing_happens_until_more_arrive(ws: Workspace, watch: Watch) -> None:
    drop(ws.root / "inbox", range(100, 103))
    watch.after(0)
    assert "3 new photographs of 4" in watch.after(20).said
    drop(ws.root / "inbox", [103])
    watch.after(20)
    assert len(watch.after(20).batches[0].photographs) == 4


def test_restart_forgets_nothing(ws: Workspace, watch: Watch) -> None:
    drop(ws.root / "inbox", range(100, 104))
    watch.after(0)
    (batch,) = watch.after(20).batches
    (ws.root / SEEN).unlink()  # a memory that may be lost
    again = Watch(ws)  # and a cursor that a person reset
    found = [again.after(20) for _ in range(4)]
    assert [one.digest for look in found for one in look.batches] == [batch.digest]  # the same run key: no second run
    assert len(inside(ws)) == 4


def test_copy_that_was_cut_off_goes_on_and_is_never_half_visible(ws: Workspace, watch: Watch) -> None:
    drop(ws.root / "inbox", range(100, 104))
    watch.after(0)
    section = ws.params().automation.inbox
    found = look(ws, section, watch.cursor, watch.now + 20, time.monotonic() + AGES_S)
    (batch,) = found.batches
    placed = ws.root / "photos" / batch.name
    placed.rename(placed.with_name(f".{batch.name}.part"))
    (placed.with_name(f".{batch.name}.part") / "103.png").unlink()
    late = look(ws, section, watch.cursor, watch.now + 20, time.monotonic() - 1)
    assert late.batches == () and not placed.exists() and "being copied" in late.said
    again = look(ws, section, late.cursor, watch.now + 30, time.monotonic() + AGES_S)
    assert again.batches == (batch,) and len(list(placed.iterdir())) == 4


def test_file_that_changes_after_it_was_decided_on_withdraws_the_batch(ws: Workspace, watch: Watch) -> None:
    drop(ws.root / "inbox", range(100, 104))
    section = ws.params().automation.inbox
    hashes = {name: "0" * 64 for name in InboxFiles.at("inbox", ws.root).stamps()}
    batches.decide(ws.root, "inbox", ws.root / "photos", hashes, ())
    found = look(ws, section, watch.cursor, watch.now, time.monotonic() + AGES_S)
    assert found.batches == () and "changed after it was complete" in found.said
    assert inside(ws) == [] and batches.records(ws.root) == []


def test_sidecar_of_the_drop_speaks_of_the_batch_alone(ws: Workspace, watch: Watch) -> None:
    inbox = ws.root / "inbox"
    drop(inbox, range(100, 104))
    rows = [f"{seed}.png,person-{seed},withdrawn" for seed in (100, 101)]
    (inbox / "sidecar.csv").write_text("\n".join(["file,subject,consent", *rows, "gone.png,someone,granted"]) + "\n")
    watch.after(0)
    (batch,) = watch.after(20).batches
    copied = (ws.root / "photos" / batch.name / "sidecar.csv").read_text()
    assert copied == "\n".join(["file,subject,consent", *rows]) + "\n"


def test_sidecar_that_ingest_would_refuse_is_told_and_mended(ws: Workspace, watch: Watch) -> None:
    drop(ws.root / "inbox", range(100, 104))
    (ws.root / "inbox" / "sidecar.csv").write_text("file,consent\n100.png,maybe\n")
    watch.after(0)
    with pytest.raises(UserError, match=r"sidecar.csv of the inbox, row 2: consent is 'maybe'"):
        watch.after(20)
    assert [name for name in inside(ws) if not name.startswith(".")] == []
    (ws.root / "inbox" / "sidecar.csv").write_text("file,consent\n100.png,granted\n")
    assert len(watch.after(20).batches) == 1


def test_withdrawn_bytes_do_not_come_back_by_the_inbox(ws: Workspace, watch: Watch) -> None:
    drop(ws.root / "inbox", range(100, 104))
    gone = InboxFiles.at("inbox", ws.root).sha256("100.png")
    record_changes(ws.root, [ConsentChange(state="withdrawn", images=(gone,), reason="by mail", by="Ada")])
    watch.after(0)
    assert "3 new photographs" in watch.after(20).said


@pytest.mark.parametrize("path", ["photos", "photos/new", "."])
def test_inbox_and_ingest_folder_must_not_lie_in_each_other(tmp_path: Path, path: str) -> None:
    ws = bare(tmp_path, watched(path))
    (ws.root / path).mkdir(exist_ok=True)
    with pytest.raises(UserError, match="lie in each other"):
        Watch(ws).after(0)


@pytest.fixture
def running(workspace: Workspace) -> Iterator[tuple[Workspace, dg.DagsterInstance]]:
    """A whole workspace with photographs from a folder, as Dagster sees it."""
    import yaml

    document = folder_params(yaml.safe_load(workspace.params_file.read_text()), watched(debounce_s=0))
    workspace.params_file.write_text(yaml.safe_dump(document, sort_keys=False))
    drop(workspace.root / "photos", range(6))
    (workspace.root / "inbox").mkdir()
    with workspace.dagster_instance() as instance:
        yield workspace, instance


@pytest.mark.timeout(600)
def test_sensor_asks_for_one_run_and_the_run_quarantines_the_broken_photo(
    running: tuple[Workspace, dg.DagsterInstance],
) -> None:
    ws, instance = running
    make_all(ws)
    sensor = inbox_sensor(ws.params().automation)
    drop(ws.root / "inbox", range(100, 104))
    broken(ws.root / "inbox" / "cut.png")
    cursor, requests = None, []
    for _ in range(4):
        with dg.build_sensor_context(instance=instance, cursor=cursor, sensor_name="inbox") as context:
            data = sensor.evaluate_tick(context)
        cursor, requests = data.cursor, [*requests, *data.run_requests]
    (request,) = requests
    assert request.run_key == batches.records(ws.root)[0].digest
    assert request.run_config["ops"]["run_graph"]["config"] == {"select": "images+", "partitions": []}
    items = plan(ws, ws.params(), expand(["beard"]))
    touched = {item.id.asset for item in items if item.action != "reuse"}
    assert touched == {"images", *downstream("images")} and "judges" not in touched
    config = {"ops": {"run_graph": {"config": {"select": "images", "partitions": []}}}}
    assert editloom_run.execute_in_process(run_config=config, instance=instance).success
    refused = read_quarantine(ws.root / AssetId("images").path)
    assert list(zip(refused["source"], refused["reason"], strict=True)) == [
        (f"{batches.records(ws.root)[0].name}/cut.png", "truncated")
    ]
    assert {item.id.asset: item.action for item in plan(ws, ws.params(), expand(["beard"]))}["images"] == "reuse"


def test_sensor_that_is_switched_off_says_which_key(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(ws.root))
    text = ws.params_file.read_text().replace("enabled: true", "enabled: false")
    ws.params_file.write_text(text)
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance=instance) as context:
        data = inbox_sensor(ws.params().automation).evaluate_tick(context)
    assert data.run_requests == [] and "automation.inbox.enabled" in str(data.skip_message)
    assert json.loads(Cursor.read(data.cursor).write()) == {"settling": {}, "requested": []}
