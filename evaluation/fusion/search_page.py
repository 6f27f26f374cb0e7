"""A search for the best fusion schedule, written down: a table for people, JSON, and the keys for params.yaml."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from evaluation.fusion.candidates import (
    ScheduleScore,
    SearchRule,
    larger_preset,
    ranked,
    schedule_name,
    score_db,
    success_floor,
)
from evaluation.fusion.search import SearchConfig
from training.fusion_schedule import FusionConfig, LayerSpec

MARKDOWN, DOCUMENT = "fusion_search.md", "fusion_search.json"
COLUMNS = ("schedule", "success", "PSNR outside, dB", "identity", "seam, levels", "score, dB")
NOT_ENOUGH = "–"


@dataclass(frozen=True)
class SearchRecord:
    """Everything that was measured: the schedules, the rule that ranks them, what stood at the start, who judged."""

    attribute: str
    size_px: int
    rows: tuple[ScheduleScore, ...]
    config: SearchConfig
    rule: SearchRule
    judges: dict[str, str]
    present: FusionConfig | None = None

    @property
    def best(self) -> ScheduleScore:
        """The schedule that the rule names."""
        return ranked(self.rows, self.rule)[0]


def table(record: SearchRecord) -> tuple[tuple[str, ...], ...]:
    """Return the rows of COLUMNS as text, best first; a schedule that succeeds too seldom has no score."""
    floor = success_floor(record.rows, record.rule)
    return tuple(_cells(row, floor, record) for row in ranked(record.rows, record.rule))


def params_snippet(record: SearchRecord) -> str:
    """Return the YAML that makes the best schedule that of the pairs.

    The best schedule is the smaller preset, unless it has several layers itself; the larger one is the best of several
    layers with the same masks.
    """
    best, larger = record.best, larger_preset(record.rows, record.rule)
    fusion = {
        "input": best.schedule.input,
        "joint": best.schedule.joint,
        "mask_layers": list(best.schedule.mask_layers),
        "smaller": [_spec(spec) for spec in best.schedule.layers],
        "larger": [_spec(spec) for spec in larger.schedule.layers],
    }
    return yaml.safe_dump({"edit_pairs": {"fusion": fusion}}, sort_keys=False, default_flow_style=None, width=120)


def markdown(record: SearchRecord) -> str:
    """Return the search as a Markdown page."""
    rule, config = record.rule, record.config
    lines = [
        f"# Fusion schedules for {record.attribute.replace('_', ' ')} at {record.size_px} px",
        "",
        f"{len(record.rows)} schedules on the same {config.codes} held-out codes, by training judges. Success: the "
        f"share of targets with probability ≥ {config.min_probability:g}. Outside: beyond the region of both images. "
        "Seam: how much steeper the target is along the mask's edge than either image it was made of.",
        "",
        f"Best: success at least {rule.success_share:g} of the greatest, here {success_floor(record.rows, rule):.1%}, "
        f"then the largest score = PSNR outside − {rule.seam_weight_db:g}·seam "
        f"− {rule.identity_weight_db:g}·(1 − identity).",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---|" + "--:|" * (len(COLUMNS) - 1),
        *(f"| {' | '.join(cells)} |" for cells in table(record)),
        "",
        f"**{record.best.name}**",
        "",
        "```yaml",
        params_snippet(record).rstrip(),
        "```",
        "",
        "Judges: " + ", ".join(f"{name} {digest[:12]}" for name, digest in sorted(record.judges.items())) + ".",
    ]
    return "\n".join(lines) + "\n"


def document(record: SearchRecord) -> dict[str, object]:
    """Return the search as a JSON document."""
    return {
        "format": 1,
        "attribute": record.attribute,
        "size_px": record.size_px,
        "config": asdict(record.config),
        "rule": asdict(record.rule),
        "judges": record.judges,
        "best": record.best.name,
        "present": schedule_name(record.present) if record.present else None,
        "schedules": [_row(row, record.rule) for row in ranked(record.rows, record.rule)],
    }


def write_search(record: SearchRecord, directory: Path) -> Path:
    """Write the Markdown page and the JSON document into `directory`; returns the page."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document(record), indent=1, sort_keys=True, allow_nan=False)
    (directory / DOCUMENT).write_text(text + "\n", encoding="utf-8")
    (directory / MARKDOWN).write_text(markdown(record), encoding="utf-8")
    return directory / MARKDOWN


def _cells(row: ScheduleScore, floor: float, record: SearchRecord) -> tuple[str, ...]:
    present = " (present)" if row.schedule == record.present else ""
    return (
        f"{row.name}{present}",
        f"{row.success:.1%}",
        f"{row.psnr_outside_db:.2f}",
        f"{row.identity_cosine:.3f}",
        f"{row.seam_levels:.2f}",
        f"{score_db(row, record.rule):.2f}" if row.success >= floor else NOT_ENOUGH,
    )


def _row(row: ScheduleScore, rule: SearchRule) -> dict[str, object]:
    measures = {key: value for key, value in vars(row).items() if key != "schedule"}
    named = {"name": row.name, "fusion": row.schedule.model_dump(mode="json"), "score_db": score_db(row, rule)}
    return {**named, **{key: round(float(value), 6) for key, value in measures.items()}}


def _spec(spec: LayerSpec) -> dict[str, object]:
    own = {} if spec.mask == "target" else {"mask": list(spec.mask)}
    return {"layer": spec.layer, "a": spec.a, **own}
