"""The figures of local attribute editing: editors, pairs, mask fusion beside other ways to edit, with their bars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from data.attribute_names import parts_of
from orchestration.figure_sources import Source, Wish, find_metric, read_source, wished
from orchestration.graph import AssetId
from orchestration.results import Bar, Figure
from orchestration.workspace import Workspace

GROUP = "attribute"
HELD_OUT_IMAGES = 500
SUCCESS, COMBINED_SUCCESS = Bar(at_least=0.95), Bar(at_least=0.90)
IDENTITY_KEPT = Bar(at_least=0.95)

SUCCESS_NAME = "attribute success"
EDITOR_WISHES = (
    Wish("did_nothing", "attribute_success", "share", "attribute success, input as it is"),
    Wish("true_counterfactual", "attribute_success", "share", "attribute success, true counterfactual"),
    Wish("editor", "psnr_outside", "dB", "PSNR outside the mask", Bar(at_least=32)),
    Wish("editor", "identity_cosine", "cosine", "identity cosine, edit"),
    Wish("true_counterfactual", "identity_cosine", "cosine", "identity cosine, true counterfactual"),
    Wish("another_face", "identity_cosine", "cosine", "identity cosine, other subjects"),
    Wish("editor", "psnr_counterfactual", "dB", "PSNR against the counterfactual, edit"),
    Wish("did_nothing", "psnr_counterfactual", "dB", "PSNR against the counterfactual, input as it is"),
    Wish("editor", "pose_change", "degrees", "pose change, edit", Bar(at_most=2.5)),
    Wish("true_counterfactual", "pose_change", "degrees", "pose change, true counterfactual (floor)"),
    Wish("editor", "frechet_distance", "distance", "Fréchet distance, edit"),
    Wish("did_nothing", "frechet_distance", "distance", "Fréchet distance, input as it is"),
    Wish("true_counterfactual", "frechet_distance", "distance", "Fréchet distance, true counterfactual"),
)
PAIR_WISHES = (
    Wish("pairs", "psnr_outside", "dB", "PSNR outside both images' regions", Bar(at_least=35)),
    Wish("pairs", "attribute_success", "share", "attribute success"),
    Wish("pairs", "identity_cosine", "cosine", "identity cosine"),
    Wish("pairs", "pose_change", "degrees", "pose change"),
)
BASELINES: Mapping[str, str] = {
    "layer_swap": "layer swapping without a mask",
    "pixel_paste": "pixel pasting by the mask",
    "latent_direction": "a latent direction",
}


def attribute_figures(ws: Workspace) -> list[Figure]:
    """Every figure of every attribute in `ws`, those that are missing too."""
    attributes = ws.params().attributes
    return [figure for attribute in attributes for part in (_editor, _pairs, _choice) for figure in part(ws, attribute)]


def _editor(ws: Workspace, attribute: str) -> Iterator[Figure]:
    source, prefix = read_source(ws, AssetId("attribute_report", attribute), "metrics.json"), f"editor {attribute}: "
    parts = parts_of(attribute)
    bar = SUCCESS if len(parts) == 1 else COMBINED_SUCCESS
    yield wished(source, prefix, Wish("editor", "attribute_success", "share", SUCCESS_NAME, bar), HELD_OUT_IMAGES)
    for part in parts if len(parts) > 1 else ():
        yield wished(source, prefix, Wish("editor", f"attribute_success_{part}", "share", f"{SUCCESS_NAME}, {part}"))
    # Of several attributes at once only the success is asked for; the rest is reported.
    wishes = EDITOR_WISHES if len(parts) == 1 else [replace(wish, bar=None) for wish in EDITOR_WISHES]
    yield from (wished(source, prefix, wish, HELD_OUT_IMAGES) for wish in wishes)
    yield _identity_kept(source, prefix, IDENTITY_KEPT if len(parts) == 1 else None)


def _identity_kept(source: Source, prefix: str, bar: Bar | None) -> Figure:
    """The edit's identity cosine as a share of the true counterfactual's, which is what an edit costs at best."""
    name = prefix + "identity cosine, edit over true counterfactual"
    edit, truth = (_identity(source, row) for row in ("editor", "true_counterfactual"))
    if not (edit and truth):
        return source.figure(name, None, "ratio", bar=bar, note="the report has no such rows")
    bar = bar if edit["n"] >= HELD_OUT_IMAGES else None
    judge = f"judge {edit['judge']} {edit['judge_digest'][:8]}"
    return source.figure(name, edit["value"] / truth["value"], "ratio", bar=bar, note=f"{edit['n']} images; {judge}")


def _identity(source: Source, row: str) -> Mapping[str, Any] | None:
    """A row's identity cosine, where it was measured."""
    found = find_metric(source.document, Wish(row, "identity_cosine", "cosine", "")) if source.document else None
    return found if found and found["value"] is not None else None


