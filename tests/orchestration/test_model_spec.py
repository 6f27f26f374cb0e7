"""Which version a spec means, and its files: a real MLflow store, and mistakes told with what there is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from data.errors import UserError
from orchestration.signing.model_signature import sign_folder
from orchestration.store.keys import signing_key
from orchestration.tracking import Tracker, open_tracker
from orchestration.tracking.model_spec import ModelSpec, attribute_of, fetched, find_version, parse_spec
from orchestration.tracking.registry import register
from orchestration.workspace import Workspace

NAME = "attribute_editor-smile"


@pytest.fixture(scope="module")
def ws(empty_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("specs") / "ws"
    shutil.copytree(empty_workspace, root, symlinks=True)
    return Workspace.at(root)


@pytest.fixture(scope="module")
def tracker(ws: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    """A registry with two versions of one model; the second is the candidate."""
    tracker = open_tracker(ws)
    for text in ("one", "two"):
        folder = tmp_path_factory.mktemp("files")
        (folder / "editor.json").write_text(text)
        sign_folder(folder, signing_key(ws.root))
        parent = tracker.parent_run(text, text)
        run = tracker.asset_run(text, parent, "attribute_release", "smile")
        register(tracker, run, NAME, sorted(folder.iterdir()), {"editloom.model": text})
    return tracker


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("attribute_editor-smile@champion", ModelSpec("attribute_editor-smile", "champion", None)),
        ("editor-beard+slicked_back_hair/12", ModelSpec("editor-beard+slicked_back_hair", None, "12")),
    ],
)
def test_alias_and_number_are_told_apart(text: str, spec: ModelSpec) -> None:
    assert parse_spec(text) == spec and spec.text == text


@pytest.mark.parametrize("text", ["smile", "smile@", "smile/", "smile/0", "smile/x", "a@b/3", "@champion", "a'b/1"])
def test_text_that_names_no_version_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="names no version"):
        parse_spec(text)


def test_alias_leads_to_its_version_and_number_to_itself(tracker: Tracker) -> None:
    assert find_version(tracker, parse_spec(f"{NAME}@candidate")).version == "2"
    first = find_version(tracker, parse_spec(f"{NAME}/1"))
    assert (first.version, first.alias, first.tags["editloom.model"]) == ("1", "", "one")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (f"{NAME}/7", "no version 7", "1, 2"),
        (f"{NAME}@champion", "no alias `champion`", "candidate (version 2)"),
        ("attribute_editor-smil/1", "No model is registered", f"nearest known one is {NAME}"),
        ("zzz/1", "No model is registered", f"Known: {NAME}"),
    ],
)
def test_absent_version_is_told_with_those_there_are(tracker: Tracker, text: str, message: str, hint: str) -> None:
    with pytest.raises(UserError, match=message) as told:
        find_version(tracker, parse_spec(text))
    assert hint in told.value.hint


def test_each_version_has_files_of_its_own_fetched_once(ws: Workspace, tracker: Tracker) -> None:
    versions = [find_version(tracker, parse_spec(f"{NAME}/{number}")) for number in (1, 2)]
    folders = [fetched(ws, tracker, version) for version in versions]
    assert [(folder / "editor.json").read_text() for folder in folders] == ["one", "two"]
    before = (folders[0] / "editor.json").stat().st_ino
    assert (fetched(ws, tracker, versions[0]) / "editor.json").stat().st_ino == before


def test_copy_that_somebody_changed_here_is_fetched_anew(ws: Workspace, tracker: Tracker) -> None:
    version = find_version(tracker, parse_spec(f"{NAME}/1"))
    (fetched(ws, tracker, version) / "editor.json").write_text("tampered")
    assert (fetched(ws, tracker, version) / "editor.json").read_text() == "one"


def test_version_whose_files_are_gone_is_no_traceback(ws: Workspace, tracker: Tracker, tmp_path: Path) -> None:
    file = tmp_path / "editor.json"
    file.write_text("three")
    run = tracker.asset_run("three", tracker.parent_run("three", "three"), "attribute_release", "smile")
    version = register(tracker, run, "attribute_editor-gone", [file], {})
    shutil.rmtree(ws.mlflow_artifacts / run.run_id)
    model = find_version(tracker, parse_spec(f"attribute_editor-gone/{version}"))
    for _ in range(2):  # what the first try left must not pass for the files
        with pytest.raises(UserError, match="cannot be fetched"):
            fetched(ws, tracker, model)


def test_model_of_no_declared_attribute_is_refused(ws: Workspace) -> None:
    declared = next(iter(ws.params().attributes))
    assert attribute_of(ws, ws.params().attribute_release.model_name(declared)) == declared
    with pytest.raises(UserError, match="No attribute"):
        attribute_of(ws, "attribute_editor-nothing")
