"""The second image set: aligned training images of which every one carries the attribute."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from data.aligned import AlignmentConfig, align_images
from data.attribute_names import has_all, parts_of
from data.consent import Withheld
from data.counting import CountFn, uncounted
from data.errors import UserError
from data.image_set import ImageSetSummary, ImageSetWriter, read_dataset, row_of
from data.ingest import IngestConfig, ingest_photos
from data.manifest import SplitFractions, read_manifest
from data.quarantine import Rejection, read_quarantine
from data.shards import iter_payloads


@dataclass(frozen=True)
class AttributeSetConfig:
    """The attribute (`a+b`: images that have both), and how few images are too few."""

    attribute: str
    minimum: int = 50


@dataclass(frozen=True)
class OwnFolder:
    """A second set from a folder of its own: every photo there has the attribute; aligned as the first set is."""

    ingest: IngestConfig
    alignment: AlignmentConfig
    split: SplitFractions


def attribute_images(
    aligned_dir: Path,
    out: Path,
    config: AttributeSetConfig,
    folder: OwnFolder | None = None,
    processes: int = 1,
    progress: CountFn = uncounted,
    withheld: Withheld = Withheld(),  # noqa: B008 – frozen
) -> ImageSetSummary:
    """Writes into `out` the training-split images that have the attribute, by label or from a folder of its own.

    Subjects held out by their hash stay held out from a folder too. What is `withheld` counts for the folder: by label
    only images of the first set are taken, which no longer holds them. Raises UserError below `config.minimum` images.
    """
    if folder is None:
        return _select(aligned_dir, out, config, (), progress)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".own-folder-") as scratch:
        images, aligned = Path(scratch, "images"), Path(scratch, "aligned")
        ingest_photos(folder.ingest, images, folder.split, processes, progress, parts_of(config.attribute), withheld)
        align_images(images, aligned, folder.alignment, processes, progress, withheld)
        refused = pd.concat([read_quarantine(images), read_quarantine(aligned)])
        rejections = [Rejection(*values) for values in refused.astype(object).itertuples(index=False)]
        return _select(aligned, out, config, tuple(rejections), progress)


def _select(
    aligned_dir: Path, out: Path, config: AttributeSetConfig, rejections: tuple[Rejection, ...], progress: CountFn
) -> ImageSetSummary:
    manifest = read_manifest(aligned_dir)
    has = manifest["attributes"].map(lambda names: has_all(config.attribute, names)).astype(bool)
    rows = manifest[has & (manifest["split"] == "train")]
    _require(rows, manifest, config)
    with ImageSetWriter(out, "attribute_images") as writer:
        records = rows.to_dict("records")
        for done, (png, record) in enumerate(zip(iter_payloads(aligned_dir, rows), records, strict=True), start=1):
            writer.add(png, row_of({str(key): value for key, value in record.items()}))
            progress(done, len(rows))
        for rejection in rejections:
            writer.reject(rejection)
        return writer.finish(_facts(aligned_dir, config, held_back=int(has.sum()) - len(rows)))


def _require(rows: pd.DataFrame, manifest: pd.DataFrame, config: AttributeSetConfig) -> None:
    if len(rows) >= config.minimum:
        return
    known = sorted({name for names in manifest["attributes"] for name in names})
    raise UserError(
        f"Only {len(rows)} training images have the attribute {config.attribute!r}; at least {config.minimum} are"
        f" needed. The labels that there are: {', '.join(known) or 'none'}.",
        "Label more images in the sidecar, render more, give the attribute a folder of its own,"
        " or lower attribute_images.minimum.",
    )


def _facts(aligned_dir: Path, config: AttributeSetConfig, held_back: int) -> dict[str, object]:
    aligned = read_dataset(aligned_dir)
    return {
        "attribute": config.attribute,
        "held_back": held_back,  # images of held-out subjects that have the attribute
        "size_px": aligned["size_px"],
        "template": aligned["template"],
        "aligned_dataset_root": aligned["dataset_root"],
    }
