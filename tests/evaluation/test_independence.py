"""A judge that saw what it judges is found out, whichever way it did."""

from __future__ import annotations

from typing import Any

import pytest

from evaluation.independence import check_independence
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
    assert check_independence(_manifest(train=_record("train", "a", (0, 100)), judge=CLEAN), [(5000, 6000)]) == []


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


def test_judge_that_saw_the_judged_networks_subjects_is_named() -> None:
    found = check_independence(_manifest(judge=CLEAN), trained_on=[(150, 160)])
    assert len(found) == 1 and "[150, 160)" in found[0]
