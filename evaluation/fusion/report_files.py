"""A fusion report as files: metrics.json, summary.json, pareto.json, report.html, pictures. Same report, same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data.png import encode_png
from evaluation.fusion.baselines import MOVED, TITLES
from evaluation.fusion.pareto import Comparison, curve_record, not_won
from evaluation.fusion.report import PAIRS, FusionReport, lacks_direction
from evaluation.report_files import (
    METRICS,
    PAGE,
    SHEET,
    MetricTable,
    Page,
    TextTable,
    records,
    render_page,
    write_json,
    write_summary,
)

PARETO, PARETO_PICTURE = "pareto.json", "pareto.png"
VERDICTS = {
    "wins": "mask fusion wins",
    "loses": "mask fusion does not win",
    "open": "no difference shown",
    "neither": "neither succeeds so often",
}
PAIR_FACTS = {
    "attribute_success": "Pairs: success",
    "psnr_outside": "Pairs: PSNR outside",
    "pose_change": "Pairs: pose",
}


def write_fusion_report(report: FusionReport, out: Path) -> None:
    """Write a fusion report's metrics, their summary, trade-off, page, sheet and picture into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / METRICS, metrics_record(report))
    write_summary([metric for row in report.rows if row.key == PAIRS for metric in row.metrics], out)
    write_json(out / PARETO, pareto_record(report))
    (out / PAGE).write_text(render_page(fusion_page(report)), encoding="utf-8")
    (out / SHEET).write_bytes(encode_png(report.sheet))
    (out / PARETO_PICTURE).write_bytes(encode_png(report.picture))


def metrics_record(report: FusionReport) -> dict[str, Any]:
    """Return the rows as a JSON-able record, in the format of an editor's report."""
    return {
        "attribute": report.subject.attribute,
        "images": report.pairs,
        "faces": report.images,
        "judges": [asdict(judge) for judge in report.subject.judges],
        "threshold": report.subject.threshold,
        "bootstrap": asdict(report.config.bootstrap),
        "rows": [{"key": row.key, "title": row.title, "metrics": records(row.metrics)} for row in report.rows],
    }


def pareto_record(report: FusionReport) -> dict[str, Any]:
    """Return curves and comparisons as a JSON-able record; `not_won` lists where mask fusion does not win outside."""
    baselines = [curve.key for curve in report.curves[1:]]
    made_of = report.direction and {
        "with_attribute": report.direction.with_attribute,
        "without_attribute": report.direction.without_attribute,
    }
    return {
        "attribute": report.subject.attribute,
        "faces": report.images,
        "threshold": report.subject.threshold,
        "units": {"success": "share", "change_outside": "levels", "identity_cosine": "cosine", "seam": "levels"},
        "latent_direction": made_of,
        "curves": [curve_record(curve) for curve in report.curves],
        "comparisons": [asdict(one) for one in report.comparisons],
        "not_won": {key: [one.success for one in not_won(report.comparisons, key)] for key in baselines},
    }


def fusion_page(report: FusionReport) -> Page:
    """Return the page of a fusion report."""
    table = MetricTable(
        tuple(row.title for row in report.rows),
        tuple({metric.name: metric for metric in row.metrics} for row in report.rows),
    )
    name = report.subject.attribute.replace("_", " ")
    return Page(
        f"Mask fusion: {name}",
        f"Training pairs of “{name}” as they are stored, and mask fusion beside other ways to edit, on the same "
        "generated faces that lack it.",
        _facts(report), table, report.subject.judges,
        (("Success against change outside", report.picture), ("The same faces", report.sheet)), _reading(report),
        (_cost_table(report.comparisons),),
    )  # fmt: skip


def summary(report: FusionReport, baseline: str) -> str:
    """Say whether mask fusion changes less outside than a baseline at the same success, and where it does not."""
    asked = [one for one in report.comparisons if _is_outside(one, baseline) and one.verdict != "neither"]
    lost = not_won(report.comparisons, baseline)
    if not asked:
        return "not compared: neither succeeds often enough"
    if not lost:
        return f"wins at all {len(asked)} levels of success"
    seams = {one.success: one.verdict for one in report.comparisons if one.baseline == baseline and one.cost == "seam"}
    smaller = "; its seam is smaller there" if all(seams[one.success] == "wins" for one in lost) else ""
    return "does not win at success " + ", ".join(f"{100 * one.success:.0f} %" for one in lost) + smaller


def _is_outside(comparison: Comparison, baseline: str) -> bool:
    return comparison.baseline == baseline and comparison.cost == "change_outside"


def _facts(report: FusionReport) -> dict[str, str]:
    pairs = {metric.name: metric.text for row in report.rows if row.key == PAIRS for metric in row.metrics}
    against = {f"Against {curve.title}": summary(report, curve.key) for curve in report.curves[1:]}
    counts = {"Stored pairs": str(report.pairs), "Faces edited": str(report.images)}
    return {title: pairs[name] for name, title in PAIR_FACTS.items()} | counts | against


def _cost_table(comparisons: Sequence[Comparison]) -> TextTable:
    """One line per baseline and level: mask fusion's cost, the baseline's, and who changes less outside."""
    of = {(one.baseline, one.success, one.highest, one.cost): one for one in comparisons}
    lines = dict.fromkeys((baseline, success, highest) for baseline, success, highest, _ in of)
    columns = (
        "Against, at success", "Outside: fusion", "baseline", "Outside", "Identity: fusion", "baseline",
        "Seam: fusion", "baseline", "Seam",
    )  # fmt: skip
    return TextTable("Cost at the same success", columns, tuple(_line(line, of) for line in lines))


def _line(line: tuple[str, float, bool], of: dict[tuple[str, float, bool, str], Comparison]) -> tuple[str, ...]:
    outside, identity, seam = (of[*line, cost] for cost in ("change_outside", "identity_cosine", "seam"))
    baseline, success, highest = line
    name = f"{TITLES[baseline]}, {100 * success:.0f} %{' (highest both reach)' if highest else ''}"
    return (
        name, _number(outside.ours), _number(outside.theirs), VERDICTS[outside.verdict], _number(identity.ours),
        _number(identity.theirs), _number(seam.ours), _number(seam.theirs), VERDICTS[seam.verdict],
    )  # fmt: skip


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _reading(report: FusionReport) -> tuple[str, ...]:
    lines = [
        "Every method edits the same faces; strength 0 is the untouched face. Costs at a level of success are read off "
        "each curve where it first reaches the level, between two strengths linearly.",
        "Outside means beyond the attribute's regions in the original and in the result, as the evaluation parser sees "
        "them, grown by one pixel at 64 px. Changes and seams are in 8-bit levels.",
        "Wins: the 95 % interval of the difference, over resampled faces, lies on one side of zero; a method that does "
        "not succeed so often loses to one that does.",
        "Layer swapping runs the original network on from the feature network's features, everywhere. Pixel pasting "
        "lays the feature image over the original by the joint mask: it can change nothing outside, and shows at the "
        "mask's edge. The latent direction moves w from faces without the attribute to faces with it.",
        "A seam is how much steeper a result is along the joint mask's edge than both pictures it was mixed from.",
    ]
    if lacks_direction(report):
        lines.append(f"{TITLES[MOVED].capitalize()}: not measured, too few faces with or without the attribute.")
    return tuple(lines)
