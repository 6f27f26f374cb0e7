"""Which training was shown an image and when, and the proof that another never was, from the ledger alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

import pytest

from data.manifest import check_dataset_proof
from data.merkle_proof import MerkleProof
from orchestration.audit.exposure import SHOWN, SHOWN_PAIRS, Exposure, exposure, exposure_lines
from orchestration.audit.image_index import holdings
from orchestration.graph import GRAPH, AssetId
from orchestration.step import seed_of
from orchestration.store.dvc import cache_dir
from orchestration.workspace import Workspace
from tests.orchestration.published import ATTRIBUTE, FACES, image_set, judge_set, put, text
from training.draws import image_order

SETTINGS = {"batch_size": 4, "kimg": 0.08}
ITERATIONS = 20
FEATURE, CHOSEN = AssetId("feature_network", ATTRIBUTE), AssetId("attribute_images", ATTRIBUTE)
BEARDED = FACES[5:13]
"""Eight of the training images have the attribute."""


@pytest.fixture
def lineage(workspace: Workspace) -> Mapping[str, str]:
    """Both networks and an editor: the first learns from all training images, the second from eight of them."""
    ws = workspace
    judged = {"judges": put(ws, AssetId("judges"), {}, judge_set())}
    images = {"images": put(ws, AssetId("images"), {}, image_set(FACES, aligned=False))}
    aligned = {"aligned_images": put(ws, AssetId("aligned_images"), images, image_set(FACES))}
    chosen = {str(CHOSEN): put(ws, CHOSEN, aligned, image_set(BEARDED))}
    first = {"original_network": {**SETTINGS, "start": "shipped"}}
    original = {"original_network": put(ws, AssetId("original_network"), aligned, text("network.json"), first)}
    curve = '{"snapshots": [{"kimg": 0.04, "chosen": true}, {"kimg": 0.08, "chosen": false}]}'
    made = put(ws, FEATURE, {**original, **chosen}, text("snapshots.json", curve), {"feature_network": SETTINGS})
    editor = AssetId("attribute_editor", ATTRIBUTE)
    put(ws, editor, {"edit_pairs[beard]": "0" * 64, **judged}, text("editor.json"))
    return {**images, **aligned, **chosen, str(FEATURE): made}


def _of(found: tuple[Exposure, ...], beginning: str) -> Exposure:
    (one,) = [one for one in found if one.what.startswith(beginning)]
    return one


def _drawn(asset: AssetId, rows: list[str], sha256: str) -> list[int]:
    """The iterations in which a training's own batches hold an image."""
    batches = (image_order(seed_of(0, str(asset)), iteration, 4, len(rows)) for iteration in range(ITERATIONS))
    return [iteration for iteration, batch in enumerate(batches) if rows.index(sha256) in batch]


def test_image_of_both_sets_is_told_by_iteration_for_both_networks(
    workspace: Workspace, lineage: Mapping[str, str]
) -> None:
    sha256 = BEARDED[2][0]
    found = exposure(workspace, holdings(workspace, [sha256]))
    training = [face[0] for face in FACES if face[2] == "train"]
    for name, rows in ((AssetId("original_network"), training), (FEATURE, [face[0] for face in BEARDED])):
        one = _of(found, str(name))
        (draws,) = one.draws
        assert one.verdict == "drawn" and not one.proofs
        assert list(draws.drawn_in) == _drawn(name, rows, sha256) != []
        assert (draws.row, draws.rows, draws.iterations) == (rows.index(sha256), len(rows), ITERATIONS)
    kept = _of(found, str(FEATURE)).draws[0].kept_until
    assert kept == ITERATIONS // 2, "the published weights are those of the chosen snapshot"
    assert _of(found, "original_network").draws[0].kept_until == ITERATIONS


