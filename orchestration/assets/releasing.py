"""Releases: an editor as a registered model version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from data.image_set import read_dataset
from orchestration.edit import ALIGNMENT_FILE
from orchestration.execution import lineage_asset
from orchestration.partitions import ATTRIBUTES
from orchestration.step import Outcome, Step
from orchestration.store.payload import digest_payload
from orchestration.tracking import open_tracker
from orchestration.tracking.registry import register

MEASURES = ("success", "psnr_outside", "identity_cosine", "psnr_counterfactual")


@lineage_asset("attribute_release", ATTRIBUTES)
def attribute_release(step: Step) -> Outcome:
    """Register the editor as the candidate, with what its report says of it and the alignment it expects."""
    name = step.params.attribute_release.model_name(step.partition)
    editor, report = (digest_payload(step.input(x)).root for x in ("attribute_editor", "attribute_report"))
    _write(step.out / "release.json", {"model": name, "editor": editor, "report": report, "measures": _measures(step)})
    _write(step.out / ALIGNMENT_FILE, _alignment(step))

    def after_publish(data_version: str) -> Mapping[str, str]:
        tags = {"editloom.editor": editor, "editloom.report": report, "editloom.release": data_version}
        files = [*sorted(step.input("attribute_editor").iterdir()), *sorted(step.published.iterdir())]
        version = register(open_tracker(step.ws), step.run, name, files, tags)
        return {"model": name, "model version": version, "headline": f"{name} version {version}: candidate"}

    return Outcome(after_publish=after_publish)


def _alignment(step: Step) -> dict[str, Any]:
    """Where the editor expects the eyes: the template in force, also when a reference image gave it."""
    dataset = read_dataset(step.input("aligned_images"))
    return {"size_px": dataset["size_px"], **cast(dict[str, Any], dataset["template"])}


def _measures(step: Step) -> dict[str, Any]:
    """The editor's row of the report, by metric."""
    report = json.loads((step.input("attribute_report") / "metrics.json").read_text())
    row = next(row for row in report["rows"] if row["key"] == "editor")
    return {m["name"]: m["value"] for m in row["metrics"] if m["name"] in MEASURES}


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
