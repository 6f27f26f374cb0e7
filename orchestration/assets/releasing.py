"""Releases: an editor as a registered model version, the champion when the gate lets it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from data.image_set import read_dataset
from orchestration.announcement import RELEASE_FILE
from orchestration.consent.taint import exposure_of
from orchestration.edit import ALIGNMENT_FILE
from orchestration.execution import lineage_asset
from orchestration.graph import inputs_of
from orchestration.partitions import ATTRIBUTES
from orchestration.release.gate import CONSENT, GATE, attribute_gate
from orchestration.step import CheckOutcome, Outcome, Step
from orchestration.store.payload import digest_payload

MEASURES = ("attribute_success", "psnr_outside", "identity_cosine", "psnr_counterfactual")


@lineage_asset("attribute_release", ATTRIBUTES, checks=(CONSENT, GATE), gate=attribute_gate)
def attribute_release(step: Step) -> Outcome:
    """Register the editor as the candidate, with what its report says of it and the alignment it expects.

    The gate then decides whether it becomes the champion. One that descends from withdrawn images is not published.
    """
    check = _consent(step)
    if not check.passed:
        return Outcome(checks=(check,))
    name = step.params.attribute_release.model_name(step.partition)
    editor, report = (digest_payload(step.input(x)).root for x in ("attribute_editor", "attribute_report"))
    release = {"model": name, "asset": "attribute_editor", "model_version": editor, "report": report}
    _write(step.out / RELEASE_FILE, {**release, "measures": _measures(step)})
    _write(step.out / ALIGNMENT_FILE, _alignment(step))
    return Outcome({"headline": f"{name}: candidate"}, checks=(check,))


def _consent(step: Step) -> CheckOutcome:
    """Whether what the release is made from descends from withdrawn images, by the inputs in their places."""
    inputs = {str(dep): digest_payload(step.input(dep.asset)).root for dep in inputs_of(step.id)}
    found = exposure_of(step.ws, inputs)
    return CheckOutcome(CONSENT, not found, "; ".join(found) or "no withdrawn image in the lineage", {"found": found})


def _alignment(step: Step) -> dict[str, Any]:
    """Where the editor expects the reference points: the template in force, also when a reference image gave it."""
    dataset = read_dataset(step.input("aligned_images"))
    return {"size_px": dataset["size_px"], **cast(dict[str, Any], dataset["template"])}


def _measures(step: Step) -> dict[str, Any]:
    """The editor's row of the report, by metric."""
    report = json.loads((step.input("attribute_report") / "metrics.json").read_text())
    row = next(row for row in report["rows"] if row["key"] == "editor")
    return {m["name"]: m["value"] for m in row["metrics"] if m["name"] in MEASURES}


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
