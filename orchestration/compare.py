"""`editloom compare`: versions of a registered editor, measured anew side by side on the same held-out images."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from data.errors import UserError
from evaluation.comparison import Comparison, compare_reports
from evaluation.comparison_page import ComparedPage, comparison_sheet, render_comparison, table_columns
from evaluation.edit_report import EditReport
from evaluation.recorded_comparison import compare_recorded
from orchestration.comparison_table import show_comparison
from orchestration.graph import AssetId
from orchestration.measuring import measure_editor, report_seed
from orchestration.pair_setup import made
from orchestration.params import Params
from orchestration.recorded import recorded_report
from orchestration.release.aliases import moved
from orchestration.tracking import TrackedRun, Tracker, open_tracker
from orchestration.tracking.model_spec import ModelSpec, attribute_of, fetched, find_version, parse_spec
from orchestration.tracking.registry import ModelVersion
from orchestration.tracking.runs import TAG_PARTITION, TAG_ROLE
from orchestration.version_changes import (
    TAG_MODEL,
    dependent_versions,
    unknown_versions,
    version_changes,
    version_lineage,
)
from orchestration.workspace import Workspace

EDITOR = "attribute_editor"
FOLDER = "comparisons"
TABLE = "comparison_table.json"
TAG_BASELINE, TAG_VERSIONS = "editloom.baseline", "editloom.versions"


@dataclass(frozen=True)
class CompareOptions:
    """Where the page goes (None: into the workspace's state), and whether recorded numbers are shown instead."""

    out: Path | None = None
    recorded: bool = False


@dataclass(frozen=True)
class Version:
    """One version that is compared: its name on the page, what it is, and its files."""

    label: str
    model: ModelVersion
    files: Path

    @property
    def name(self) -> str:
        """Model and number."""
        return f"{self.model.name}/{self.model.version}"


def compare(ws: Workspace, specs: Sequence[str], options: CompareOptions, console: Console) -> ComparedPage:
    """Compare the versions that `specs` name, the first as the baseline; print the table and write page and MLflow run.

    Raises UserError for fewer than two, an unknown model, version or alias, models of different attributes, files
    that cannot be fetched, a missing payload, and a place where no page can be written.
    """
    attribute = _one_attribute(ws, [parse_spec(spec) for spec in _enough(specs)])
    if options.out is not None:
        _check(options.out)
    tracker = open_tracker(ws)
    versions = _versions(ws, tracker, [parse_spec(spec) for spec in specs])
    if options.recorded:
        reports = {v.label: recorded_report(ws, tracker, v.model, v.files, attribute) for v in versions}
        comparison = compare_recorded(reports)
    else:
        comparison = compare_reports(_measured(ws, versions, attribute, console))
    page = _page(ws, comparison, versions, attribute)
    path = options.out or _default_path(ws, versions, options)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_comparison(page), encoding="utf-8")
    run = _track(tracker, page, versions, attribute, path)
    show_comparison(page, console)
    console.print(f"Wrote {path}, and MLflow's run {run.run_id}.", highlight=False, markup=False, soft_wrap=True)
    return page


def _enough(specs: Sequence[str]) -> Sequence[str]:
    if len(specs) < 2:
        hint = "Name the baseline first, then what is held against it: `editloom compare MODEL@champion MODEL/7`."
        raise UserError("A comparison needs two versions or more.", hint)
    return specs


def _one_attribute(ws: Workspace, specs: Sequence[ModelSpec]) -> str:
    """The attribute of all specs, before anything is fetched; one that is no attribute's is found in the registry."""
    names = list(dict.fromkeys(spec.name for spec in specs))
    if len(names) > 1:
        tracker = open_tracker(ws)
        for spec in specs:
            find_version(tracker, spec)
        raise UserError(
            f"{names[0]} and {names[1]} are editors of different attributes: their numbers cannot be compared.",
            f"Compare versions of one model, such as {names[0]}/1 and {names[0]}/2.",
        )
    return attribute_of(ws, names[0])


def _check(path: Path) -> None:
    if path.suffix.lower() != ".html" or path.is_dir():
        raise UserError(f"{path} is no name for a page.", "End it in .html.")
    if not path.parent.is_dir():
        raise UserError(f"The folder {path.parent} does not exist.", "Make it, or name another file.")


