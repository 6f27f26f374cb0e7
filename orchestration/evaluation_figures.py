"""The figures of evaluation: the CLIP judges, and per editor its sanity rows, worst slice and the gate's decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestration.figure_sources import BUILD_FIRST, Source, Wish, read_source, wished
from orchestration.graph import AssetId
from orchestration.release.decisions import PROMOTED, gate_decision
from orchestration.results import Bar, Figure
from orchestration.store import ledger
from orchestration.workspace import Workspace

GROUP = "evaluation"
ZERO_SHOT = Bar(at_least=0.95)
CLIPS = ("clip_train", "clip_eval")
WISHES = (
    Wish("editor", "frechet_distance", "distance", "Fréchet distance, edit"),
    Wish("did_nothing", "frechet_distance", "distance", "Fréchet distance, input as it is"),
    Wish("true_counterfactual", "frechet_distance", "distance", "Fréchet distance, true counterfactual"),
    Wish("editor", "clip_direction", "cosine", "CLIP direction, edit"),
    Wish("true_counterfactual", "clip_direction", "cosine", "CLIP direction, true counterfactual"),
    Wish("editor", "ssim_outside", "ssim", "SSIM outside the mask, edit"),
    Wish("editor", "seam_ratio", "ratio", "seam at the mask's edge, edit"),
    Wish("pasted_region", "seam_ratio", "ratio", "seam at the mask's edge, someone else's region pasted"),
    Wish("pasted_region", "attribute_success", "share", "attribute success, someone else's region pasted"),
)


def evaluation_figures(ws: Workspace) -> list[Figure]:
    """Every figure that the demo in `ws` has of the evaluation, those that are missing too."""
    attributes = tuple(ws.params().attributes)
    clips = [figure for judge in CLIPS for figure in _clip(ws, judge)]
    return [*clips, *(figure for attribute in attributes for figure in _editor(ws, attribute)), _champions(ws)]


def _clip(ws: Workspace, judge: str) -> Iterator[Figure]:
    """How well a CLIP tells attributes by sentences alone, on faces of subjects that no judge was trained on."""
    source = read_source(ws, AssetId("judges"), "judges.json")
    scores = (source.document or {"judges": {}})["judges"].get(judge, {}).get("scores", {})
    kinds: tuple[tuple[str, str, Bar | None], ...] = (
        ("mean of all attributes", "zero_shot_accuracy_mean", ZERO_SHOT),
        ("worst attribute", "zero_shot_accuracy_min", None),
        ("balanced, mean", "zero_shot_balanced_accuracy_mean", None),
    )
    for what, score, bar in kinds:
        note = "" if score in scores else "not among the scores"
        yield source.figure(
            f"judge {judge}: zero-shot accuracy, {what}", scores.get(score), "share", bar=bar, note=note
        )


def _editor(ws: Workspace, attribute: str) -> Iterator[Figure]:
    source, prefix = read_source(ws, AssetId("attribute_report", attribute), "metrics.json"), f"editor {attribute}: "
    yield from (wished(source, prefix, wish) for wish in WISHES)
    yield _worst_slice(source, prefix, "attribute_success", "attribute success")
    yield _worst_slice(source, prefix, "identity_cosine", "identity cosine")


def _worst_slice(source: Source, prefix: str, metric: str, title: str) -> Figure:
    name = f"{prefix}{title}, worst slice"
    slices = [one for one in (source.document or {}).get("slices", ()) if _measures(one, metric)]
    if not slices:
        return source.figure(name, None, "share", note="no slice is large enough")
    worst = min(slices, key=lambda one: float(one["metric"]["value"]))
    found = worst["metric"]
    interval = found["interval"] and (found["interval"]["low"], found["interval"]["high"])
    note = f"{worst['dimension']}: {worst['label']}, {found['n']} images; the lowest of {len(slices)} slices"
    return source.figure(name, found["value"], found["unit"], interval=interval, note=note)


def _measures(one: Mapping[str, Any], metric: str) -> bool:
    return bool(one["metric"]["name"] == metric and one["metric"]["value"] is not None)


def _champions(ws: Workspace) -> Figure:
    """How many of the editors the gate let through, by the ledger."""
    name, said, passed = "demo: editors that passed the gate", [], 0
    for attribute in ws.params().attributes:
        entry = ledger.last_entry(ws.root, "attribute_release", attribute)
        decided = None if entry is None else gate_decision(ws.root, entry)
        if decided is not None:
            passed += decided.decision.outcome in PROMOTED
            said.append(f"{attribute} {decided.decision.outcome}")
    if not said:
        return Figure(name, None, "count", note=f"the gate has decided on none: {BUILD_FIRST}")
    return Figure(name, float(passed), "count", note=", ".join(said))
