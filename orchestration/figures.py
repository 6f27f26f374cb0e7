"""`editloom figures`: what the demo measured in this workspace, with the bars that it must reach."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data.attribute_names import parts_of
from orchestration.attribute_figures import GROUP as ATTRIBUTE_GROUP
from orchestration.attribute_figures import HELD_OUT_IMAGES, attribute_figures
from orchestration.evaluation_figures import GROUP as EVALUATION_GROUP
from orchestration.evaluation_figures import evaluation_figures
from orchestration.figure_sources import BUILD_FIRST, Source, Wish, read_source, wished
from orchestration.graph import AssetId
from orchestration.lineage_figures import GROUP as LINEAGE_GROUP
from orchestration.lineage_figures import lineage_figures
from orchestration.params import Params
from orchestration.plan import plan_selection
from orchestration.results import Bar, Figure, Record, record_all
from orchestration.run_record import read_run_records
from orchestration.store import ledger
from orchestration.workspace import VARIABLE, Workspace

GROUP, COMMAND = "spine", "make demo && make figures"
SHIPPED = Path(__file__).parents[1] / "training" / "shipped"
UNSEEN_SUBJECTS = 500


EDITOR_WISHES = (
    Wish("editor", "attribute_success", "share", "attribute success", Bar(at_least=0.9)),
    Wish("editor", "psnr_outside", "dB", "PSNR outside the mask", Bar(at_least=28)),
)
ORIGINAL_WISHES = (
    Wish("start", "frechet_distance", "distance", "Fréchet distance, start weights"),
    Wish("continued", "frechet_distance", "distance", "Fréchet distance, trained on"),
    Wish("real", "frechet_distance", "distance", "Fréchet distance, real training images"),
    Wish("continued", "frechet_ratio", "ratio", "Fréchet distance, trained on over start", Bar(at_most=1.05)),
)


def write_figures(ws: Workspace, docs: Path) -> list[Record]:
    """Write every figure of the demo in `ws` into `docs`/results.json; what was not measured says why."""
    made = {
        GROUP: measured(ws),
        ATTRIBUTE_GROUP: attribute_figures(ws),
        EVALUATION_GROUP: evaluation_figures(ws),
        LINEAGE_GROUP: lineage_figures(ws),
    }
    written = [
        record_all(docs, figures, group=group, command=COMMAND, complete=True) for group, figures in made.items()
    ]
    return [record for records in written for record in records]


def measured(ws: Workspace) -> list[Figure]:
    """Every figure of the graph as a whole, those that are missing too; a second `editloom run` is timed."""
    params = ws.params()
    return [
        *(figure for attribute in params.attributes for figure in _editor(ws, attribute)),
        *_original(ws),
        *_judges(ws, tuple(params.attributes)),
        *_shipped(),
        _registered(ws, params),
        _whole_run(ws),
        _second_run(ws),
    ]


def show(records: Sequence[Record], console: Console) -> None:
    """Print the figures, what misses its bar in red."""
    table = Table(title="Figures", title_justify="left")
    for column in ("figure", "value", "bar", "note"):
        table.add_column(column, overflow="fold")
    colours = {True: "green", False: "red", None: "default"}
    for r in records:
        value = "not measured" if r.value is None else f"{r.value:,.4g} {r.unit}"
        table.add_row(escape(r.name), f"[{colours[r.met]}]{value}[/]", r.bar or "", escape(r.note))
    console.print(table)


def _editor(ws: Workspace, attribute: str) -> Iterable[Figure]:
    source = read_source(ws, AssetId("attribute_report", attribute), "metrics.json")
    return (wished(source, f"editor {attribute}: ", wish, HELD_OUT_IMAGES) for wish in EDITOR_WISHES)


def _original(ws: Workspace) -> Iterator[Figure]:
    source = read_source(ws, AssetId("original_report"), "metrics.json")
    for wish in ORIGINAL_WISHES:
        yield wished(source, "original network: ", wish)
    trained = read_source(ws, AssetId("original_network"), "facts.json", evidence=True)
    kimg = (trained.document or {}).get("kimg")
    yield trained.figure("original network: thousands of images trained on", kimg, "kimg", bar=Bar(at_least=2))


def _judges(ws: Workspace, attributes: Sequence[str]) -> Iterator[Figure]:
    """How good the judges are, on faces of subjects that no judge was trained on."""
    source = read_source(ws, AssetId("judges"), "judges.json")
    accuracies = {"mean of all attributes": "accuracy_mean", "worst of all attributes": "accuracy_min"}
    accuracies |= {part: f"accuracy_{part}" for attribute in attributes for part in parts_of(attribute)}
    for what, score in accuracies.items():
        name = f"judge attribute_eval: accuracy, {what}"
        yield _score(source, "attribute_eval", score, name, "share", Bar(at_least=0.97))
    yield _identity(source)
    colours = (source.document or {}).get("colour_histogram_rank1")
    name = "judge identity_eval: rank-1 by a nearest colour histogram instead"
    yield source.figure(name, colours, "share", bar=Bar(at_most=0.2))
    yield _score(source, "identity_eval", "cosine_other", "judge identity_eval: cosine of other subjects", "cosine")
    yield _score(source, "identity_eval", "cosine_same", "judge identity_eval: cosine of the same subject", "cosine")
    yield _score(source, "parser_eval", "iou_mean", "judge parser_eval: mean intersection over union", "share")
    yield _score(source, "pose", "error_deg", "judge pose: mean error", "degrees")


def _identity(source: Source) -> Figure:
    """Rank-1 identification; its bar speaks of 500 subjects: fewer are easier to tell apart."""
    name, bar = "judge identity_eval: rank-1 identification", Bar(at_least=0.99)
    figure = _score(source, "identity_eval", "rank1", name, "share", bar)
    if source.document is None or _subjects(source.document, "identity_eval") >= UNSEEN_SUBJECTS:
        return figure
    note = f"{figure.note}; the bar, {bar.text}, asks for {UNSEEN_SUBJECTS}"
    return source.figure(name, figure.value, "share", note=note)


def _score(source: Source, judge: str, score: str, name: str, unit: str, bar: Bar | None = None) -> Figure:
    if source.document is None:
        return source.figure(name, None, unit, bar=bar)
    value = source.document["judges"][judge]["scores"].get(score)
    note = f"{_subjects(source.document, judge)} unseen subjects" if value is not None else "not among the scores"
    return source.figure(name, value, unit, bar=bar, note=note)


def _subjects(judges: Mapping[str, Any], judge: str) -> int:
    first, end = judges["judges"][judge]["held_out_subjects"]
    return int(end - first)


def _shipped() -> Iterator[Figure]:
    """How large the weights are that come with the package."""
    for folder, bar in (("original_network", Bar(at_most=10)), ("judges", None)):
        files = list((SHIPPED / folder).glob("*.safetensors"))
        size_mb = sum(file.stat().st_size for file in files) / 1e6 if files else None
        note = "" if files else f"training/shipped/{folder} holds no weights"
        yield Figure(f"shipped weights: {folder}", size_mb, "MB", bar=bar, note=note)


def _registered(ws: Workspace, params: Params) -> Figure:
    """How many of the attributes have an editor in the registry."""
    name, bar = "demo: registered editors", Bar(at_least=3)
    released = [a for a in params.attributes if ledger.last_entry(ws.root, "attribute_release", a)]
    if not released:
        return Figure(name, None, "count", bar=bar, note=f"nothing was released: {BUILD_FIRST}")
    from orchestration.release.decisions import CHAMPION
    from orchestration.tracking import open_tracker
    from orchestration.tracking.registry import CANDIDATE, resolve

    tracker = open_tracker(ws)
    names = [params.attribute_release.model_name(attribute) for attribute in released]
    either = (resolve(tracker, model, CHAMPION) or resolve(tracker, model, CANDIDATE) for model in names)
    found = [model for model in either if model]
    note = ", ".join(f"{model.name} version {model.version}" for model in found)
    return Figure(name, float(len(found)), "count", bar=bar, note=note)


def _whole_run(ws: Workspace) -> Figure:
    """The last run that made the whole graph in one go, in a workspace where nothing had been made."""
    name, bar = "demo: whole graph from nothing", Bar(at_most=30)
    whole = [run for run in read_run_records(ws) if run.built_everything]
    if not whole:
        return Figure(name, None, "min", bar=bar, note="no run here made everything from nothing, in one go")
    run = whole[-1]
    note = f"{sum(run.states.values())} assets; installation not counted"
    return Figure(name, run.seconds / 60, "min", bar=bar, note=note, commit=run.commit, date=run.date)


def _second_run(ws: Workspace) -> Figure:
    """The time of an `editloom run` that has nothing to do, from the command's start to its end."""
    name, bar = "demo: second run, all reused", Bar(at_most=10)
    if any(item.action != "reuse" for item in plan_selection(ws, None, None)):
        return Figure(name, None, "s", bar=bar, note=f"not everything is up to date: {BUILD_FIRST}")
    started = time.perf_counter()
    command = [sys.executable, "-m", "orchestration.cli", "run"]
    done = subprocess.run(command, cwd=ws.root, env={**os.environ, VARIABLE: str(ws.root)}, capture_output=True)
    seconds = time.perf_counter() - started
    runs = read_run_records(ws)
    if done.returncode or not runs or not runs[-1].reused_everything:
        return Figure(name, None, "s", bar=bar, note=f"the run ended with status {done.returncode}, or made something")
    return Figure(name, seconds, "s", bar=bar, note=f"{sum(runs[-1].states.values())} assets")
