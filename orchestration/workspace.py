"""A workspace: the git + DVC directory in which everything is built."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import UserError
from orchestration.params import Params, load_params

if TYPE_CHECKING:
    from dagster import DagsterInstance

VARIABLE = "EDITLOOM_WORKSPACE"
PARAMS_FILE = "params.yaml"
FACTS_FILE, CHECKS_FILE = "facts.json", "checks.json"
"""What a payload's evidence holds: what was said of it, and how its checks ended."""

# Pools count steps, not runs: several assets of one run wait for devices as those of several runs do.
# The daemon, where one runs, ends runs that do not start or stop in time, and frees slots of runs that ended.
_POOLS = "telemetry:\n  enabled: false\nconcurrency:\n  pools:\n    granularity: op\n"
_MONITORED = f"""{_POOLS}run_monitoring:
  enabled: true
  start_timeout_seconds: 300
  cancel_timeout_seconds: 300
  poll_interval_seconds: 5
  free_slots_after_run_end_seconds: 1
"""
# No page of ours begins by asking for an address to write to.
DAGSTER_YAML = f"{_MONITORED}nux:\n  enabled: false\n"
EARLIER_DAGSTER_YAML = (_POOLS, _MONITORED)
"""What earlier versions wrote; one that a person changed is left alone."""


@dataclass(frozen=True)
class Workspace:
    """Where things stand under `root`, an absolute directory."""

    root: Path

    @classmethod
    def current(cls) -> Workspace:
        """The workspace that EDITLOOM_WORKSPACE names, or else the current directory.

        Raises UserError when there is no params.yaml.
        """
        named = os.environ.get(VARIABLE)
        return cls.at(Path(named) if named else Path.cwd(), VARIABLE if named else "the current directory")

    @classmethod
    def at(cls, root: Path, said_by: str = "the given path") -> Workspace:
        """The workspace in `root`; raises UserError when there is no params.yaml."""
        root = root.expanduser().resolve()
        if not (root / PARAMS_FILE).is_file():
            raise UserError(
                f"{root} ({said_by}) is not an Editloom workspace: it has no {PARAMS_FILE}.",
                f"Change into one, set {VARIABLE} to one, or make one with `editloom new DIR --preset demo`.",
            )
        return cls(root)

    @classmethod
    def new(cls, directory: Path, preset: str = "demo") -> Workspace:
        """A fresh workspace in a new or empty `directory`; raises UserError, see `new_workspace.make`."""
        from orchestration.new_workspace import make

        make(directory, preset)
        return cls.at(directory)

    @property
    def params_file(self) -> Path:
        return self.root / PARAMS_FILE

    def params(self) -> Params:
        """The checked contents of params.yaml; raises UserError."""
        return load_params(self.params_file)

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger"

    @property
    def state(self) -> Path:
        """What is local to this checkout: databases, locks, checkpoints. Never versioned."""
        return self.root / ".editloom"

    @property
    def dagster_home(self) -> Path:
        return self.state / "dagster"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.state / "mlartifacts"

    @property
    def mlflow_uri(self) -> str:
        """MLFLOW_TRACKING_URI, or else a SQLite database in the workspace."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.state / 'mlflow.db'}"

    @property
    def policy(self) -> Path:
        """What may be released."""
        return self.root / "mlflow" / "policy.yaml"

    @property
    def card_template(self) -> Path:
        return self.root / "mlflow" / "model_card.md.j2"

    def payload(self, asset: str, partition: str | None = None) -> Path:
        """The directory that an asset publishes."""
        return self._of(self.artifacts, asset, partition)

    def evidence(self, asset: str, partition: str | None = None) -> Path:
        """Timings, logs and documents beside a payload, outside its hash."""
        return self._of(self.artifacts / ".evidence", asset, partition)

    def workdir(self, asset: str, partition: str | None = None) -> Path:
        """Checkpoints of a materialization in progress; they survive a kill."""
        return self._of(self.state / "work", asset, partition)

    @staticmethod
    def _of(folder: Path, asset: str, partition: str | None) -> Path:
        return folder / asset / partition if partition else folder / asset

    def prepare(self) -> None:
        """Make the local state that a fresh clone lacks; existing files are left alone."""
        for folder in (self.artifacts, self.ledger, self.dagster_home, self.mlflow_artifacts):
            folder.mkdir(parents=True, exist_ok=True)
        config = self.dagster_home / "dagster.yaml"
        if not config.exists() or config.read_text() in EARLIER_DAGSTER_YAML:
            config.write_text(DAGSTER_YAML)

    def environment(self) -> dict[str, str]:
        """Variables with which Dagster, MLflow and DVC find this workspace."""
        return {
            VARIABLE: str(self.root),
            "DAGSTER_HOME": str(self.dagster_home),
            "MLFLOW_TRACKING_URI": self.mlflow_uri,
        }

    def dagster_instance(self) -> DagsterInstance:
        """The workspace's Dagster instance, telemetry off, its pool as params.yaml has it; close it, or use a `with`.

        Raises UserError for a params.yaml that cannot be read.
        """
        from dagster import DagsterInstance
        from filelock import FileLock

        from orchestration.compute.admission import admit

        params = self.params()
        self.prepare()
        os.environ["DAGSTER_HOME"] = str(self.dagster_home)
        # Two processes that open a fresh one at once would make its tables, and the pool, twice: Dagster does not look.
        with FileLock(self.state / "dagster.lock"):
            instance = DagsterInstance.from_config(str(self.dagster_home))
            admit(instance, params)
        return instance
