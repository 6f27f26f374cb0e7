"""MLflow's side: one run per materialization, safe to call again, in a real SQLite store."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest

from data.fail_points import VARIABLE as FAIL_AT
from orchestration.tracking import TrackedRun, Tracker, open_tracker
from orchestration.tracking.registry import CANDIDATE, download, register, resolve
from orchestration.tracking.runs import (
    MAX_PARAM_CHARS,
    MAX_PARAMS_PER_BATCH,
    TAG_ASSET,
    TAG_DAGSTER_RUN,
    TAG_PARENT,
    TAG_PARTITION,
)
from orchestration.workspace import Workspace

OPEN = "import sys; from pathlib import Path; from orchestration.workspace import Workspace; "
OPEN += "from orchestration.tracking import open_tracker; "
OPEN += "print(open_tracker(Workspace.at(Path(sys.argv[1]))).experiment_id)"


@pytest.fixture(scope="module")
def tracker(empty_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    """The tracker of a workspace whose database two processes wanted to initialise at once."""
    root = tmp_path_factory.mktemp("tracking") / "ws"
    shutil.copytree(empty_workspace, root, symlinks=True)
    command = [sys.executable, "-c", OPEN, str(root)]
    openers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [opener.communicate()[0] for opener in openers]
    assert said[0] == said[1] and said[0].strip()
    return open_tracker(Workspace.at(root))


def test_database_that_a_killed_process_half_made_is_made_anew(workspace: Workspace) -> None:
    command = [sys.executable, "-c", OPEN, str(workspace.root)]
    killed = subprocess.run(command, env={**os.environ, FAIL_AT: "tables-made"}, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert not (workspace.state / "mlflow.db").exists()
    part = workspace.state / "mlflow.db.part"
    part.write_bytes(part.read_bytes()[:4096])  # as of one that died earlier
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip(), done.stderr
    assert [path.name for path in workspace.state.glob("mlflow.db*")] == ["mlflow.db"]


@pytest.fixture
def dagster_run() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def run(tracker: Tracker, dagster_run: str) -> TrackedRun:
    """A run under a parent of its own."""
    return tracker.asset_run(dagster_run, tracker.parent_run(dagster_run, "test"), "edit_pairs", "beard")


def tags_of(run: TrackedRun) -> dict[str, str]:
    return dict(run.client.get_run(run.run_id).data.tags)


def status_of(run: TrackedRun) -> str:
    return str(run.client.get_run(run.run_id).info.status)


def test_retried_step_finds_the_run_it_had(tracker: Tracker, run: TrackedRun, dagster_run: str) -> None:
    run.finish(succeeded=False)
    parent = tracker.parent_run(dagster_run, "test")
    again = tracker.asset_run(dagster_run, parent, "edit_pairs", "beard")
    assert again.run_id == run.run_id and status_of(again) == "RUNNING"
    assert tags_of(run)[TAG_PARENT] == parent.run_id
    assert tags_of(run)[TAG_DAGSTER_RUN] == dagster_run
    assert (tags_of(run)[TAG_ASSET], tags_of(run)[TAG_PARTITION]) == ("edit_pairs", "beard")


def test_other_partition_and_other_dagster_run_have_runs_of_their_own(
    tracker: Tracker, run: TrackedRun, dagster_run: str
) -> None:
    parent = tracker.parent_run(dagster_run, "test")
    others = [
        tracker.asset_run(dagster_run, parent, "edit_pairs", "glasses"),
        tracker.asset_run(dagster_run, parent, "edit_pairs", None),
        tracker.asset_run(str(uuid.uuid4()), parent, "edit_pairs", "beard"),
    ]
    assert len({run.run_id, *(other.run_id for other in others)}) == 4


@pytest.mark.parametrize(("succeeded", "expected"), [(True, "FINISHED"), (False, "FAILED")])
def test_parent_ends_with_its_last_asset(
    tracker: Tracker, run: TrackedRun, dagster_run: str, succeeded: bool, expected: str
) -> None:
    run.finish(succeeded=succeeded)
    parent = TrackedRun(tracker.client, tags_of(run)[TAG_PARENT])
    assert status_of(run) == status_of(parent) == expected
    tracker.parent_run(dagster_run, "test")
    assert status_of(parent) == "RUNNING"


def test_params_are_dotted_cut_and_written_once(run: TrackedRun) -> None:
    many = {f"key{index}": index for index in range(2 * MAX_PARAMS_PER_BATCH + 1)}
    run.params({"edit_pairs": {"fusion": {"a": 0.1}, "long": "x" * (MAX_PARAM_CHARS + 100)}, "many": many})
    run.params({"edit_pairs": {"fusion": {"a": 0.2}}})
    logged = run.client.get_run(run.run_id).data.params
    assert logged["edit_pairs.fusion.a"] == "0.1"
    assert len(logged["edit_pairs.long"]) == MAX_PARAM_CHARS
    assert sum(name.startswith("many.") for name in logged) == len(many)


def test_metrics_that_are_no_number_are_left_out(run: TrackedRun) -> None:
    run.metrics({"loss": 0.5, "ratio": math.nan, "rate": math.inf}, 3)
    run.metrics({"ratio": math.nan})
    run.metrics({"loss": 0.25}, 4)
    assert set(run.client.get_run(run.run_id).data.metrics) == {"loss"}
    history = run.client.get_metric_history(run.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(3, 0.5), (4, 0.25)]


def test_dataset_input_bears_the_whole_sha256(run: TrackedRun) -> None:
    sha256 = "ab" * 32
    run.dataset("aligned_images", sha256, "artifacts/aligned_images", "input")
    (found,) = run.client.get_run(run.run_id).inputs.dataset_inputs
    assert found.dataset.name == "aligned_images" and sha256.startswith(found.dataset.digest)
    assert {tag.key: tag.value for tag in found.tags}["editloom.sha256"] == sha256


def test_picture_is_a_stepped_image(run: TrackedRun) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    run.image("faces", picture, 64)
    names = [file.path for file in run.client.list_artifacts(run.run_id, "images")]
    assert any(name.startswith("images/faces") and "step+64" in name and name.endswith(".png") for name in names)


def test_release_registers_one_version_per_run(tracker: Tracker, run: TrackedRun, tmp_path: Path) -> None:
    name, file = f"editor-{uuid.uuid4().hex[:8]}", tmp_path / "editor.json"
    file.write_text('{"a": 1}')
    assert resolve(tracker, name, CANDIDATE) is None
    assert [register(tracker, run, name, [file], {"editloom.release": "one"}) for _ in range(2)] == ["1", "1"]
    found = resolve(tracker, name, CANDIDATE)
    assert found is not None and (found.version, found.run_id) == ("1", run.run_id)
    assert found.tags["editloom.release"] == "one"
    assert (download(tracker, found, tmp_path / "got") / "editor.json").read_text() == '{"a": 1}'


def test_candidate_moves_to_the_next_release(tracker: Tracker, run: TrackedRun, tmp_path: Path) -> None:
    name, file = f"editor-{uuid.uuid4().hex[:8]}", tmp_path / "editor.json"
    file.write_text("{}")
    other = tracker.asset_run(str(uuid.uuid4()), run, "attribute_release", "beard")
    register(tracker, run, name, [file], {})
    assert register(tracker, other, name, [file], {}) == "2"
    found = resolve(tracker, name, CANDIDATE)
    assert found is not None and (found.version, found.run_id) == ("2", other.run_id)
    assert resolve(tracker, name, "champion") is None


def test_combined_attribute_passes_through_params_runs_and_registry(tracker: Tracker, tmp_path: Path) -> None:
    name, made_by = "beard+slicked_back_hair", str(uuid.uuid4())
    run = tracker.asset_run(made_by, tracker.parent_run(made_by, "test"), "attribute_release", name)
    for _ in range(2):  # a retry logs the same keys again
        run.params({"attributes": {name: {"minimum": 4}}})
    assert run.client.get_run(run.run_id).data.params == {"attributes.beard:slicked_back_hair.minimum": "4"}
    assert tags_of(run)[TAG_PARTITION] == name
    (tmp_path / "a.txt").write_text("a")
    register(tracker, run, f"attribute_editor-{name}", [tmp_path / "a.txt"], {})
    found = resolve(tracker, f"attribute_editor-{name}", CANDIDATE)
    assert found is not None and found.run_id == run.run_id
