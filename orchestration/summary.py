"""What a run says at its end: one table, and where to look."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from orchestration.graph import AssetId, node
from orchestration.progress import StepStatus
from orchestration.release.decisions import last_decision
from orchestration.run import RunResult
from orchestration.store import ledger
from orchestration.workspace import Workspace

TAIL_LINES = 12


def show(ws: Workspace, result: RunResult, console: Console) -> None:
    """Print the summary table, what failed, and the next commands."""
    table = Table(title="Summary", title_justify="left")
    for column in ("asset", "state", "took", "data version", "what"):
        table.add_column(column, justify="right" if column == "took" else "left", overflow="fold")
    for item in result.items:
        status = result.statuses.get(str(item.id), StepStatus(str(item.id)))
        table.add_row(*_row(ws, item.id, status))
    console.print(table)
    for status in result.statuses.values():
        if status.state == "failed":
            console.print(f"[red]{escape(status.asset)} failed:[/] {escape(status.error)}", highlight=False)
        elif status.state == "refused":
            console.print(f"[red]{escape(status.asset)}[/] {escape(status.error)}", highlight=False)
    _show_waiting(ws, result, console)
    if result.exit_code and result.folder is not None:
        console.print(f"Logs: {result.folder}", markup=False, highlight=False, soft_wrap=True)
        if not any(status.state in {"failed", "refused"} for status in result.statuses.values()):
            _show_tail(result.folder, console)
    counts = _counts(result)
    console.print(f"{counts} in {result.seconds:.1f} s.")
    console.print("Look: `make ui` for Dagster and MLflow; reports in artifacts/attribute_report/*/report.html.")
    console.print("Edit: editloom edit --attribute ATTRIBUTE IN OUT --side-by-side")


def _show_waiting(ws: Workspace, result: RunResult, console: Console) -> None:
    """A line for each release that stands as it was refused, or that waits for a person."""
    params = ws.params()
    for item in result.items:
        status = result.statuses.get(str(item.id))
        if not node(item.id.asset).gated or item.id.partition is None or status is None:
            continue
        last = last_decision(ws.root, params.attribute_release.model_name(item.id.partition))
        if last is None or status.state not in {"done", "reused"}:
            continue
        if last.decision.outcome in {"refused", "awaiting_approval"}:
            console.print(f"[yellow]{escape(str(item.id))}[/] {escape(last.decision.sentence)}", highlight=False)


def _show_tail(folder: Path, console: Console) -> None:
    """The end of the log of each worker that died without a word."""
    for log in sorted(folder.glob("*.log")):
        console.print(
            "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:]), markup=False, highlight=False
        )


def _row(ws: Workspace, asset_id: AssetId, status: StepStatus) -> tuple[str, ...]:
    version = _data_version(ws, asset_id) if status.state in {"done", "reused"} else ""
    facts = _facts(ws, asset_id)
    # A process that died right after its publication left the facts of the one before.
    what = str(facts.get("headline", "")) if facts.get("data_version") == version else ""
    took = f"{status.seconds:.1f} s" if status.seconds else ""
    return escape(str(asset_id)), status.state, took, version[:12], escape(what)


def _data_version(ws: Workspace, asset_id: AssetId) -> str:
    entry = ledger.last_entry(ws.root, asset_id.asset, asset_id.partition)
    return entry.materialization.data_version if entry else ""


def _facts(ws: Workspace, asset_id: AssetId) -> dict[str, object]:
    path = ws.root / asset_id.evidence_path / "facts.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _counts(result: RunResult) -> str:
    states = [s.state for s in result.statuses.values()]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