def test_training_without_the_image_has_a_proof_that_checks_against_its_sets_root(
    workspace: Workspace, lineage: Mapping[str, str]
) -> None:
    sha256 = FACES[15][0]  # trained on, but without the attribute
    found = exposure(workspace, holdings(workspace, [sha256]))
    assert _of(found, "original_network").verdict == "drawn"
    feature = _of(found, str(FEATURE))
    assert feature.verdict == "never"
    (proof,) = feature.proofs
    assert proof.image_set == f"{CHOSEN}@{lineage[str(CHOSEN)][:12]}"
    written = MerkleProof.from_record(feature.record()["proofs"][0]["proof"])
    assert not written.present and check_dataset_proof(written, sha256, proof.dataset_root)
    assert not check_dataset_proof(written, BEARDED[0][0], proof.dataset_root)


def test_held_out_image_was_never_drawn(workspace: Workspace, lineage: Mapping[str, str]) -> None:
    found = exposure(workspace, holdings(workspace, [FACES[0][0]]))
    one = _of(found, "original_network")
    assert one.verdict == "never" and "split test" in one.reason
    assert {one.verdict for one in found} == {"never"}


def test_unknown_image_is_proved_absent_from_every_set_upstream(
    workspace: Workspace, lineage: Mapping[str, str]
) -> None:
    stranger = "ab" * 32
    found = exposure(workspace, (), image=stranger)
    sets = [proof.image_set.partition("@")[0] for proof in _of(found, str(FEATURE)).proofs]
    assert sets == [str(CHOSEN), "aligned_images", "images"]
    for proof in _of(found, str(FEATURE)).proofs:
        assert check_dataset_proof(proof.proof, stranger, proof.dataset_root)
    assert _of(found, "the start weights").verdict == "unknown", "nobody knows whom it shows"


@pytest.mark.parametrize(
    ("subject", "start", "judges"),
    [
        ("renderer:10000006", "never", "never"),
        ("renderer:12", "subject", "never"),
        ("renderer:1000007", "never", "subject"),
        ("A. Person", "never", "never"),
    ],
)
def test_start_weights_and_judges_answer_by_the_subjects_they_learnt_from(
    workspace: Workspace, lineage: Mapping[str, str], subject: str, start: str, judges: str
) -> None:
    shown = replace(holdings(workspace, [FACES[15][0]])[0], subject=subject)
    found = exposure(workspace, [shown])
    assert (_of(found, "the start weights of original_network").verdict, _of(found, "judges").verdict) == (
        start,
        judges,
    )


def test_training_whose_manifest_is_gone_is_unknown_and_not_never(
    workspace: Workspace, lineage: Mapping[str, str]
) -> None:
    held = holdings(workspace, [BEARDED[2][0]])
    shutil.rmtree(workspace.payload("attribute_images", ATTRIBUTE))
    shutil.rmtree(cache_dir(workspace.root))
    one = _of(exposure(workspace, held), str(FEATURE))
    assert one.verdict == "unknown" and "neither in place nor in DVC's cache" in one.reason


def test_lines_name_trainings_iterations_and_where_the_proof_lies(
    workspace: Workspace, lineage: Mapping[str, str]
) -> None:
    held = holdings(workspace, [FACES[15][0]])
    lines = exposure_lines(exposure(workspace, held))
    drawn = _drawn(AssetId("original_network"), [face[0] for face in FACES if face[2] == "train"], FACES[15][0])
    assert any(line.startswith("drawn    original_network@") for line in lines)
    assert any(f"iterations {', '.join(map(str, drawn))}" in line for line in lines)
    (never,) = [line for line in lines if line.startswith(f"never    {FEATURE}@")]
    assert "proof of absence: root" in never and "8 images" in never


def test_every_training_of_the_graph_is_answered_for() -> None:
    assert {name for name, asset in GRAPH.items() if "lightning" in asset.kinds} == {*SHOWN, *SHOWN_PAIRS}
    assert all(GRAPH[name].reads[image_set] == "train" for name, image_set in SHOWN.items())


def test_nothing_of_it_imports_torch() -> None:
    code = "import sys, orchestration.audit.exposure; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
