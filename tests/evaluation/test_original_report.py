"""The original network's report sees a generator that got worse, and its pictures follow from seeds alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from evaluation.original_report import (
    CONTINUED,
    OriginalReportConfig,
    evaluate_original_network,
    generator_sampler,
    real_images,
    write_original_report,
)
from evaluation.panel import Panel
from training.stylegan2 import Generator, GeneratorConfig

CONFIG = OriginalReportConfig(images=32, batch_size=16, grid_images=8, grid_columns=4)


def _generator() -> Generator:
    torch.manual_seed(0)
    channels = dict.fromkeys((4, 8, 16, 32), 8)
    return Generator(GeneratorConfig(size_px=32, z_dim=8, w_dim=8, mapping_layers=1, channels=channels))


def test_images_depend_on_their_index_and_not_on_their_batch() -> None:
    sample = generator_sampler(_generator(), seed=5, batch_size=3)
    together, alone = sample(np.arange(7)), sample(np.array([6]))
    assert together.shape == (7, 32, 32, 3)
    # Convolutions may sum in another order for another batch size: at most one level.
    assert np.abs(together[6].astype(int) - alone[0]).max() <= 1


def test_worse_network_has_a_ratio_above_one(aligned_dir: Path, panel: Panel, tmp_path: Path) -> None:
    real = real_images(aligned_dir)

    def good(indices: np.ndarray) -> np.ndarray:
        return real.test[indices % len(real.test)]

    bad = generator_sampler(_generator(), seed=0)
    report = evaluate_original_network(bad, good, real, panel.features, CONFIG)
    assert report.ratio is not None and report.ratio.value is not None and report.ratio.value > 1.0
    write_original_report(report, tmp_path)
    record = json.loads((tmp_path / "metrics.json").read_text())
    assert [row["key"] for row in record["rows"]][:2] == ["continued", "start"]
    assert report.headline()["continued/frechet_distance"] == report.distances[CONTINUED].value


def test_network_from_scratch_has_no_ratio(aligned_dir: Path, panel: Panel) -> None:
    sample = generator_sampler(_generator(), seed=0)
    report = evaluate_original_network(sample, None, real_images(aligned_dir), panel.features, CONFIG)
    assert report.ratio is None and "start" not in report.distances
