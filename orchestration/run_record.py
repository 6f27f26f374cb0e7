"""What an `editloom run` writes down about itself: how long it took, and what it had to do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestration.progress import StepStatus
from orchestration.store import ledger
from orchestration.store.gitinfo import git_state
from orchestration.workspace import Workspace

RESULT_FILE = "result.json"
RUNS = "runs"


@dataclass(frozen=True)
class RunRecord:
    """How one run ended. `from_nothing`: nothing was published, and no work begun, before it.

    `states` counts the assets by how they ended, `asset_seconds` says how long each one took that ran.
    """

    name: str
    seconds: float
    exit_code: int
    selection: str | None
    partitions: tuple[str, ...]
    from_nothing: bool
    states: Mapping[str, int]
    asset_seconds: Mapping[str, float]
    commit: str
    date: str

    @property
    def built_everything(self) -> bool:
        """Whether it made the whole graph, all of it, in one go."""
        whole = self.selection is None and not self.partitions
        return whole and self.from_nothing and self.exit_code == 0 and set(self.states) == {"done"}

    @property
    def reused_everything(self) -> bool:
        """Whether there was nothing to make."""
        return self.exit_code == 0 and set(self.states) == {"reused"}


def untouched(ws: Workspace) -> bool:
    """Whether nothing was published in a workspace yet, and no half-done work waits to be continued."""
    work = ws.state / "work"
    return not ledger.entries(ws.root) and not (work.is_dir() and any(p.is_file() for p in work.rglob("*")))


def write_run_record(
    ws: Workspace,
    folder: Path,
    statuses: Mapping[str, StepStatus],
    *,
    seconds: float,
    exit_code: int,
    asked: tuple[str | None, Sequence[str] | None],
    from_nothing: bool,
) -> RunRecord:
    """Write `folder`/result.json, atomically; `asked` is the run's selection and its partitions."""
    states = [status.state for status in statuses.values()]
    stand = git_state(ws.root)
    made = RunRecord(
        name=folder.name,
        seconds=round(seconds, 3),
        exit_code=exit_code,
        selection=asked[0],
        partitions=tuple(asked[1] or ()),
        from_nothing=from_nothing,
        states={state: states.count(state) for state in sorted(set(states))},
        asset_seconds={name: round(s.seconds, 3) for name, s in sorted(statuses.items()) if s.seconds},
        commit=commit_text(stand.commit, stand.clean),
        date=f"{folder.name[:4]}-{folder.name[4:6]}-{folder.name[6:8]}",
    )
    staged = folder / f".{RESULT_FILE}"
    staged.write_text(json.dumps(asdict(made), indent=1) + "\n", encoding="utf-8")
    staged.replace(folder / RESULT_FILE)
    return made


def read_run_records(ws: Workspace) -> list[RunRecord]:
    """Every run that came to its end, oldest first."""
    files = sorted((ws.state / RUNS).glob(f"*/{RESULT_FILE}"))
    rows = [json.loads(path.read_text("utf-8")) for path in files]
    return [RunRecord(**{**row, "partitions": tuple(row["partitions"])}) for row in rows]


def commit_text(commit: str | None, clean: bool) -> str:
    """A commit as figures name it: twelve digits, and `+` when files differed from it; empty where there is none."""
    return f"{commit[:12]}{'' if clean else '+'}" if commit else ""
