"""Registered models: versions and aliases. Only a gate may move `champion`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from data import fail_points
from orchestration.tracking.runs import TrackedRun, Tracker

CANDIDATE = "candidate"
CHAMPION = "champion"
MODEL_FOLDER = "model"


@dataclass(frozen=True)
class ModelVersion:
    """A registered model version and the tags that lead to its lineage."""

    name: str
    version: str
    alias: str
    run_id: str
    tags: Mapping[str, str]


def register(tracker: Tracker, run: TrackedRun, name: str, files: Iterable[Path], tags: Mapping[str, str]) -> str:
    """Register `files` as a version of `name` and point `candidate` at it; returns the version.

    A retry of the same run finds the version that it registered before, and gives it the tags again.
    """
    from mlflow.exceptions import MlflowException

    client = tracker.client
    try:
        client.get_registered_model(name)
    except MlflowException:
        client.create_registered_model(name, description=f"Editloom {name}")
    version = _version_of(tracker, name, run.run_id)
    if version is None:
        for file in files:
            run.artifact(file, MODEL_FOLDER)
        source = f"runs:/{run.run_id}/{MODEL_FOLDER}"
        version = str(client.create_model_version(name, source, run.run_id, tags=dict(tags)).version)
    else:
        for key, value in tags.items():
            client.set_model_version_tag(name, version, key, value)
    fail_points.reach("version-registered")
    client.set_registered_model_alias(name, CANDIDATE, version)
    fail_points.reach("candidate-named")
    return version


def describe_version(tracker: Tracker, name: str, version: str, description: str) -> None:
    """Set a version's description, which MLflow shows as Markdown on its page."""
    tracker.client.update_model_version(name, version, description)


def resolve(tracker: Tracker, name: str, alias: str) -> ModelVersion | None:
    """The version that an alias of `name` points at, or None."""
    from mlflow.exceptions import MlflowException

    try:
        found = tracker.client.get_model_version_by_alias(name, alias)
    except MlflowException:
        return None
    return ModelVersion(name, str(found.version), alias, str(found.run_id), dict(found.tags))


def download(tracker: Tracker, model: ModelVersion, target: Path) -> Path:
    """Fetch a version's files into `target`; returns their directory."""
    target.mkdir(parents=True, exist_ok=True)
    return Path(tracker.client.download_artifacts(model.run_id, MODEL_FOLDER, str(target)))


def _version_of(tracker: Tracker, name: str, run_id: str) -> str | None:
    versions = tracker.client.search_model_versions(f"name = '{name}'")
    return next((str(v.version) for v in versions if v.run_id == run_id), None)
