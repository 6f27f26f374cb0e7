"""A judge that saw what it judges is found out, whichever way it did."""

from __future__ import annotations

from typing import Any

import pytest

from evaluation.independence import HeldOutFaces, Seen, Upstream, check_independence, check_measurement
from training.judges.loading import JudgeRecord, JudgesManifest, NetworkRecord


def _record(role: str, sha256: str, subjects: tuple[int, int], **more: Any) -> JudgeRecord:
    return JudgeRecord.model_validate(
        {
            "kind": "identity",
            "role": role,
            "file": "x.safetensors",
            "sha256": sha256,
            "network": NetworkRecord(widths=(8,), outputs=4),
            "training_subjects": subjects,
            "held_out_subjects": (900, 950),
            **more,
        }
    )


def _manifest(**judges: JudgeRecord) -> JudgesManifest:
    return JudgesManifest(
        format=1, size_px=64, attributes=(), regions=(), renderer_digest="", dataset_digest="", config={},
        judges=judges, colour_histogram_rank1=0.0, card="",
    )  # fmt: skip


CLEAN = _record("eval", "b", (100, 200))


def test_disjoint_judges_pass() -> None:
    assert check_independence(_manifest(train=_record("train", "a", (0, 100)), judge=CLEAN)) == []


@pytest.mark.parametrize(
    ("judge", "says"),
    [
        (_record("eval", "b", (99, 200)), "both trained on subjects of [99, 100)"),
        (_record("eval", "a", (100, 200)), "the same weights"),
        (_record("eval", "b", (100, 200), weight_ancestors=("a",)), "share the weight ancestor a"),
        (_record("eval", "b", (100, 901)), "scored on subjects"),
    ],
)
def test_shared_lineage_is_named(judge: JudgeRecord, says: str) -> None:
    found = check_independence(_manifest(train=_record("train", "a", (0, 100)), judge=judge))
    assert len(found) == 1 and says in found[0]


HELD_OUT = HeldOutFaces(frozenset({"renderer:7000", "ada"}), frozenset({"f" * 64}))
APART = Upstream(
    {"old": _record("train", "c", (300, 400))}, {"file:p.onnx": "d"}, (Seen("net", frozenset({"renderer:5", "bo"})),)
)


def test_measurement_apart_from_the_training_passes() -> None:
    assert check_measurement(_manifest(judge=CLEAN), APART, HELD_OUT) == []


@pytest.mark.parametrize(
    ("upstream", "says"),
    [
        (Upstream(judges={"old": _record("train", "b", (300, 400))}), "judge and old are the same weights"),
        (Upstream(judges={"old": _record("train", "c", (199, 400))}), "both trained on subjects of [199, 200)"),
        (
            Upstream(judges={"old": _record("train", "c", (7000, 7001))}),
            "old was trained on held-out subject renderer:7000",
        ),
        (Upstream(files={"file:p.onnx": "b"}), "file:p.onnx, which made the masks"),
        (Upstream(seen=(Seen("net", ranges=((150, 160),)),)), "subjects of [150, 160), which net saw"),
        (Upstream(seen=(Seen("net", frozenset({"renderer:100"})),)), "subject renderer:100, which net saw"),
        (Upstream(seen=(Seen("net", frozenset({"ada", "bo"})),)), "net was trained on held-out subject ada"),
        (Upstream(seen=(Seen("net", ranges=((6999, 7001),)),)), "net was trained on held-out subject renderer:7000"),
        (Upstream(seen=(Seen("net", images=frozenset({"f" * 64})),)), "net was trained on 1 held-out images"),
    ],
)
def test_what_a_measurement_shares_with_the_training_is_named(upstream: Upstream, says: str) -> None:
    found = check_measurement(_manifest(judge=CLEAN), upstream, HELD_OUT)
    assert len(found) == 1 and says in found[0], found


def test_judge_that_was_trained_on_the_held_out_faces_is_named() -> None:
    found = check_measurement(_manifest(judge=_record("eval", "b", (6990, 7010))), Upstream(), HELD_OUT)
    assert found == ["judge was trained on held-out subject renderer:7000"]
