"""Image sets: what was ingested, its aligned crops, and those that have an attribute."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from data.aligned import AlignmentConfig, align_images
from data.alignment import Template
from data.attribute_set import AttributeSetConfig, OwnFolder
from data.attribute_set import attribute_images as select_images
from data.expectations import validate_manifest
from data.image_set import ImageSetSummary, Kind, read_dataset
from data.ingest import IngestConfig, ingest_photos
from data.manifest import SplitFractions, read_manifest
from data.rendered import RenderedConfig, render_images
from data.shards import read_images
from evaluation.sheet import Picture, grid
from orchestration.consent.registry import withheld
from orchestration.execution import lineage_asset
from orchestration.partitions import ATTRIBUTES
from orchestration.sections import Ingest
from orchestration.step import CheckOutcome, Outcome, Step

EXPECTATIONS = "expectations"
PREVIEW_IMAGES, PREVIEW_COLUMNS = 24, 8


@lineage_asset("images", ATTRIBUTES, checks=(EXPECTATIONS,))
def images(step: Step) -> Outcome:
    """Render or ingest the first image set."""
    params, split = step.params.images, _split(step)
    processes, gone = step.params.compute.processes, withheld(step.ws.root)
    if params.source == "renderer":
        config = RenderedConfig(**params.renderer.model_dump(), seed=step.params.seed, category=step.params.category)
        summary = render_images(config, step.out, split, processes, step.counted("images"), gone)
    else:
        ingest = _ingest(step, params.ingest)
        summary = ingest_photos(ingest, step.out, split, processes, step.counted("photos"), withheld=gone)
    min_size_px = 1 if params.source == "renderer" else params.ingest.min_size_px
    return _outcome(step, summary, "images", min_size_px=min_size_px)


@lineage_asset("aligned_images", ATTRIBUTES, checks=(EXPECTATIONS,))
def aligned_images(step: Step) -> Outcome:
    """Align the images by their landmarks."""
    config = _alignment(step)
    processes = step.params.compute.processes
    gone = withheld(step.ws.root)
    summary = align_images(step.input("images"), step.out, config, processes, step.counted("images"), gone)
    return _outcome(step, summary, "aligned_images", size_px=config.size_px, template=_template_of(step, step.out))


@lineage_asset("attribute_images", ATTRIBUTES, checks=(EXPECTATIONS,))
def attribute_images(step: Step) -> Outcome:
    """Select the second image set by label, or ingest it from a folder of its own."""
    config = AttributeSetConfig(step.partition, step.params.attribute_images.minimum)
    own = step.params.attributes[step.partition].attribute_images
    folder = OwnFolder(_ingest(step, own), _alignment(step), _split(step)) if own else None
    processes = step.params.compute.processes
    aligned, gone = step.input("aligned_images"), withheld(step.ws.root)
    summary = select_images(aligned, step.out, config, folder, processes, step.counted("images"), gone)
    size_px = step.params.aligned_images.size_px
    template = _template_of(step, aligned)
    return _outcome(step, summary, "attribute_images", attribute=step.partition, size_px=size_px, template=template)


def _split(step: Step) -> SplitFractions:
    return SplitFractions(**step.params.split.model_dump())


def _ingest(step: Step, ingest: Ingest) -> IngestConfig:
    """The ingest settings with paths found from the workspace, whatever the current directory is."""
    known = ingest.model_dump(exclude={"path", "sidecar"})
    sidecar = step.ws.root / ingest.sidecar if ingest.sidecar else None
    return IngestConfig(source=str(step.ws.root / str(ingest.path)), sidecar=sidecar, **known)


def _alignment(step: Step) -> AlignmentConfig:
    category, section = step.params.category, step.params.aligned_images
    template = Template.of(category, section.template)
    return AlignmentConfig(**section.model_dump(exclude={"template"}), template=template, category=category)


def _template_of(step: Step, aligned: Path) -> Template:
    """The template in force, also when a reference image gave it."""
    return Template.of(step.params.category, cast(dict[str, list[float]], read_dataset(aligned)["template"]))


def _outcome(step: Step, summary: ImageSetSummary, kind: Kind, **facts: Any) -> Outcome:
    """Counts, a preview, and the manifest's expectations as a blocking check."""
    manifest = read_manifest(step.out)
    result = validate_manifest(kind, manifest, **facts)
    check = CheckOutcome(EXPECTATIONS, result.success, "; ".join(result.failed) or "all hold", result.document)
    metadata: dict[str, float | int | str] = {
        "images": summary.count,
        "subjects": int(manifest["subject"].nunique()),
        "quarantined": sum(summary.quarantined.values()),
        "dataset_root": summary.dataset_root,
        "headline": f"{summary.count:,} images, {sum(summary.quarantined.values())} quarantined",
    }
    return Outcome(metadata, {"preview": _preview(step.out)}, (check,))


def _preview(directory: Path) -> Picture:
    """The first images of one size, as a grid."""
    manifest = read_manifest(directory)
    first = manifest.iloc[0]
    same = manifest[(manifest["width"] == first["width"]) & (manifest["height"] == first["height"])]
    return grid(read_images(directory, same.head(PREVIEW_IMAGES)), PREVIEW_COLUMNS)