def _pairs(ws: Workspace, attribute: str) -> Iterator[Figure]:
    identifier = AssetId("fusion_report", attribute)
    report = read_source(ws, identifier, "metrics.json")
    wishes = PAIR_WISHES if len(parts_of(attribute)) == 1 else [replace(wish, bar=None) for wish in PAIR_WISHES]
    yield from (wished(report, f"pairs {attribute}: ", wish) for wish in wishes)
    pareto = read_source(ws, identifier, "pareto.json")
    for baseline, title in BASELINES.items():
        yield _comparison(pareto, attribute, baseline, title)


def _comparison(source: Source, attribute: str, baseline: str, title: str) -> Figure:
    """At how many compared levels of success mask fusion does not change less outside than a baseline."""
    name = f"mask fusion {attribute}: levels of success at which {title} changes no more outside"
    if source.document is None:
        return source.figure(name, None, "levels")
    outside = [row for row in source.document["comparisons"] if _about(row, baseline, "change_outside")]
    lost = source.document["not_won"][baseline]
    seams = [row["verdict"] for row in source.document["comparisons"] if _about(row, baseline, "seam")]
    levels = ", ".join(f"{level:.0%}" for level in lost)
    notes = [f"of {len(outside)} levels", f"not won at {levels}" if lost else "", f"seam: {', '.join(seams)}"]
    return source.figure(name, float(len(lost)), "levels", note="; ".join(note for note in notes if note))


def _about(row: Mapping[str, Any], baseline: str, cost: str) -> bool:
    return bool(row["baseline"] == baseline and row["cost"] == cost)


def _choice(ws: Workspace, attribute: str) -> Iterator[Figure]:
    """Which snapshot of the feature network goes on, and how complex the rule finds the edit."""
    curve = read_source(ws, AssetId("feature_network", attribute), "snapshots.json")
    points = (curve.document or {}).get("snapshots", [])
    chosen = next((point for point in points if point["chosen"]), None)
    name = f"feature network {attribute}: chosen snapshot"
    yield curve.figure(name, chosen and chosen["kimg"], "kimg", note=_of_choice(chosen, len(points)) if chosen else "")
    pairs = read_source(ws, AssetId("edit_pairs", attribute), "pairs.json")
    decision = ((pairs.document or {}).get("config") or {}).get("decision")
    name = f"pairs {attribute}: editing complexity"
    note = _of_decision(decision) if decision else "pairs.json holds no decision"
    yield pairs.figure(name, decision and decision["complexity"], "complexity", note=note)


def _of_choice(chosen: Mapping[str, Any], snapshots: int) -> str:
    agreements = f"probability {chosen['probability']:.3f}, identity {chosen['identity_cosine']:.3f}"
    pose = f"pose {chosen['pose_change_deg']:.2f}°"
    return f"score {chosen['score']:.3f}: {agreements}, {pose}; of {snapshots} snapshots"


def _of_decision(decision: Mapping[str, Any]) -> str:
    measured = f"{decision['attributes']} attributes, region {decision['region_area']:.3f} of the image"
    return f"{measured}; {decision['preset']} schedule, threshold {decision['threshold']:g}"
