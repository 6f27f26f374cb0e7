"""The report of an attribute editor: its measures on held-out faces, beside rows of floor, ceiling and cheats."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from data.attribute_names import parts_of
from data.captions import prompts
from data.categories import regions_of
from evaluation.edit_report import EDITOR, NOTHING, EditReport, Floats, ReportConfig, ReportRow, Words
from evaluation.held_out import HeldOut, Masks, dilate
from evaluation.metrics.attribute import probability_measure, success_measure
from evaluation.metrics.clip_direction import clip_direction_measure
from evaluation.metrics.counterfactual import counterfactual_measures
from evaluation.metrics.frechet import PROTOCOL as FRECHET
from evaluation.metrics.identity import cosine_metrics, identity_measure
from evaluation.metrics.locality import locality_measures
from evaluation.metrics.measure import Measure
from evaluation.metrics.metric import RENDERER, Judge, Metric, not_measured
from evaluation.metrics.perceptual import perceptual_of_images, sees_layers
from evaluation.metrics.pose import pose_measures
from evaluation.metrics.seam import seam_measure
from evaluation.metrics.sets import set_metrics
from evaluation.panel import Panel, Seen, feature_vectors, judge_of, look, region_masks
from evaluation.pixels import ImageFunction, Images, apply_in_batches
from evaluation.sanity_rows import READING, STRANGER, TITLES, sanity_answers
from evaluation.sheet import Picture, edit_sheet
from evaluation.slices import photo_slices
from evaluation.worst import WORST, worst_edits, worst_picture

STRIP_ROWS = 3
HEADLINE = (
    "attribute_success", "identity_cosine", "psnr_outside", "seam_ratio", "pose_change", "mae_counterfactual_inside",
)  # fmt: skip
LEAD = "{kind} of subjects that no network was trained on, all without “{name}”; the editor adds it."
NOTES = (
    "Outside the mask means outside the region of the attribute in input and counterfactual, grown by one pixel; of "
    "photographs, outside the region that the parser sees before or after.",
    "The worst slice of many is low by chance too: read its interval and its number of images.",
    "Intervals are at 95 % and resample whole subjects, whose images are not independent.",
    WORST,
)


@dataclass(frozen=True)
class AttributeReportConfig(ReportConfig):
    """How an attribute is measured: `threshold` is the probability from which it counts as there."""

    threshold: float = 0.5


@dataclass(frozen=True)
class _Bench:
    """What every row is measured against, computed once; `sentences` are CLIP's vectors without and with."""

    panel: Panel
    held_out: HeldOut
    config: AttributeReportConfig
    before: Seen
    reference_features: Floats
    region_before: Masks | None
    sentences: tuple[Floats, Floats] | None


def evaluate_attribute_editor(
    editor: ImageFunction, panel: Panel, held_out: HeldOut, config: AttributeReportConfig | None = None
) -> EditReport:
    """Measure an editor (N×3×H×W in [-1, 1] → the same) on held-out faces, with the sanity rows beside it."""
    config = config or AttributeReportConfig()
    outputs = apply_in_batches(editor, held_out.inputs, config.batch_size, panel.device)
    return measure_attribute_answers(outputs, panel, held_out, config)


def measure_attribute_answers(
    outputs: Images, panel: Panel, held_out: HeldOut, config: AttributeReportConfig | None = None
) -> EditReport:
    """Measure edits that are made already (N×H×W×3, in the order of the held-out inputs), like an editor's."""
    config = config or AttributeReportConfig()
    bench = _prepare(panel, held_out, config)
    answers = {EDITOR: outputs} | sanity_answers(held_out, panel, config.seed, config.batch_size)
    seen = {
        key: bench.before if key == NOTHING else look(panel, images, held_out.attribute, config.batch_size)
        for key, images in answers.items()
    }
    rows = tuple(_row(bench, key, images, seen[key]) for key, images in answers.items())
    return _report(bench, rows, outputs, seen[EDITOR])


