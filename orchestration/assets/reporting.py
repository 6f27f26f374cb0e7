"""Reports: a model measured on held-out images by judges that took no part in training it."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from data.categories import regions_of
from evaluation.fusion.baselines import Networks
from evaluation.fusion.edit_measures import Subject
from evaluation.fusion.report import FusionReportConfig, evaluate_fusion
from evaluation.fusion.report_files import write_fusion_report
from evaluation.metrics.intervals import Bootstrap
from evaluation.original_report import (
    OriginalReportConfig,
    evaluate_original_network,
    generator_sampler,
    real_images,
    write_original_report,
)
from evaluation.panel import evaluation_panel
from evaluation.report_files import write_report
from orchestration.execution import lineage_asset
from orchestration.independence import INDEPENDENCE, independence
from orchestration.measuring import measure_editor
from orchestration.partitions import ATTRIBUTES
from orchestration.step import Outcome, Step
from training.judges import load_judges
from training.pair_store import open_pairs
from training.pairs import read_config, training_judges
from training.shipped import shipped_original
from training.weights_io import load_generator

ORIGINAL_HEADLINE = {"continued/frechet_distance": "distance", "continued/frechet_ratio": "of its start's"}
HEADLINE = {
    "editor/attribute_success": "success",
    "editor/psnr_outside": "PSNR outside",
    "editor/identity_cosine": "identity",
}
FUSION_HEADLINE = {
    "pairs/attribute_success": "pairs: success",
    "pairs/psnr_outside": "PSNR outside",
    "pairs/identity_cosine": "identity",
}


@lineage_asset("original_report", ATTRIBUTES, checks=(INDEPENDENCE,), first=independence)
def original_report(step: Step) -> Outcome:
    """The original network's distance to held-out faces, beside that of the weights it started from."""
    section = step.params.original_report
    device = torch.device(step.lease.accelerator)
    config = OriginalReportConfig(**section.model_dump(), seed=step.seed)
    sampled = generator_sampler(load_generator(step.input("original_network")), config.seed, device=device)
    shipped = step.params.original_network.start == "shipped"
    before = generator_sampler(shipped_original().build_generator(), config.seed, device=device) if shipped else None
    features = load_judges(step.input("judges"), device).features
    real = real_images(step.input("aligned_images"))
    report = evaluate_original_network(sampled, before, real, features, config, device)
    write_original_report(report, step.out)
    numbers = report.headline()
    return Outcome({**numbers, "headline": _headline(numbers, ORIGINAL_HEADLINE)}, {"faces": report.sheet})


@lineage_asset("attribute_report", ATTRIBUTES, checks=(INDEPENDENCE,), first=independence)
def attribute_report(step: Step) -> Outcome:
    """The editor's measures on held-out faces that lack the attribute."""
    report = measure_editor(
        step.input("attribute_editor"), step.input("judges"), step.input("aligned_images"), step.partition,
        step.params.attribute_report, step.seed, torch.device(step.lease.accelerator),
    )  # fmt: skip
    write_report(report, step.out)
    numbers = report.values()
    pictures = {"sheet": report.sheet, "worst": report.worst_sheet}
    return Outcome({**numbers, "headline": _headline(numbers, HEADLINE)}, pictures)


@lineage_asset("fusion_report", ATTRIBUTES, checks=(INDEPENDENCE,), first=independence)
def fusion_report(step: Step) -> Outcome:
    """The stored pairs' measures, and mask fusion's trade-off beside that of other ways to edit."""
    device, section = torch.device(step.lease.accelerator), step.params.fusion_report
    judges, made = load_judges(step.input("judges"), device), read_config(step.input("edit_pairs"))
    original, feature = (
        load_generator(step.input(name)).to(device) for name in ("original_network", "feature_network")
    )
    training = training_judges(judges, made, original.config.size_px, device, step.ws.root)
    networks = Networks(original, feature, training.mask, made.fusion, step.seed, made.truncation_psi)
    regions = made.regions or regions_of(step.partition, judges.category)
    subject = Subject(step.partition, regions, evaluation_panel(judges), section.threshold)
    config = FusionReportConfig(
        **section.model_dump(exclude={"count", "bootstrap", "threshold"}),
        pairs=section.count,
        bootstrap=Bootstrap(replicates=section.bootstrap, seed=step.seed),
    )
    report = evaluate_fusion(networks, open_pairs(step.input("edit_pairs")), training.probability, subject, config)
    write_fusion_report(report, step.out)
    numbers = report.headline()
    pictures = {"pareto": report.picture, "sheet": report.sheet}
    return Outcome({**numbers, "headline": _headline(numbers, FUSION_HEADLINE)}, pictures)


def _headline(numbers: Mapping[str, float], wanted: Mapping[str, str]) -> str:
    """The wanted numbers in words; a set too small for a measure has none."""
    return ", ".join(f"{name} {numbers[key]:.3g}" for key, name in wanted.items() if key in numbers)
