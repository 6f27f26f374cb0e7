"""`mlflow/policy.yaml`: what may be released, as frozen models, and its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import Field, ValidationError, model_validator

from data.errors import UserError
from orchestration.fields import Section, Slug
from orchestration.results import Bar


class Requirement(Section):
    """One bar that a report's metric must reach."""

    metric: Slug = Field(description="Name of the metric in the report.")
    at_least: float | None = Field(default=None, description="Lowest value that passes, in the metric's unit.")
    at_most: float | None = Field(default=None, description="Highest value that passes, in the metric's unit.")

    @model_validator(mode="after")
    def _bounded(self) -> Requirement:
        if self.at_least is None and self.at_most is None:
            raise ValueError(f"the requirement on {self.metric} has neither at_least nor at_most")
        return self

    def met(self, value: float) -> bool:
        """Whether a value passes; NaN never does."""
        return Bar(self.at_least, self.at_most).met(value)


class ModelPolicy(Section):
    """What is asked of one kind of model."""

    report: Slug = Field(description="Asset whose metrics are compared.")
    first_alias: Slug = Field(description="Alias of a newly registered version.")
    requires: tuple[Requirement, ...] = Field(description="Bars; all of them must be met.")


def load_policy(path: Path) -> Mapping[str, ModelPolicy]:
    """Read the policy by kind of model; raises UserError that names file and key."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {error}.", "Copy the policy of a new workspace.") from None
    if not isinstance(raw, Mapping):
        raise UserError(f"{path} holds no mapping of models.", "Copy the policy of a new workspace.")
    try:
        return {str(name): ModelPolicy.model_validate(body) for name, body in raw.items()}
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{path}: `{key}`: {first['msg']}.", f"Known keys: {', '.join(ModelPolicy.model_fields)}."
        ) from None


def policy_digest(path: Path) -> str:
    """sha256 of the policy's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