def _measures(bench: _Bench, outputs: Images, after: Seen) -> tuple[Measure, ...]:
    """Return every measure per image of one way to answer, N each."""
    panel, held_out, before = bench.panel, bench.held_out, bench.before
    attribute, (outside, region_judge) = judge_of(panel.attribute), _outside(bench, outputs)
    measures = [
        success_measure(after.probabilities, attribute, bench.config.threshold),
        *_success_of_parts(bench, after),
        probability_measure(after.probabilities, attribute),
        identity_measure(before.identities, after.identities, judge_of(panel.identity)),
        *locality_measures(held_out.inputs, outputs, outside, region_judge),
        *_perceptual(bench, outputs, outside),
        seam_measure(held_out.inputs, outputs, ~outside, region_judge),
        *pose_measures(before.angles_deg, after.angles_deg, judge_of(panel.pose)),
        *_clip_direction(bench, after),
    ]
    if held_out.counterfactuals is not None:
        measures += counterfactual_measures(outputs, held_out.counterfactuals, ~outside, RENDERER)
    return tuple(measures)


def _prepare(panel: Panel, held_out: HeldOut, config: AttributeReportConfig) -> _Bench:
    attribute, inputs, size = held_out.attribute, held_out.inputs, config.batch_size
    regions = regions_of(attribute, held_out.category)
    return _Bench(
        panel,
        held_out,
        config,
        look(panel, inputs, attribute, size),
        feature_vectors(panel.features, held_out.reference.images, size, panel.device),
        region_masks(panel, inputs, regions, size) if held_out.outside is None else None,
        _sentences(panel, held_out),
    )


@torch.inference_mode()
def _sentences(panel: Panel, held_out: HeldOut) -> tuple[Floats, Floats] | None:
    """CLIP's vectors of “without” and “with” the attribute, 1×C each: of several attributes the mean over the parts."""
    if panel.clip is None:
        return None
    pairs = [prompts(held_out.category, part) for part in parts_of(held_out.attribute)]
    without, there = (
        panel.clip.text_vectors(texts).mean(dim=0, keepdim=True).double().cpu().numpy()
        for texts in zip(*pairs, strict=True)
    )
    return without, there


def _row(bench: _Bench, key: str, outputs: Images, seen: Seen) -> ReportRow:
    measures, sets = _measures(bench, outputs, seen), _sets(bench, key, seen)
    return ReportRow(key, TITLES[key], measures, sets, bench.held_out.subjects, bench.config.bootstrap)


def _success_of_parts(bench: _Bench, after: Seen) -> list[Measure]:
    """What became of each part of a combined attribute; nothing for a single one."""
    parts, judge = parts_of(bench.held_out.attribute), judge_of(bench.panel.attribute)
    columns = zip(parts, after.part_probabilities.T, strict=True) if len(parts) > 1 else ()
    return [success_measure(column, judge, bench.config.threshold, part) for part, column in columns]


def _outside(bench: _Bench, outputs: Images) -> tuple[Masks, Judge]:
    """Where nothing may change: by the renderer, or else beyond the region the parser sees before and after."""
    held_out, panel = bench.held_out, bench.panel
    if bench.region_before is None:
        assert held_out.outside is not None  # one of the two is there, see _prepare
        return held_out.outside, RENDERER
    regions = regions_of(held_out.attribute, held_out.category)
    seen = bench.region_before | region_masks(panel, outputs, regions, bench.config.batch_size)
    return ~dilate(seen, 1), judge_of(panel.parser)


def _perceptual(bench: _Bench, outputs: Images, outside: Masks) -> tuple[Measure, ...]:
    """The perceptual distance, from a features judge that shows its layers."""
    judge, size, device = bench.panel.features, bench.config.batch_size, bench.panel.device
    if not sees_layers(judge):
        return ()
    return (perceptual_of_images(judge, bench.held_out.inputs, outputs, outside, size, device),)


