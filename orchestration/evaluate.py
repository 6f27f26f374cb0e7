"""`editloom evaluate`: a folder of images that any tool made, measured by the product's own protocols."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import torch
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data.errors import UserError
from evaluation.attribute_report import AttributeReportConfig
from evaluation.edit_report import EditReport, ReportConfig
from evaluation.metrics.intervals import Bootstrap
from evaluation.metrics.metric import Metric
from evaluation.panel import Panel
from evaluation.protocols.attribute import evaluate_attribute_edits, read_attribute_edits
from evaluation.protocols.judge_sources import JudgeChoice, open_panel
from evaluation.protocols.pairs_csv import did_you_mean
from evaluation.protocols.swap import evaluate_swaps, read_swaps
from evaluation.protocols.text import SOURCE_TEXT, evaluate_text_edits, read_text_edits
from evaluation.report_files import PAGE, metrics_record, write_report

ProtocolName = Literal["attribute", "swap", "text"]
PROTOCOLS: tuple[str, ...] = get_args(ProtocolName)
PIPED_WIDTH = 120
"""Columns of the table where it goes to a file or another command: nothing has to be cut there."""
PAIRS, GALLERY, REFERENCE = "pairs.csv", "gallery.csv", "reference.csv"


@dataclass(frozen=True)
class EvaluateOptions:
    """What to measure, by whom, and where the report goes; None: the file of the usual name in the folder."""

    protocol: str
    pairs: Path | None = None
    gallery: Path | None = None
    reference: Path | None = None
    attribute: str = ""
    prompt: str = ""
    source_text: str = SOURCE_TEXT
    judges: JudgeChoice = field(default_factory=JudgeChoice)
    config: AttributeReportConfig = field(default_factory=AttributeReportConfig)
    device: str = "cpu"
    out: Path | None = None
    as_json: bool = False


def measuring_config(seed: int, replicates: int, threshold: float) -> AttributeReportConfig:
    """How a folder is measured; the seed also draws the resamples of the intervals."""
    return AttributeReportConfig(threshold=threshold, bootstrap=Bootstrap(replicates=replicates, seed=seed), seed=seed)


def evaluate_folder(folder: Path, options: EvaluateOptions, console: Console) -> EditReport:
    """Measure a folder, tell the numbers and write the report; needs no workspace.

    Raises UserError for an unknown protocol, for what is wrong in the folder, and for an unusable judge.
    """
    _check(folder, options)
    _warn(options.judges)
    panel = open_panel(options.judges, torch.device(options.device))
    report = _measured(folder, options, panel)
    if options.out is not None:
        write_report(report, options.out)
    if options.as_json:
        print(json.dumps(metrics_record(report), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _tell(report, options.out, console)
    return report


def _check(folder: Path, options: EvaluateOptions) -> None:
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder.", "Name the folder that holds the results.")
    if options.protocol not in PROTOCOLS:
        raise UserError(f"There is no protocol {options.protocol!r}.", did_you_mean(options.protocol, PROTOCOLS))
    if options.protocol == "attribute" and not options.attribute:
        raise UserError("The protocol `attribute` needs to know which.", "Add for example --attribute beard.")
    if options.out is not None and options.out.exists() and not options.out.is_dir():
        raise UserError(f"--out {options.out} is a file.", "Name a folder for the report.")
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device {options.device}: no CUDA device is usable here.", "Leave it out, or give cpu.")


def _warn(choice: JudgeChoice) -> None:
    known = choice.of_rendered_faces
    if known:
        said = Console(stderr=True, soft_wrap=True, highlight=False)
        said.print(
            f"[yellow]warning:[/] the shipped judges ({', '.join(known)}) know rendered faces only: their numbers on "
            "photographs mean nothing. For photographs give --judges, --identity, --features and --clip."
        )


def _measured(folder: Path, options: EvaluateOptions, panel: Panel) -> EditReport:
    pairs = options.pairs or folder / PAIRS
    reference = options.reference or _if_there(folder / REFERENCE)
    plain = ReportConfig(bootstrap=options.config.bootstrap, seed=options.config.seed)
    if options.protocol == "swap":
        gallery = options.gallery or _if_there(folder / GALLERY)
        return evaluate_swaps(read_swaps(folder, pairs, gallery, reference), panel, plain)
    if options.protocol == "text":
        texts = read_text_edits(folder, pairs, options.prompt, options.source_text)
        return evaluate_text_edits(texts, panel, plain)
    edits = read_attribute_edits(folder, pairs, options.attribute, reference, panel.category)
    return evaluate_attribute_edits(edits, panel, options.config)


def _if_there(file: Path) -> Path | None:
    return file if file.exists() else None


def _tell(report: EditReport, out: Path | None, console: Console) -> None:
    if not console.is_terminal:
        console.width = max(console.width, PIPED_WIDTH)
    console.print(metrics_table(report))
    unmeasured = {metric.note: metric.name for metric in report.rows[0].metrics if metric.value is None}
    for note, name in unmeasured.items():
        console.print(f"{name} is not measured: {escape(note)}", highlight=False, soft_wrap=True)
    judges = (f"{judge.name} {judge.digest[:8]}".strip() for judge in report.judges)
    console.print(f"Judges: {', '.join(judges)}.", highlight=False, soft_wrap=True)
    if out is not None:
        console.print(f"Wrote {out / PAGE}.", highlight=False, soft_wrap=True)


def metrics_table(report: EditReport) -> Table:
    """A line per metric: the results with their interval, then the value of each sanity row."""
    count, subjects = len(report.subjects), len(set(report.subjects))
    title = f"{report.words.title}: {count} images of {subjects} subjects"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column(report.rows[0].title, justify="right", no_wrap=True)
    table.add_column("95 %", no_wrap=True)
    for row in report.rows[1:]:
        table.add_column(row.title.replace(" ", "\n"), justify="right", no_wrap=True)
    columns = [{metric.name: metric for metric in row.metrics} for row in report.rows]
    for name in dict.fromkeys(name for column in columns for name in column):
        table.add_row(*_line(name, [column.get(name) for column in columns]))
    return table


def _line(name: str, found: Sequence[Metric | None]) -> list[str]:
    better = next(metric.higher_is_better for metric in found if metric is not None)
    arrow = {True: " ↑", False: " ↓", None: ""}[better]
    first, *others = ("" if metric is None else metric.text for metric in found)
    return [name + arrow, first, _interval(found[0]), *others]


def _interval(metric: Metric | None) -> str:
    """The ends of the interval, without their unit."""
    if metric is None or metric.interval is None:
        return ""
    low, high = (metric.bound(end).split(" ")[0].rstrip("°") for end in (metric.interval.low, metric.interval.high))
    return f"{low} … {high}"
