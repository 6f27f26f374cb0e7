"""A version that descends from withdrawn images bears no alias, and nobody gives it one back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from rich.console import Console

from data.errors import UserError
from orchestration.consent.changes import change_one
from orchestration.consent.demotion import demote_tainted
from orchestration.consent.naming import named
from orchestration.consent.taint import current_taint, exposure_of, tainted_versions
from orchestration.edit import released_editor
from orchestration.release.aliases import settle_all
from orchestration.release.approval import roll_back
from orchestration.release.decisions import last_decision, standing
from orchestration.store import chain, ledger
from orchestration.tracking import open_tracker
from orchestration.workspace import VARIABLE, Workspace
from tests.orchestration.consent.lines import EDITOR, FACES, MODEL, Lines

TRAIN, TRAIN_TOO, HELD_OUT = FACES[5][0], FACES[6][0], FACES[0][0]
WITHOUT = [face for face in FACES if face[0] != TRAIN]


@pytest.fixture(scope="module")
def tracked(empty_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty workspace whose tracking database is made: that takes seconds, so once for all tests here."""
    root = tmp_path_factory.mktemp("tracked") / "workspace"
    shutil.copytree(empty_workspace, root, symlinks=True)
    open_tracker(Workspace.at(root))
    return root


@pytest.fixture
def lines(tracked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Nothing made yet, and a server that knows of nothing."""
    shutil.copytree(tracked, tmp_path / "workspace", symlinks=True)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "workspace"))
    ws = Workspace.at(tmp_path / "workspace")
    return Lines(ws, open_tracker(ws), tmp_path)


def withdraw(ws: Workspace, image: str, reason: str = "asked by mail") -> None:
    change_one(ws, named(ws, image, None), "withdrawn", reason, "Ada")


def test_champion_falls_back_to_the_newest_untainted_one(lines: Lines) -> None:
    for faces in (WITHOUT, WITHOUT, FACES):
        lines.version(faces)
    assert lines.aliases() == {"champion": "3", "previous": "2"}
    withdraw(lines.ws, TRAIN)
    made = demote_tainted(lines.ws)
    assert [one.decision.outcome for one in made] == ["withdrawn"] and made[0].decision.tainted == ("3",)
    assert made[0].decision.sentence == "version 3 descends from withdrawn images; version 2 is the champion"
    assert lines.aliases() == {"champion": "2", "previous": "1"}
    assert lines.tracker.client.get_model_version(MODEL, "3").tags["editloom.outcome"] == "withdrawn"
    assert demote_tainted(lines.ws) == [] and chain.verify_chain(lines.ws.root) == []


def test_without_an_untainted_one_there_is_no_champion_and_edit_says_why(lines: Lines) -> None:
    for _ in range(3):
        lines.version(FACES)
    lines.version(FACES, promoted=False)  # the candidate
    assert lines.aliases() == {"champion": "3", "previous": "2", "candidate": "4"}
    withdraw(lines.ws, TRAIN)
    with pytest.raises(UserError, match="has no champion: version 4 descends from withdrawn images; version 3 too"):
        released_editor(lines.ws, "beard", Console())  # before anybody demoted it
    demote_tainted(lines.ws)
    assert lines.aliases() == {}
    with pytest.raises(UserError, match=r"version 4 descends from withdrawn images \(asked by mail\); version 3 too"):
        released_editor(lines.ws, "beard", Console())


def test_held_out_image_takes_nobodys_alias(lines: Lines) -> None:
    lines.version(FACES)
    withdraw(lines.ws, HELD_OUT)
    assert demote_tainted(lines.ws) == [] and lines.aliases() == {"champion": "1"}
    how = {one.entry.subject: one.how for one in current_taint(lines.ws).reached}
    assert how["attribute_release[beard]"] == "measured" and str(EDITOR) not in how


def test_champion_stays_when_only_the_previous_one_is_tainted(lines: Lines) -> None:
    for faces in (WITHOUT, FACES, WITHOUT):
        lines.version(faces)
    withdraw(lines.ws, TRAIN)
    demote_tainted(lines.ws)
    assert lines.aliases() == {"champion": "3", "previous": "1"}


def test_version_that_a_person_rolled_back_from_does_not_come_back(lines: Lines) -> None:
    for faces in (WITHOUT, FACES, WITHOUT):
        lines.version(faces)
    roll_back(lines.ws, lines.tracker, MODEL, "Ada", "grins")
    assert lines.aliases() == {"champion": "2", "previous": "1"}
    withdraw(lines.ws, TRAIN)
    demote_tainted(lines.ws)
    assert lines.aliases() == {"champion": "1"}


def test_rollback_to_a_tainted_version_is_refused(lines: Lines) -> None:
    for faces in (FACES, WITHOUT):
        lines.version(faces)
    withdraw(lines.ws, TRAIN)
    before = len(ledger.entries(lines.ws.root))
    with pytest.raises(UserError, match="version 1 descends from withdrawn images"):
        roll_back(lines.ws, lines.tracker, MODEL, "Ada", "back")
    assert len(ledger.entries(lines.ws.root)) == before and lines.aliases()["champion"] == "2"


def test_grant_ends_the_taint(lines: Lines) -> None:
    lines.version(FACES)
    withdraw(lines.ws, TRAIN)
    assert tainted_versions(lines.ws, MODEL) == ("1",)
    change_one(lines.ws, named(lines.ws, TRAIN, None), "granted", "a mistake", "Ada")
    assert tainted_versions(lines.ws, MODEL) == ()


def test_aliases_follow_a_decision_that_the_server_did_not_hear_of(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    for faces in (WITHOUT, FACES):
        lines.version(faces)
    withdraw(lines.ws, TRAIN)
    warned: list[str] = []
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        demote_tainted(lines.ws, warned.append)
    assert len(warned) == 1 and "does not answer" in warned[0]
    assert standing(lines.ws.root, MODEL).champion == "1" and lines.aliases()["champion"] == "2"
    settle_all(lines.ws, [MODEL])
    assert lines.aliases() == {"champion": "1"}


def test_release_of_a_tainted_lineage_is_told_apart(lines: Lines) -> None:
    lines.version(WITHOUT)
    clean = dict(ledger.last_entry(lines.ws.root, "attribute_release", "beard").body["wanted"]["inputs"])  # type: ignore[union-attr]
    lines.version(FACES)
    tainted = dict(ledger.last_entry(lines.ws.root, "attribute_release", "beard").body["wanted"]["inputs"])  # type: ignore[union-attr]
    assert exposure_of(lines.ws, tainted) == ()
    withdraw(lines.ws, TRAIN)
    withdraw(lines.ws, TRAIN_TOO)
    withdraw(lines.ws, HELD_OUT)
    said = " and ".join(exposure_of(lines.ws, tainted))
    assert "3 withdrawn images in images" in said and "3 withdrawn images in aligned_images" in said
    assert "2 withdrawn images in aligned_images" in " and ".join(exposure_of(lines.ws, clean))


def test_two_withdrawals_are_two_decisions_with_their_reasons(lines: Lines) -> None:
    lines.version([face for face in FACES if face[0] not in {TRAIN, TRAIN_TOO}])
    lines.version(WITHOUT)
    lines.version(FACES)
    withdraw(lines.ws, TRAIN, "first reason")
    demote_tainted(lines.ws)
    assert lines.aliases()["champion"] == "2"
    withdraw(lines.ws, TRAIN_TOO, "second reason")
    demote_tainted(lines.ws)
    last = last_decision(lines.ws.root, MODEL)
    assert last is not None and last.decision.tainted == ("3", "2") and "second reason" in last.decision.reason
    assert lines.aliases() == {"champion": "1"}