def _clip_direction(bench: _Bench, after: Seen) -> tuple[Measure, ...]:
    """Whether the picture moved from “without” to “with”, where the panel has a CLIP judge."""
    clip, before = bench.panel.clip, bench.before.image_vectors
    if clip is None or bench.sentences is None or before is None or after.image_vectors is None:
        return ()
    return (clip_direction_measure(before, after.image_vectors, *bench.sentences, judge_of(clip)),)


def _sets(bench: _Bench, key: str, seen: Seen) -> tuple[Metric, ...]:
    """Distances to the real images that have the attribute; none for a row drawn from those, or without any."""
    judge, reference, seed = judge_of(bench.panel.features), bench.reference_features, bench.config.seed
    if key == STRANGER:
        why = "the row is drawn from the reference images themselves"
        return (not_measured(FRECHET.name, FRECHET.unit, judge, FRECHET.text, why),)
    if not len(reference):
        why = "no test-split image has the attribute"
        return (not_measured(FRECHET.name, FRECHET.unit, judge, FRECHET.text, why),)
    return set_metrics(seen.features, reference, judge, bench.held_out.subjects, seed)


def _report(bench: _Bench, rows: tuple[ReportRow, ...], outputs: Images, seen: Seen) -> EditReport:
    held_out, config, panel = bench.held_out, bench.config, bench.panel
    headline = tuple(name for name in HEADLINE if name in {measure.name for measure in rows[0].measures})
    worst = worst_edits(rows[0], config.worst_images)
    return EditReport(
        protocol="attribute",
        name=held_out.attribute,
        size_px=outputs.shape[1],
        rows=rows,
        judges=panel.judges,
        subjects=held_out.subjects,
        names=held_out.sha256s,
        inputs=held_out.inputs,
        outputs=outputs,
        features=seen.features,
        reference_features=bench.reference_features,
        slices={**photo_slices(held_out.inputs, bench.before.angles_deg), **held_out.slices},
        config=config,
        sheet=_sheet(held_out, outputs, config.sheet_rows),
        strip=_sheet(held_out, outputs, STRIP_ROWS),
        worst=worst,
        worst_sheet=_worst(held_out, outputs, rows[0], worst),
        words=_words(held_out, rows, headline),
        headline=headline,
        truth=held_out.counterfactuals,
        named_by="sha256",
        sources=held_out.sources,
        beside=cosine_metrics(
            bench.before.identities, held_out.subjects, judge_of(panel.identity), config.bootstrap
        ),
    )  # fmt: skip


def _words(held_out: HeldOut, rows: tuple[ReportRow, ...], headline: tuple[str, ...]) -> Words:
    name = held_out.attribute.replace("_", " ").replace("+", " + ")
    facts = {
        "Held-out images": f"{len(held_out)} of {len(set(held_out.subjects))} subjects",
        "Reference images": str(len(held_out.reference.images)),
        "Counterfactual": "rendered" if held_out.counterfactuals is not None else "none (photographs)",
    }
    reading = (*(READING[row.key] for row in rows if row.key in READING), *NOTES)
    lead = LEAD.format(kind=f"{held_out.category.capitalize()}s", name=name)
    return Words(f"Attribute editor: {name}", lead, facts, reading)


def _sheet(held_out: HeldOut, edits: Images, rows: int) -> Picture:
    truth = None if held_out.counterfactuals is None else held_out.counterfactuals[:rows]
    title = held_out.attribute.replace("_", " ")
    about = f"held-out {held_out.category}s, never trained on"
    return edit_sheet(held_out.inputs[:rows], edits[:rows], truth, title, about)


def _worst(held_out: HeldOut, edits: Images, row: ReportRow, worst: tuple[int, ...]) -> Picture:
    columns = [("input", held_out.inputs), ("edit", edits)]
    if held_out.counterfactuals is not None:
        columns.append(("true counterfactual", held_out.counterfactuals))
    name = held_out.attribute.replace("_", " ")
    return worst_picture(row, worst, columns, held_out.sha256s, f"{name}: the {len(worst)} worst of {len(held_out)}")
