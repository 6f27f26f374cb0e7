"""A spool's way to the server: record after record, each so that sending it twice changes nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from orchestration.tracking.runs import FINISHED, IMAGES, KILLED, RUNNING, RUNS_LOCK, TrackedRun, Tracker, image_name
from orchestration.tracking.server import reason
from orchestration.tracking.spool import Spool
from orchestration.tracking.spool_folder import END, Record
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from mlflow.entities import Metric

LOGGER = logging.getLogger(__name__)
# What the server says of the record itself; any other error is the server's, and passes.
REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"}
REFUSING_STATUS = {400, 404, 405, 413, 422}
TABLE_FILE, IMAGE_FILE = "table.json", "image.png"
Point = tuple[int, float]
"""Step and value of a metric."""


class Delivery:
    """Sends one spool. Its run is found by what it is tagged with, or made with the time at which the step began."""

    def __init__(self, ws: Workspace, spool: Spool) -> None:
        self._ws, self.spool = ws, spool
        self.run: TrackedRun | None = None
        self.ended = False
        self._fresh = False
        self._points: dict[str, set[Point]] = {}
        self._pictures: set[str] | None = None

    @property
    def complete(self) -> bool:
        """Whether the step has ended and all of it was sent."""
        return self.ended and self.spool.drained

    def send(self, tracker: Tracker) -> int:
        """Send the next records and mark them; returns how many. Raises what the server, or the way to it, raises."""
        run = self._begun(tracker)
        records = self.spool.unsent()
        for kind, group in groupby(records, key=lambda record: record.kind):
            together = list(group)
            if kind == "metrics":
                self._send_metrics(run, together)
                self.spool.mark(together[-1])
                continue
            for record in together:
                self._send_one(tracker, run, record)
                self.spool.mark(record)
        return len(records)

    def close(self, tracker: Tracker) -> None:
        """Say that the process of a spool without an end was killed."""
        run = self._begun(tracker)
        if not self.ended and not self.spool.header.afterword:
            if str(run.client.get_run(run.run_id).info.status) == RUNNING:
                run.end(KILLED, self.spool.told_last_ms())
            self.ended = True

    def _begun(self, tracker: Tracker) -> TrackedRun:
        if self.run is None:
            header = self.spool.header
            if header.mlflow_run is not None:
                self.run = TrackedRun(tracker.client, header.mlflow_run)
            else:
                with FileLock(self._ws.state / RUNS_LOCK):  # no two processes make the same run
                    self.run = self._found_or_made(tracker)
        return self.run

    def _found_or_made(self, tracker: Tracker) -> TrackedRun:
        header = self.spool.header
        known = tracker.find_asset_run(header.dagster_run, header.asset, header.partition)
        if known is not None and header.afterword:
            return TrackedRun(tracker.client, known)
        parent = tracker.parent_run(header.dagster_run, header.parent, header.at_ms)
        run = tracker.asset_run(header.dagster_run, parent, header.asset, header.partition, header.at_ms)
        self._fresh = known is None
        return run

    def _send_metrics(self, run: TrackedRun, records: list[Record]) -> None:
        try:
            run.points(list(self._new_points(run, records)))
        except Exception as error:
            if not is_refusal(error):
                raise
            if len(records) == 1:
                self._pass_over(records[0], error)
                return
            for record in records:  # one that the server refuses takes no other along
                self._send_metrics(run, [record])

    def _new_points(self, run: TrackedRun, records: list[Record]) -> Iterator[Metric]:
        """The points that the server does not have: a step that goes on from its checkpoint tells some again."""
        from mlflow.entities import Metric

        for record in records:
            step = int(record.body["step"])
            for key, value in record.body["values"].items():
                if self._fresh or (step, value) not in self._known_points(run, key):
                    yield Metric(key, value, record.at_ms, step)

    def _known_points(self, run: TrackedRun, key: str) -> set[Point]:
        if key not in self._points:
            history = run.client.get_metric_history(run.run_id, key)
            self._points[key] = {(metric.step, metric.value) for metric in history}
        return self._points[key]

    def _send_one(self, tracker: Tracker, run: TrackedRun, record: Record) -> None:
        try:
            self._tell(tracker, run, record)
        except Exception as error:
            if not is_refusal(error):
                raise
            self._pass_over(record, error)

    def _tell(self, tracker: Tracker, run: TrackedRun, record: Record) -> None:
        body, files = record.body, self.spool.files(record)
        if record.kind == "params":
            run.params(body["params"])
        elif record.kind == "tag":
            run.tag(body["tags"])
        elif record.kind == "experiment_tag":
            tracker.client.set_experiment_tag(tracker.experiment_id, body["key"], body["value"])
        elif record.kind == "dataset":
            run.dataset(body["name"], body["sha256"], body["source"], body["context"], body["facts"])
        elif record.kind == "table":
            run.table(body["file"], json.loads((files / TABLE_FILE).read_text()))
        elif record.kind == "image":
            self._image(run, record, files / IMAGE_FILE)
        elif record.kind == "artifact":
            _artifact(run, body, files)
        elif record.kind == END:
            self._end(run, record)
        else:
            raise ValueError(f"nothing is known of records of kind {record.kind}")

    def _image(self, run: TrackedRun, record: Record, path: Path) -> None:
        from PIL import Image

        key, step = record.body["key"], int(record.body["step"])
        if not self._fresh and any(name.startswith(image_name(key, step)) for name in self._known_pictures(run)):
            return
        with Image.open(path) as picture:
            run.image(key, np.asarray(picture), step, record.at_ms)

    def _known_pictures(self, run: TrackedRun) -> set[str]:
        """The stepped images that are there whole: of each, its small copy is sent last."""
        if self._pictures is None:
            found = {Path(file.path).name for file in run.client.list_artifacts(run.run_id, IMAGES)}
            small = "+compressed.webp"
            self._pictures = {n for n in found if n.endswith(small) and n.replace(small, ".png") in found}
        return self._pictures

    def _end(self, run: TrackedRun, record: Record) -> None:
        over = self.spool.header.afterword and str(run.client.get_run(run.run_id).info.status) != RUNNING
        if not over:
            run.end(str(record.body.get("status", FINISHED)), record.at_ms)
        self.ended = True

    def _pass_over(self, record: Record, error: Exception) -> None:
        told = f"{self.spool.header.id}: the tracking server refuses record {record.n} ({record.kind})"
        LOGGER.warning("%s, which is passed over: %s", told, reason(error))
        self.ended = self.ended or record.kind == END


def is_refusal(error: Exception) -> bool:
    """Whether the server refuses the record itself, so that sending it again could never help."""
    import requests
    from mlflow.exceptions import MlflowException

    if isinstance(error, requests.RequestException):
        return error.response is not None and error.response.status_code in REFUSING_STATUS
    if isinstance(error, MlflowException):
        return error.error_code in REFUSALS
    return isinstance(error, ValueError | TypeError | KeyError | FileNotFoundError)


def _artifact(run: TrackedRun, body: Mapping[str, Any], files: Path) -> None:
    path = files / str(body["name"])
    if not path.exists():
        raise FileNotFoundError(f"its file {path.name} is gone")
    run.artifact(path, body["folder"])
