"""What a figure is read from: a published document, with what the ledger says of its making."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestration.graph import AssetId
from orchestration.results import Bar, Figure
from orchestration.run_record import commit_text
from orchestration.store import ledger
from orchestration.workspace import Workspace

BUILD_FIRST = "run `editloom run` first"


@dataclass(frozen=True)
class Wish:
    """A metric of a report's row, the name that people read, and its bar."""

    row: str
    metric: str
    unit: str
    name: str
    bar: Bar | None = None


@dataclass(frozen=True)
class Source:
    """A published JSON document (None: not there), and the commit and date of its publication."""

    id: AssetId
    document: Mapping[str, Any] | None
    commit: str = ""
    date: str = ""

    def figure(self, name: str, value: float | None, unit: str, **more: Any) -> Figure:
        """A figure that this document holds, or that is missing along with it."""
        if self.document is None:
            more["note"] = f"there is no {self.id}: {BUILD_FIRST}"
        return Figure(name, value, unit, **more, commit=self.commit, date=self.date)


def read_source(ws: Workspace, asset_id: AssetId, file: str, *, evidence: bool = False) -> Source:
    """A JSON document of an asset's payload (or evidence), with what the ledger says of its making."""
    path = ws.root / (asset_id.evidence_path if evidence else asset_id.path) / file
    entry = ledger.last_entry(ws.root, asset_id.asset, asset_id.partition)
    if entry is None or not path.exists():
        return Source(asset_id, None)
    made = entry.materialization
    document = json.loads(path.read_text("utf-8"))
    return Source(asset_id, document, commit_text(made.git_commit, made.git_clean), entry.at[:10])


def wished(source: Source, prefix: str, wish: Wish, images: int = 0) -> Figure:
    """One metric of a report. A bar that speaks of `images` images is not laid on fewer."""
    name = prefix + wish.name
    if source.document is None:
        return source.figure(name, None, wish.unit, bar=wish.bar)
    found = find_metric(source.document, wish)
    if found is None:
        return source.figure(name, None, wish.unit, bar=wish.bar, note="the report has no such row")
    judge = f"judge {found['judge']} {found['judge_digest'][:8]}".strip()
    notes = [f"{found['n']} images", judge, found["note"]]
    bar = wish.bar if found["n"] >= images else None
    if wish.bar and not bar:
        notes.append(f"the bar, {wish.bar.text}, asks for {images}")
    interval = found["interval"] and (found["interval"]["low"], found["interval"]["high"])
    note = "; ".join(note for note in notes if note)
    return source.figure(name, found["value"], wish.unit, interval=interval, bar=bar, note=note)


def find_metric(report: Mapping[str, Any], wish: Wish) -> Mapping[str, Any] | None:
    """The metric of a report that a wish names, or None."""
    metrics = (metric for row in report["rows"] if row["key"] == wish.row for metric in row["metrics"])
    return next((metric for metric in metrics if metric["name"] == wish.metric), None)
