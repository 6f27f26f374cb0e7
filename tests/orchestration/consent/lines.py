"""A line from images to a registered version, in a ledger, without training: each version of other bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data.aligned import AlignmentConfig, align_images
from data.manifest import SplitFractions, read_manifest
from data.rendered import RenderedConfig, render_images
from orchestration.consent.registry import withheld
from orchestration.graph import AssetId
from orchestration.policy import policy_digest
from orchestration.release.aliases import follow
from orchestration.release.decisions import Decided, Decision, gate_key, record, standing
from orchestration.store import ledger
from orchestration.tracking import Tracker
from orchestration.tracking.registry import register
from orchestration.workspace import Workspace
from tests.orchestration.published import image_set, put, text

ATTRIBUTE = "beard"
MODEL = "attribute_editor-beard"
IMAGES, ALIGNED, ORIGINAL = AssetId("images"), AssetId("aligned_images"), AssetId("original_network")
EDITOR, REPORT = AssetId("attribute_editor", ATTRIBUTE), AssetId("attribute_report", ATTRIBUTE)
PAIRS, RELEASE = AssetId("edit_pairs", ATTRIBUTE), AssetId("attribute_release", ATTRIBUTE)
Face = tuple[str, str, str]
FACES: list[Face] = [(f"{n:064x}", f"person-{n}", "test" if n < 3 else "train") for n in range(10)]


@dataclass
class Lines:
    """Makes versions 1, 2, … of a model, each from the faces that it is given; the newest one is the candidate."""

    ws: Workspace
    tracker: Tracker
    folder: Path
    count: int = 0

    def version(self, faces: Iterable[Face], *, promoted: bool = True) -> str:
        """Publish and register a version made from `faces`; the gate lets it pass, or it stays the candidate."""
        self.count += 1
        rows, number = list(faces), json.dumps({"number": self.count})
        images = {"images": put(self.ws, IMAGES, {}, image_set(rows, aligned=False))}
        aligned = {"aligned_images": put(self.ws, ALIGNED, images, image_set(rows))}
        network = {"original_network": put(self.ws, ORIGINAL, aligned, text("network.json", number))}
        pairs = {str(PAIRS): put(self.ws, PAIRS, network, text("pairs.json", number))}
        editor = {str(EDITOR): put(self.ws, EDITOR, pairs, text("editor.json", number))}
        report = {str(REPORT): put(self.ws, REPORT, {**editor, **aligned}, text("metrics.json", number))}
        run = self.tracker.asset_run(number, self.tracker.parent_run(number, "run"), RELEASE.asset, ATTRIBUTE)
        put(self.ws, RELEASE, {**editor, **report, **aligned}, text("release.json", number), mlflow_run=run.run_id)
        (self.folder / "editor.json").write_text(number)
        version = register(self.tracker, run, MODEL, [self.folder / "editor.json"], {})
        follow(self.tracker, self.decided(version, editor[str(EDITOR)], "passed" if promoted else "refused"))
        return version

    def decided(self, version: str, editor: str, outcome: str) -> Decided:
        """What the gate would have written down."""
        entry, before = ledger.last_entry(self.ws.root, RELEASE.asset, ATTRIBUTE), standing(self.ws.root, MODEL)
        assert entry is not None
        decision = Decision.model_validate(
            {"outcome": outcome, "model": MODEL, "version": version, "asset": str(RELEASE), "made_by": str(EDITOR),
             "release": entry.entry_hash, "editor": editor, "before": before, "policy": policy_digest(self.ws.policy),
             "after": before.promoted(version) if outcome == "passed" else before}
        )  # fmt: skip
        return record(self.ws.root, decision, gate_key(entry))

    def aliases(self) -> dict[str, str]:
        """Version by alias, as the server has them."""
        return {a: str(v) for a, v in self.tracker.client.get_registered_model(MODEL).aliases.items()}


def rendered_sets(ws: Workspace) -> tuple[str, str]:
    """Render and align twelve faces without what is withheld, and publish both sets; their data versions."""
    gone, split = withheld(ws.root), SplitFractions(test=0.3, validation=0.1)
    config = RenderedConfig(count=12, size_px=96, images_per_subject=2, first_subject=40_000_000)
    images = put(ws, IMAGES, {}, lambda folder: render_images(config, folder, split, withheld=gone))
    made_of, known = ws.payload("images"), AlignmentConfig(size_px=64)
    aligned = put(ws, ALIGNED, {"images": images}, lambda out: align_images(made_of, out, known, withheld=gone))
    return images, aligned


def first_image(ws: Workspace, split: str) -> str:
    """The sha256 of the first image of a split."""
    manifest = read_manifest(ws.payload("images"))
    return str(manifest[manifest["split"] == split]["sha256"].iloc[0])
