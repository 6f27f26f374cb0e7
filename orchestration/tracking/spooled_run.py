"""The run that a step tells: everything goes to a spool first, and from there to MLflow by the sender's thread."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import UserError
from orchestration.graph import AssetId
from orchestration.tracking.delivery import IMAGE_FILE, TABLE_FILE, Delivery
from orchestration.tracking.runs import FAILED, FINISHED, finite, flattened
from orchestration.tracking.sender import sender_of
from orchestration.tracking.server import be_patient, identity, wait_s
from orchestration.tracking.spool import Spool
from orchestration.tracking.spool_folder import END, Header, now_ms
from orchestration.workspace import Workspace


class SpooledRun:
    """One run, told through a spool. Nothing here waits for a server, but `run_id`, `settle` and `finish`: briefly."""

    def __init__(self, ws: Workspace, header: Header) -> None:
        _import_first()
        try:
            self._spool = Spool.create(ws, header)
        except OSError as error:
            raise UserError(
                f"There is no room to keep what {header.id} tells MLflow: {error}.",
                "Make room on the disk of the workspace, then run the same command again.",
            ) from error
        self._ws, self._sender = ws, sender_of(ws)
        self._delivery: Delivery = self._sender.add(self._spool)

    @property
    def away(self) -> str:
        """Why nothing can be sent just now; empty when it can."""
        return self._sender.away

    @property
    def run_id(self) -> str | None:
        """MLflow's id, waited for as long as the server answers; None when it does not (at most 1.5 s)."""
        run = self._delivery.run
        if run is None:
            self._sender.wait_for(lambda: self._delivery.run is not None, wait_s(self._ws))
            run = self._delivery.run
        return run.run_id if run else None

    def params(self, params: Mapping[str, Any]) -> None:
        """Log params flattened to dotted keys; a param that was logged before stays as it was."""
        self._tell("params", {"params": flattened(params)})

    def metrics(self, metrics: Mapping[str, float], step: int = 0, at_ms: int | None = None) -> None:
        """Log finite metrics of one step with their own time (ms since 1970; now, when it is not said)."""
        if values := finite(metrics):
            self._tell("metrics", {"step": step, "values": values}, at_ms=at_ms)

    def table(self, file: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Log a table (equally long columns) that MLflow's Evaluation view shows; `file` ends in `_table.json`."""
        content = json.dumps({name: list(column) for name, column in columns.items()}, default=_plain)
        self._spool.append("table", {"file": file}, lambda place: (place / TABLE_FILE).write_text(content))
        self._sender.wake()

    def image(self, key: str, image: np.ndarray[Any, Any], step: int = 0) -> None:
        """Log an H×W×3 uint8 picture as a stepped image."""
        from PIL import Image

        picture = Image.fromarray(image)
        # The least compression: a step waits for it, and the file lives until it is sent.
        self._spool.append(
            "image", {"key": key, "step": step}, lambda place: picture.save(place / IMAGE_FILE, compress_level=1)
        )
        self._sender.wake()

    def dataset(
        self, name: str, sha256: str, source: str, context: str, facts: Mapping[str, int | str] | None = None
    ) -> None:
        """Log a dataset input by our own sha256; `source` is its place in the workspace, `context` MLflow's own."""
        told = {"name": name, "sha256": sha256, "source": source, "context": context, "facts": dict(facts or {})}
        self._tell("dataset", told)

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy one file, or a directory's files, to the run's artifacts."""
        copy = shutil.copytree if path.is_dir() else shutil.copyfile
        self._spool.append(
            "artifact", {"name": path.name, "folder": folder}, lambda place: copy(path, place / path.name)
        )
        self._sender.wake()

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        self._tell("tag", {"tags": dict(tags)})

    def experiment_tag(self, key: str, value: str) -> None:
        """Set a tag of the experiment that holds all runs."""
        self._tell("experiment_tag", {"key": key, "value": value})

    def settle(self) -> bool:
        """Wait until everything told so far was sent, as long as the server answers (at most 1.5 s); whether it was."""
        return self._sender.wait_for(lambda: self._spool.drained, wait_s(self._ws))

    def finish(self, *, succeeded: bool) -> None:
        """Say how the step ended; what a slow or absent server did not take in 1.5 s is sent later."""
        self._tell(END, {"status": FINISHED if succeeded else FAILED})
        self._spool.sync()
        self.settle()
        _LIVE.pop(_key(self._ws, self._spool.header), None)

    def _tell(self, kind: str, body: Mapping[str, Any], at_ms: int | None = None) -> None:
        self._spool.append(kind, body, at_ms=at_ms or now_ms())
        self._sender.wake()


_LIVE: dict[tuple[str, str, str], SpooledRun] = {}


def begin_run(ws: Workspace, dagster_run: str, asset_id: AssetId, parent: str) -> SpooledRun:
    """The run of one attempt at an asset; MLflow's is found or made by the thread, with this moment as its start.

    Raises UserError when the disk is full.
    """
    header = Header(
        server=identity(ws), dagster_run=dagster_run, asset=asset_id.asset, partition=asset_id.partition,
        parent=parent, at_ms=now_ms(),
    )  # fmt: skip
    run = SpooledRun(ws, header)
    _LIVE[_key(ws, header)] = run
    return run


def run_told(
    ws: Workspace, asset_id: AssetId, dagster_run: str | None, mlflow_run: str | None
) -> tuple[SpooledRun, bool]:
    """The run of a materialization to say something more of it, and whether its step is still at work in this process.

    One that is not has to be finished by whoever asked.
    """
    header = Header(
        server=identity(ws), dagster_run=dagster_run or "", asset=asset_id.asset, partition=asset_id.partition,
        parent=dagster_run or "", at_ms=now_ms(), mlflow_run=mlflow_run, afterword=True,
    )  # fmt: skip
    live = _LIVE.get(_key(ws, header))
    return (live, True) if live is not None else (SpooledRun(ws, header), False)


def _key(ws: Workspace, header: Header) -> tuple[str, str, str]:
    return str(ws.root), header.dagster_run, str(header.id)


def _import_first() -> None:
    """Import what the thread needs here: two threads that import the same packages may see half of them."""
    be_patient()
    for module in ("mlflow.data.meta_dataset", "mlflow.tracking.multimedia", "pandas", "PIL.Image"):
        importlib.import_module(module)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