def _versions(ws: Workspace, tracker: Tracker, specs: Sequence[ModelSpec]) -> list[Version]:
    """The versions with their files; two that are called alike get numbers behind their names."""
    found: dict[str, Version] = {}
    for spec in specs:
        model = find_version(tracker, spec)
        label = f"{model.alias} ({model.version})" if model.alias else f"version {model.version}"
        free = next(name for name in _numbered(label) if name not in found)
        found[free] = Version(free, model, fetched(ws, tracker, model))
    return list(found.values())


def _numbered(label: str) -> Iterator[str]:
    return itertools.chain([label], (f"{label} #{again}" for again in itertools.count(2)))


def _measured(ws: Workspace, versions: Sequence[Version], attribute: str, console: Console) -> Mapping[str, EditReport]:
    """A report of every version, by one set of judges, with the same images and seeds."""
    params, device = ws.params(), _device(ws.params())
    judges, aligned = (made(ws, asset, attribute) for asset in ("judges", "aligned_images"))
    by_name: dict[str, EditReport] = {}
    for version in versions:
        if version.name not in by_name:
            with console.status(f"measuring {version.label}"):
                by_name[version.name] = measure_editor(
                    version.files, judges, aligned, attribute, params.attribute_report,
                    report_seed(params, attribute), device,
                )  # fmt: skip
    return {version.label: by_name[version.name] for version in versions}


def _device(params: Params) -> torch.device:
    return torch.device("cuda" if params.compute.accelerator != "cpu" and torch.cuda.is_available() else "cpu")


def _page(ws: Workspace, comparison: Comparison, versions: Sequence[Version], attribute: str) -> ComparedPage:
    """The comparison with what the ledger says of its versions."""
    asset = AssetId(EDITOR, attribute)
    lineages = {version.label: version_lineage(ws, asset, version.model) for version in versions}
    by_hand = moved(ws, open_tracker(ws), versions[0].model.name)
    warnings = (*by_hand, *unknown_versions(lineages), *dependent_versions(ws, asset, lineages))
    return ComparedPage(comparison, version_changes(lineages), warnings)


def _default_path(ws: Workspace, versions: Sequence[Version], options: CompareOptions) -> Path:
    numbers = "_".join(version.model.version for version in versions)
    kind = "_recorded" if options.recorded else ""
    return ws.state / FOLDER / f"{versions[0].model.name}_{numbers}{kind}.html"


def _track(tracker: Tracker, page: ComparedPage, versions: Sequence[Version], attribute: str, path: Path) -> TrackedRun:
    """A run of its own: differences as metrics, the table, the page, the pictures, and which versions these are."""
    comparison, names = page.comparison, [version.name for version in versions]
    tags = {TAG_ROLE: "comparison", TAG_PARTITION: attribute, TAG_BASELINE: names[0], TAG_VERSIONS: ", ".join(names)}
    tags |= {f"{TAG_MODEL}.{v.model.version}": v.model.tags.get(TAG_MODEL, "-") for v in versions}
    title = f"compare {attribute}: {', '.join(comparison.labels)}"
    run = TrackedRun(
        tracker.client, tracker.client.create_run(tracker.experiment_id, tags=tags, run_name=title).info.run_id
    )
    run.metrics(_differences(comparison, versions))
    run.table(TABLE, table_columns(comparison))
    run.artifact(path)
    for key, rows in (("fixed", comparison.fixed), ("differ_most", comparison.differing)):
        if rows:
            run.image(key, comparison_sheet(comparison, rows, title))
    run.finish(succeeded=True)
    return run


def _differences(comparison: Comparison, versions: Sequence[Version]) -> dict[str, float]:
    """`difference/<name>/<judge>` with its ends; of several versions, the version stands behind."""
    found = {}
    for place, version in enumerate(versions[1:]):
        suffix = f"/v{version.model.version}" if len(versions) > 2 else ""
        for line in comparison.lines:
            difference = line.differences[place]
            key = f"difference/{line.name}/{difference.judge.name}{suffix}"
            if difference.value is not None:
                found[key] = difference.value
            if difference.interval is not None:
                found |= {f"{key}/low": difference.interval.low, f"{key}/high": difference.interval.high}
    return found
