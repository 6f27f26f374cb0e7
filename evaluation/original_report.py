"""The report of an original network: did training on bring its pictures nearer to real ones, or at least not away?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from data.manifest import read_manifest
from data.png import encode_png
from data.shards import read_images
from evaluation.held_out import held_out_rows
from evaluation.metrics.fd_infinity import fd_infinity_metric
from evaluation.metrics.metric import Judge, Metric
from evaluation.metrics.sets import set_metrics
from evaluation.panel import SeesFeatures, feature_vectors, judge_of
from evaluation.pixels import CPU, Images, batches, to_images
from evaluation.report_files import (
    METRICS,
    PAGE,
    SHEET,
    MetricTable,
    Page,
    records,
    render_page,
    write_json,
    write_summary,
)
from evaluation.sheet import Picture, grid
from training.sampling import latents, layer_noise
from training.stylegan2 import Generator

Sampler = Callable[[NDArray[np.int64]], Images]
START, CONTINUED, REAL = "start", "continued", "real"
TITLES: Mapping[str, str] = {CONTINUED: "trained on", START: "start weights", REAL: "real training images"}


@dataclass(frozen=True)
class RealImages:
    """Aligned images: the test split to measure against, and others, with subjects, to show what real ones reach."""

    test: Images
    training: Images
    training_subjects: tuple[str, ...]


@dataclass(frozen=True)
class OriginalReportConfig:
    """How many images are generated, their seed, and how many stand on the grid."""

    images: int = 2000
    seed: int = 0
    batch_size: int = 64
    grid_images: int = 48
    grid_columns: int = 8


@dataclass(frozen=True)
class OriginalReport:
    """Metrics of sets by row, the continued network's ratio to its start, and pictures at fixed seeds.

    The first metric of a row is its Fréchet distance.
    """

    sets: Mapping[str, tuple[Metric, ...]]
    ratio: Metric | None
    judge: Judge
    config: OriginalReportConfig
    test_images: int
    sheet: Picture

    @property
    def distances(self) -> dict[str, Metric]:
        """Each row's Fréchet distance."""
        return {key: metrics[0] for key, metrics in self.sets.items()}

    def headline(self) -> dict[str, float]:
        """Return every measured value by `row/metric`, as a tracking server takes them."""
        values = {f"{key}/{metric.name}": metric.value for key, metrics in self.sets.items() for metric in metrics}
        values |= {f"{CONTINUED}/{self.ratio.name}": self.ratio.value} if self.ratio else {}
        return {name: value for name, value in values.items() if value is not None}


def generator_sampler(
    generator: Generator, seed: int, batch_size: int = 64, truncation_psi: float = 1.0, device: torch.device = CPU
) -> Sampler:
    """Return a function from indices (N) to images (N×H×W×3 uint8), each a function of (weights, seed, index)."""
    network, sizes = generator.eval().to(device), generator.synthesis.layer_sizes

    @torch.inference_mode()
    def sample(indices: NDArray[np.int64]) -> Images:
        pictures = []
        for part in batches(len(indices), batch_size):
            rows = torch.from_numpy(indices[part])
            noise = {name: maps.to(device) for name, maps in layer_noise(seed, rows, sizes).items()}
            z = latents(seed, rows, generator.config.z_dim).to(device)
            pictures.append(to_images(network(z, noise, truncation_psi)))
        return np.concatenate(pictures)

    return sample


def real_images(aligned_dir: Path, limit: int = 5000) -> RealImages:
    """Read the test split, and as many training images again; at most `limit` of each, in the order of hashes."""
    test = held_out_rows(aligned_dir).head(limit)
    manifest = read_manifest(aligned_dir)
    training = manifest[manifest["split"] == "train"].sort_values("sha256").head(len(test))
    subjects = tuple(training["subject"].astype(str))
    return RealImages(read_images(aligned_dir, test), read_images(aligned_dir, training), subjects)


def evaluate_original_network(
    continued: Sampler,
    start: Sampler | None,
    real: RealImages,
    features: SeesFeatures,
    config: OriginalReportConfig | None = None,
    device: torch.device = CPU,
) -> OriginalReport:
    """Measure a trained original network and the weights it started from (None: from nothing) against real images."""
    config = config or OriginalReportConfig()
    judge, indices = judge_of(features), np.arange(config.images, dtype=np.int64)
    reference = feature_vectors(features, real.test, config.batch_size, device)

    def measured(images: Images, subjects: Sequence[str]) -> tuple[Metric, ...]:
        vectors = feature_vectors(features, images, config.batch_size, device)
        first, *others = set_metrics(vectors, reference, judge, subjects, config.seed)
        return (first, fd_infinity_metric(vectors, reference, judge, config.seed), *others)

    drawn, each_its_own = continued(indices), [str(index) for index in indices]
    sets = {CONTINUED: measured(drawn, each_its_own)}
    if start is not None:
        sets[START] = measured(start(indices), each_its_own)
    if len(real.training):
        sets[REAL] = measured(real.training, real.training_subjects)
    sheet = grid(drawn[: config.grid_images], config.grid_columns, cell_px=128)
    ratio = _ratio(sets[CONTINUED][0], sets[START][0] if START in sets else None, judge)
    return OriginalReport(sets, ratio, judge, config, len(real.test), sheet)


def _ratio(continued: Metric, start: Metric | None, judge: Judge) -> Metric | None:
    if start is None or start.value is None or continued.value is None or start.value == 0:
        return None
    protocol = "Fréchet distance of the continued network over that of its start weights, same seeds and reference"
    return Metric(
        "frechet_ratio", continued.value / start.value, continued.n, None, "ratio", judge.name, judge.digest, protocol,
        False,
    )  # fmt: skip


def write_original_report(report: OriginalReport, out: Path) -> None:
    """Write metrics.json, summary.json, report.html and sheet.png of an original network into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / METRICS, original_record(report))
    write_summary(_metrics(report, CONTINUED), out)
    (out / PAGE).write_text(render_page(original_page(report)), encoding="utf-8")
    (out / SHEET).write_bytes(encode_png(report.sheet))


def original_record(report: OriginalReport) -> dict[str, Any]:
    """Return the report as a JSON-able record."""
    return {
        "config": asdict(report.config),
        "test_images": report.test_images,
        "judges": [asdict(report.judge)],
        "rows": [{"key": key, "title": TITLES[key], "metrics": records(_metrics(report, key))} for key in report.sets],
    }


def original_page(report: OriginalReport) -> Page:
    """Return the page of an original network's report."""
    facts = {"Generated images": str(report.config.images), "Real test images": str(report.test_images)}
    columns = [{metric.name: metric for metric in _metrics(report, key)} for key in report.sets]
    table = MetricTable(tuple(TITLES[key] for key in report.sets), tuple(columns))
    lead = "The generator whose features every edit starts from. Distances by the features judge, against test images."
    reading = (
        "A Fréchet distance is smaller the more alike two sets of pictures are; only InceptionV3 makes it an FID.",
        "FD∞ is that distance as a straight line in 1/N puts it for infinitely many generated images.",
        "Precision falls with pictures unlike any real one, recall with real pictures unlike any generated one.",
        "Real training images show what a perfect generator would reach with this many test images.",
    )
    pictures = (("Pictures at fixed seeds", report.sheet),)
    return Page("Original network", lead, facts, table, (report.judge,), pictures, reading)


def _metrics(report: OriginalReport, key: str) -> tuple[Metric, ...]:
    extra = (report.ratio,) if key == CONTINUED and report.ratio else ()
    return (*report.sets[key], *extra)
