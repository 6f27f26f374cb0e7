"""`MODEL@champion` and `MODEL/7`: which version of a registered model is meant, and its files."""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import UserError
from orchestration.signing.trust import distrust
from orchestration.tracking.registry import ModelVersion, download
from orchestration.tracking.runs import Tracker
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from mlflow.entities.model_registry import RegisteredModel

FORM = "Write MODEL@ALIAS or MODEL/VERSION, such as attribute_editor-smile@champion or attribute_editor-smile/7."
MAX_NAMES = 1000
_SPEC = re.compile(r"(?P<name>[^@/:'\s]+)(?:@(?P<alias>[A-Za-z][\w-]*)|/(?P<version>[1-9]\d*))")


@dataclass(frozen=True)
class ModelSpec:
    """A registered model's name and either an alias or a version of it."""

    name: str
    alias: str | None
    version: str | None

    @property
    def text(self) -> str:
        """The spec as a person writes it."""
        return f"{self.name}@{self.alias}" if self.alias else f"{self.name}/{self.version}"


def parse_spec(text: str) -> ModelSpec:
    """Read `MODEL@ALIAS` or `MODEL/VERSION`; raises UserError for anything else."""
    found = _SPEC.fullmatch(text.strip())
    if found is None:
        raise UserError(f"`{text}` names no version of a model.", FORM)
    return ModelSpec(found["name"], found["alias"], found["version"])


def find_version(tracker: Tracker, spec: ModelSpec) -> ModelVersion:
    """The version that a spec means.

    Raises UserError for an unknown model with the nearest known name, and for an absent version or alias with those
    that there are.
    """
    model = _registered(tracker, spec.name)
    number = model.aliases.get(spec.alias) if spec.alias else spec.version
    if number is None:
        known = ", ".join(f"{alias} (version {at})" for alias, at in sorted(model.aliases.items())) or "none"
        raise UserError(f"{spec.name} has no alias `{spec.alias}`.", f"Its aliases: {known}.")
    versions = {str(v.version): v for v in tracker.client.search_model_versions(f"name = '{spec.name}'")}
    if str(number) not in versions:
        raise UserError(f"{spec.name} has no version {number}.", f"Its versions: {_in_order(versions) or 'none'}.")
    found = versions[str(number)]
    return ModelVersion(spec.name, str(number), spec.alias or "", str(found.run_id), dict(found.tags))


def fetched(ws: Workspace, tracker: Tracker, model: ModelVersion, warn: Callable[[str], None] | None = None) -> Path:
    """The folder of a version's files, fetched once and held against their signature at each use.

    A copy that does not hold is fetched anew. Raises UserError when the tracking server has the version but not its
    files, and for files that are unsigned, altered or signed by nobody trusted; with `warn` these last are let
    through, and it is told why they should not be.
    """
    # The run is part of the place: another tracking server counts its versions from 1 too.
    folder = ws.state / "models" / model.name / f"{model.version}-{model.run_id[:8]}"
    if folder.is_dir() and distrust(ws, model, folder) is None:
        return folder
    _fetch(tracker, model, folder)
    problem = distrust(ws, model, folder)
    if problem is not None and warn is None:
        shutil.rmtree(folder)
        raise problem
    if problem is not None and warn is not None:
        warn(problem.message)
    return folder


def attribute_of(ws: Workspace, model: str) -> str:
    """The attribute whose editors are registered under a model's name; raises UserError when there is none."""
    params = ws.params()
    names = {params.attribute_release.model_name(attribute): attribute for attribute in params.attributes}
    if model not in names:
        raise UserError(f"No attribute in params.yaml is released as {model}.", _nearest(model, names))
    return names[model]


def _fetch(tracker: Tracker, model: ModelVersion, folder: Path) -> None:
    """Download a version's files in place of whatever stands in `folder`."""
    from mlflow.exceptions import MlflowException

    arriving = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(arriving, ignore_errors=True)
    try:
        files = download(tracker, model, arriving)
    except (MlflowException, OSError) as error:
        shutil.rmtree(arriving, ignore_errors=True)
        raise _not_fetched(model, error) from None
    shutil.rmtree(folder, ignore_errors=True)
    shutil.move(str(files), str(folder))
    shutil.rmtree(arriving, ignore_errors=True)


def _registered(tracker: Tracker, name: str) -> RegisteredModel:
    # No get_registered_model: a server that is away must not pass for a model that is unknown.
    found = list(tracker.client.search_registered_models(f"name = '{name}'"))
    if not found:
        known = [model.name for model in tracker.client.search_registered_models(max_results=MAX_NAMES)]
        hint = _nearest(name, known) if known else "Nothing is registered yet: `editloom run` makes and registers."
        raise UserError(f"No model is registered as {name}.", hint)
    return found[0]


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"The nearest known one is {close[0]}." if close else f"Known: {', '.join(names)}."


def _in_order(versions: Iterable[str]) -> str:
    return ", ".join(sorted(versions, key=int))


def _not_fetched(model: ModelVersion, error: Exception) -> UserError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return UserError(
        f"The files of {model.name} version {model.version} cannot be fetched: {first}",
        f"They are artifacts of the run {model.run_id}: look there whether they still exist.",
    )
