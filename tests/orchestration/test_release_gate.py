"""The gate on shipped weights and a real MLflow server: what is worse, and what cheats, never becomes the champion."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data.errors import UserError
from orchestration.consent.changes import change_one
from orchestration.consent.naming import named
from orchestration.release.aliases import moved, restore
from orchestration.release.decisions import gate_decision
from orchestration.workspace import VARIABLE, Workspace
from tests.orchestration.gated import MODEL, Gated, cheating, gated_workspace, mlflow_server, noise
from tests.orchestration.published import FACES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def gated(empty_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gated]:
    """The shipped editor is the champion, by the policy of the repository."""
    folder = tmp_path_factory.mktemp("gate")
    shutil.copytree(empty_workspace, folder / "workspace", symlinks=True)
    with pytest.MonkeyPatch.context() as patch, mlflow_server(folder / "server") as server:
        patch.setenv(VARIABLE, str(folder / "workspace"))
        patch.setenv("MLFLOW_TRACKING_URI", server.address)
        ws = Workspace.at(folder / "workspace")
        ws.policy.write_bytes((ROOT / "mlflow" / "policy.yaml").read_bytes())
        (folder / "files").mkdir()
        made = gated_workspace(ws, server, folder / "files")
        first = made.ask(made.version())
        assert first.decision.outcome == "passed", first.decision.summary
        assert made.aliases() == {"champion": "1"}
        yield made


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (noise, "psnr_outside"),
        (cheating("blurred output"), "psnr_outside"),
        (cheating("returns its input"), "attribute_success"),
        (cheating("pastes the mask"), "psnr_counterfactual"),
        (cheating("the champion's on half"), "images answered differently"),
    ],
    ids=["noise", "blur", "input", "paste", "half"],
)
def test_worse_and_cheating_versions_are_refused(gated: Gated, change: Callable[[Path], None], rule: str) -> None:
    before, release = gated.aliases(), gated.version(change)
    decided = gated.ask(release).decision
    assert decided.outcome == "refused" and rule in decided.summary, decided.summary
    assert gated.aliases() == {**before, "candidate": decided.version}
    assert gated.ask(release).decision == decided  # asked again, nothing is measured or decided anew
    tags = gated.tracker.client.get_model_version(MODEL, decided.version).tags
    assert tags["editloom.outcome"] == "refused" and tags["editloom.policy"] == decided.policy


def test_candidate_that_was_tampered_with_is_neither_measured_nor_decided_on(gated: Gated) -> None:
    release, before = gated.version(noise), gated.aliases()
    run = str(release.entry.materialization.mlflow_run)
    (weights,) = (gated.folder.parent / "server" / "files").rglob(f"{run}/**/editor.safetensors")
    signed = weights.read_bytes()
    weights.write_bytes(signed[:-1] + bytes([signed[-1] ^ 1]))
    with pytest.raises(UserError, match=r"is not what was signed: editor\.safetensors altered"):
        gated.ask(release)
    assert gated.aliases() == before and gate_decision(gated.ws.root, release.entry) is None
    weights.write_bytes(signed)
    assert gated.ask(release).decision.outcome == "refused"


def test_half_of_the_champions_answers_hide_the_loss_on_average_alone(gated: Gated) -> None:
    """What the look at the differing images is for: over all images every margin holds."""
    rules = gated.ask(gated.version(cheating("the champion's on half"))).decision.rules
    over_all = [rule for rule in rules if str(rule["rule"]).endswith("than the champion's")]
    assert len(over_all) == 6 and all(rule["passed"] for rule in over_all)


def test_same_version_again_is_not_worse_and_the_old_champion_keeps_previous(gated: Gated) -> None:
    champion = gated.aliases()["champion"]
    decided = gated.ask(gated.version()).decision
    assert decided.outcome == "passed", decided.summary
    assert any("not worse" in str(rule["rule"]) for rule in decided.rules)
    assert gated.aliases() == {"champion": decided.version, "previous": champion}
    evidence = gated.ws.evidence("attribute_release", "short_hair")
    assert hashlib.sha256((evidence / "decision.json").read_bytes()).hexdigest() == decided.evidence
    assert (evidence / "comparison.html").exists()
    kept = {file.path for file in gated.tracker.client.list_artifacts(decided.mlflow_run, "evidence")}
    assert kept == {"evidence/decision.json", "evidence/comparison.html"}
    assert decided.judges and decided.seeds == {"report": 5}


def test_alias_moved_by_hand_holds_up_the_next_release_until_it_is_restored(gated: Gated) -> None:
    right = gated.aliases()["champion"]
    refused = gated.ask(gated.version(noise)).decision.version
    gated.tracker.client.set_registered_model_alias(MODEL, "champion", refused)
    decided = gated.ask(gated.version()).decision
    assert decided.outcome == "refused" and "moved behind its back" in decided.summary
    assert gated.aliases()["champion"] == refused  # reported, and left as somebody put it
    assert decided.after.champion == right
    assert len(restore(gated.ws, gated.tracker, MODEL)) == 1
    assert gated.aliases()["champion"] == right and moved(gated.ws, gated.tracker, MODEL) == ()


def test_version_that_descends_from_a_withdrawn_image_is_refused_whatever_the_policy_asks(gated: Gated) -> None:
    image = next(sha256 for sha256, _, split in FACES if split == "train")
    assert "consent" not in gated.ws.policy.read_text()
    change_one(gated.ws, named(gated.ws, image, None), "withdrawn", "asked by mail", "Ada")
    decided = gated.ask(gated.version()).decision
    assert decided.outcome == "refused" and "1 withdrawn image in aligned_images" in decided.summary
    change_one(gated.ws, named(gated.ws, image, None), "granted", "came back", "Ada")
    assert gated.ask(gated.version()).decision.outcome == "passed"
