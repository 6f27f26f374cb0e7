"""A comparison of versions in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evaluation.comparison import Comparison, Line
from evaluation.comparison_page import (
    SLICE_COLUMNS,
    ComparedPage,
    difference_text,
    judge_text,
    label_of,
    scan_sentence,
    slice_cells,
    verdict,
)
from evaluation.report_files import TextTable

STYLES = {"better": "green", "worse": "red", "differs": "yellow"}
"""Colour beside the word, never instead of it."""


def show_comparison(page: ComparedPage, console: Console) -> None:
    """Print warnings, measures with their differences, lost slices, and what changed between the versions."""
    for warning in page.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}", highlight=False)
    console.print(_measures(page.comparison))
    _show_slices(page.comparison, console)
    for changes in page.changes:
        _show_changes(changes, console)


def _measures(comparison: Comparison) -> Table:
    """One line per metric; the difference has columns of its own, or of several versions stands below the value."""
    how = "as recorded by each version's own report" if comparison.recorded else "measured anew on the same images"
    table = Table(title=f"{escape(comparison.name)}: {how}", title_justify="left")
    table.add_column("metric")
    table.add_column("judge", style="dim")
    single = len(comparison.labels) == 2
    headings = [*comparison.labels, "difference", ""] if single else [*comparison.labels]
    for heading in [*headings, "n"]:
        table.add_column(escape(heading), justify="right")
    for line in comparison.lines:
        told = [cell for one in _versions(line) for cell in (one if single else ["\n".join(filter(None, one))])]
        table.add_row(label_of(line.metrics[0]), judge_text(line), line.metrics[0].text, *told, str(line.metrics[0].n))
    return table


def _versions(line: Line) -> Iterator[tuple[str, str, str]]:
    """Value, difference and verdict of each version after the baseline."""
    for metric, difference in zip(line.metrics[1:], line.differences, strict=True):
        word = verdict(difference)
        styled = f"[{STYLES[word]}]{word}[/]" if word in STYLES else word
        yield metric.text, escape(difference_text(difference)), styled


def _show_slices(comparison: Comparison, console: Console) -> None:
    scans = list(zip(comparison.labels[1:], comparison.scans, strict=False))
    for label, scan in scans:
        console.print(scan_sentence(label, scan.looked_at, len(scan.lost)), highlight=False, markup=False)
    lost = [slice_cells(label, loss) for label, scan in scans for loss in scan.lost]
    if lost:
        table = Table(*SLICE_COLUMNS, title="slices that got worse", title_justify="left")
        for cells in lost:
            table.add_row(*map(escape, cells))
        console.print(table)


def _show_changes(changes: TextTable, console: Console) -> None:
    if not changes.rows:
        console.print(f"{changes.caption}: nothing changed.", highlight=False)
        return
    table = Table(*map(escape, changes.columns), title=changes.caption, title_justify="left")
    for row in changes.rows:
        table.add_row(*map(escape, row))
    console.print(table)
