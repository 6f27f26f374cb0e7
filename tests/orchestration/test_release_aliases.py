"""Aliases follow decisions: approval, rollback, a crash between the two, and what somebody moved by hand."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data.errors import UserError
from orchestration.cli import app
from orchestration.policy import policy_digest
from orchestration.release.aliases import follow, moved, settle, settle_all
from orchestration.release.approval import approve, roll_back
from orchestration.release.decisions import Decided, Decision, last_decision, record, standing
from orchestration.store import chain, ledger
from orchestration.tracking import Tracker, open_tracker
from orchestration.tracking.registry import register
from orchestration.workspace import Workspace

ROOT = Path(__file__).parents[2]
MODEL = "attribute_editor-beard"
MOVES = {"set_registered_model_alias", "delete_registered_model_alias"}


@pytest.fixture
def tracker(workspace: Workspace, tmp_path: Path) -> Tracker:
    """Three versions of a model, none of which has an alias but the candidate, the third."""
    known = open_tracker(workspace)
    (tmp_path / "editor.json").write_text("{}")
    for number in range(3):
        run = known.asset_run(str(number), known.parent_run(str(number), "run"), "attribute_release", "beard")
        register(known, run, MODEL, [tmp_path / "editor.json"], {})
    return known


def decided(ws: Workspace, version: str, outcome: str = "passed") -> Decided:
    """A decision of the gate in the ledger; MLflow has not heard of it."""
    before = standing(ws.root, MODEL)
    after = before.promoted(version) if outcome == "passed" else before
    known = Decision.model_validate(
        {"outcome": outcome, "model": MODEL, "version": version, "asset": "attribute_release[beard]",
         "made_by": "attribute_editor[beard]", "release": "", "editor": "", "before": before, "after": after,
         "policy": policy_digest(ws.policy), "summary": "success 0.871, 0.029 below 0.900"}
    )  # fmt: skip
    return record(ws.root, known, f"gate/{version}/{outcome}")


def aliases(tracker: Tracker) -> dict[str, str]:
    return {a: str(v) for a, v in tracker.client.get_registered_model(MODEL).aliases.items()}


def promote(ws: Workspace, tracker: Tracker, *versions: str) -> None:
    for version in versions:
        follow(tracker, decided(ws, version))


def test_decision_that_nobody_followed_is_completed_by_the_next_run(workspace: Workspace, tracker: Tracker) -> None:
    decided(workspace, "3")
    assert aliases(tracker) == {"candidate": "3"}  # the process died right after the ledger was written
    settle_all(workspace, [MODEL])
    assert aliases(tracker) == {"champion": "3"}
    assert settle(workspace, tracker, MODEL) is None and chain.verify_chain(workspace.root) == []


def test_champion_moves_on_and_the_old_one_keeps_previous(workspace: Workspace, tracker: Tracker) -> None:
    promote(workspace, tracker, "1", "2", "3")
    assert aliases(tracker) == {"champion": "3", "previous": "2"}


def test_rollback_goes_back_one_champion_at_a_time(workspace: Workspace, tracker: Tracker) -> None:
    promote(workspace, tracker, "1", "2", "3")
    found = roll_back(workspace, tracker, MODEL, "Ada", "smiles became grins")
    assert aliases(tracker) == {"champion": "2", "previous": "1"} and found.decision.by == "Ada"
    assert tracker.client.get_model_version(MODEL, "3").tags["editloom.outcome"] == "rolled_back"
    roll_back(workspace, tracker, MODEL)
    assert aliases(tracker) == {"champion": "1"}
    with pytest.raises(UserError, match="no previous champion"):
        roll_back(workspace, tracker, MODEL)
    assert [one.kind for one in ledger.entries(workspace.root, MODEL)] == ["decision"] * 5


def test_person_approves_only_what_awaits_it(workspace: Workspace, tracker: Tracker) -> None:
    promote(workspace, tracker, "1")
    with pytest.raises(UserError, match="awaits approval"):
        approve(workspace, tracker, MODEL, "Ada", "looks right")
    asked = workspace.policy.read_text().replace("approval: none", "approval: person")
    workspace.policy.write_text(asked)
    follow(tracker, decided(workspace, "3", "awaiting_approval"))
    assert aliases(tracker) == {"champion": "1", "candidate": "3"}
    with pytest.raises(UserError, match="needs --reason"):
        approve(workspace, tracker, MODEL, "Ada", " ")
    workspace.policy.write_text(asked + "\n# changed\n")
    with pytest.raises(UserError, match="changed since"):
        approve(workspace, tracker, MODEL, "Ada", "looks right")
    workspace.policy.write_text(asked)
    known = approve(workspace, tracker, MODEL, "Ada", "looks right").decision
    assert (known.outcome, known.by, known.reason) == ("approved", "Ada", "looks right")
    assert aliases(tracker) == {"champion": "3", "previous": "1"}


def test_policy_that_asks_for_nobody_lets_nobody_approve(workspace: Workspace, tracker: Tracker) -> None:
    decided(workspace, "3", "awaiting_approval")
    with pytest.raises(UserError, match="asks for no person"):
        approve(workspace, tracker, MODEL, "Ada", "looks right")


def test_decision_made_meanwhile_is_not_overwritten(workspace: Workspace, tracker: Tracker) -> None:
    promote(workspace, tracker, "1")
    last = last_decision(workspace.root, MODEL)
    assert last is not None
    stale = last.decision.model_copy(update={"version": "2"})
    with pytest.raises(UserError, match="in the meantime"):
        record(workspace.root, stale, "gate/stale")
    assert standing(workspace.root, MODEL).champion == "1"


def test_alias_moved_by_hand_is_told_everywhere_and_put_back(workspace: Workspace, tracker: Tracker) -> None:
    promote(workspace, tracker, "1", "2")
    tracker.client.set_registered_model_alias(MODEL, "champion", "3")
    settle_all(workspace, [MODEL])
    assert settle(workspace, tracker, MODEL) is None  # a decision that was followed is not followed again in silence
    assert moved(workspace, tracker, MODEL) == (
        f"{MODEL}@champion points at version 3, the last decision says version 2: it was moved behind its back",
    )
    runner = CliRunner(env={"COLUMNS": "200"})
    for command in (("list",), ("show", MODEL)):
        assert "moved behind its back" in runner.invoke(app, ["release", *command]).output.replace("\n", " ")
    assert "put back" in runner.invoke(app, ["release", "restore", MODEL]).output
    assert aliases(tracker) == {"champion": "2", "previous": "1", "candidate": "3"}


def test_commands_tell_of_mistakes_in_two_sentences(workspace: Workspace, tracker: Tracker) -> None:
    runner = CliRunner(env={"COLUMNS": "200"})
    wrong = runner.invoke(app, ["release", "show", "attribute_editor-beerd"])
    assert wrong.exit_code == 2 and f"Did you mean {MODEL}?" in wrong.output
    assert runner.invoke(app, ["release", "rollback", MODEL]).exit_code == 2
    shown = runner.invoke(app, ["release", "show", MODEL])
    assert shown.exit_code == 0 and "candidate → version 3" in shown.output
    follow(tracker, decided(workspace, "3", "refused"))
    assert "0.029 below 0.900" in runner.invoke(app, ["release", "list"]).output


def test_nothing_else_in_the_code_moves_an_alias() -> None:
    """`register` may point `candidate` at a version; every other move is in the one module that follows decisions."""
    found = {
        (path.relative_to(ROOT).as_posix(), ast.unparse(call.args[1]))
        for package in ("data", "training", "evaluation", "orchestration")
        for path in (ROOT / package).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in MOVES
    }
    elsewhere = {(path, alias) for path, alias in found if path != "orchestration/release/aliases.py"}
    assert elsewhere == {("orchestration/tracking/registry.py", "CANDIDATE")}
    text = "".join(p.read_text() for p in (ROOT / "orchestration").rglob("*.py") if p.name != "aliases.py")
    assert text.count("set_registered_model_alias") == 1  # no getattr, no name of it in a string
