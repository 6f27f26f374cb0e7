"""`editloom search-fusion`: the schedule with the best trade-off on held-out codes, as a table and as params."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data.counting import CountFn
from evaluation.fusion.candidates import SearchRule, candidates
from evaluation.fusion.search import SearchConfig, search
from evaluation.fusion.search_page import COLUMNS, SearchRecord, params_snippet, table, write_search
from orchestration.pair_setup import PairSetup, declared, pair_setup
from orchestration.params import Params
from orchestration.step import seed_of
from orchestration.workspace import Workspace
from training.pair_batch import JUDGE_NAMES

EVIDENCE = "fusion_search"
SHOWN_ROWS = 12


@dataclass(frozen=True)
class SearchOptions:
    """On how many codes, and where the table goes; None: into the workspace's evidence."""

    codes: int = 128
    out: Path | None = None


def search_fusion(ws: Workspace, attribute: str, options: SearchOptions, console: Console) -> SearchRecord:
    """Measure all candidate schedules, print the best, and write the whole table and its JSON.

    The present schedule is always among them. Raises UserError for an undeclared attribute or a missing payload.
    """
    params = declared(ws, attribute)
    setup = pair_setup(ws, attribute, _device(params))
    # A stream of its own: no pair, and no image of a report, is made of these codes.
    seed = seed_of(params.seed, f"{EVIDENCE}[{attribute}]")
    record = _measured(setup, attribute, seed, options.codes, _counter(console))
    page = write_search(record, options.out or ws.evidence(EVIDENCE, attribute))
    _show(record, page, console)
    return record


def _measured(setup: PairSetup, attribute: str, seed: int, codes: int, counted: CountFn) -> SearchRecord:
    pairs = setup.config
    config = SearchConfig(codes, seed, pairs.truncation_psi, pairs.min_probability, pairs.max_probability)
    schedules = tuple(dict.fromkeys([*candidates(setup.original.synthesis.layer_names), pairs.fusion]))
    rows = search(setup.original, setup.feature, setup.judges, schedules, config, counted)
    digests = {name: setup.judge_set.digests[name] for name in JUDGE_NAMES}
    size_px = setup.original.config.size_px
    return SearchRecord(attribute, size_px, rows, config, SearchRule(), digests, pairs.fusion)


def _show(record: SearchRecord, page: Path, console: Console) -> None:
    shown = Table(*COLUMNS, title=f"fusion schedules for {record.attribute}")
    for cells in table(record)[:SHOWN_ROWS]:
        shown.add_row(*map(escape, cells))
    console.print(shown)
    console.print(f"Best of {len(record.rows)}: {record.best.name}. In params.yaml:", markup=False, highlight=False)
    console.print(params_snippet(record), markup=False, highlight=False)
    console.print(f"Wrote {page} and its JSON.", markup=False, highlight=False, soft_wrap=True)


def _counter(console: Console) -> CountFn:
    def report(done: int, total: int) -> None:
        console.print(f"{done} of {total} codes", highlight=False)

    return report


def _device(params: Params) -> torch.device:
    return torch.device("cuda" if params.compute.accelerator != "cpu" and torch.cuda.is_available() else "cpu")
