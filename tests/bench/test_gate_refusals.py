"""What the gate lets through and refuses, on a real tracking server: one editor and its spoilt copies."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.results import Bar, Figure
from orchestration.workspace import VARIABLE, Workspace
from tests.orchestration.gated import CHEATS, cheating, gated_workspace, mlflow_server, noise

REPOSITORY = Path(__file__).resolve().parents[2]
Write = Callable[..., None]


@pytest.mark.bench
def test_gate_refuses_what_is_worse_or_cheats(
    evaluation_measured: Write, empty_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(empty_workspace, tmp_path / "workspace", symlinks=True)
    with mlflow_server(tmp_path / "server") as server:
        monkeypatch.setenv(VARIABLE, str(tmp_path / "workspace"))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        ws = Workspace.at(tmp_path / "workspace")
        ws.policy.write_bytes((REPOSITORY / "mlflow" / "policy.yaml").read_bytes())
        (tmp_path / "files").mkdir()
        gated = gated_workspace(ws, server, tmp_path / "files")
        first = gated.ask(gated.version()).decision
        spoilt = {"noise on the weights": noise, **{name: cheating(name) for name in CHEATS}}
        decided = {name: gated.ask(gated.version(change)).decision for name, change in spoilt.items()}
        again = gated.ask(gated.version()).decision
    refused = [name for name, decision in decided.items() if decision.outcome == "refused"]
    passed = [decision.outcome for decision in (first, again)].count("passed")
    judged = "an editor of short hair, 200 held-out faces; policy of the repository"
    evaluation_measured(
        Figure("gate: spoilt and cheating versions refused", float(len(refused)), "count",
               bar=Bar(at_least=len(spoilt)), note=f"of {len(spoilt)}: {', '.join(spoilt)}; {judged}"),
        Figure("gate: the same editor registered again passes", float(passed), "count", bar=Bar(at_least=2),
               note=f"as first version and beside itself as champion; {judged}"),
    )  # fmt: skip
