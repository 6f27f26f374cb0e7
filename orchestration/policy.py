"""`mlflow/policy.yaml`: what may be released, read and checked, and its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from data.errors import UserError
from evaluation.gate_policy import KNOWN_KEYS, ModelPolicy, nearest

UNKNOWN_KEY = "extra_forbidden"
COPY = "Copy the policy of a new workspace."


def load_policy(path: Path) -> Mapping[str, ModelPolicy]:
    """Read the policy by kind of model; raises UserError that names file and key, and the nearest known name."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {error}.", COPY) from None
    if not isinstance(raw, Mapping):
        raise UserError(f"{path} holds no mapping of models.", COPY)
    return {str(name): _model(path, str(name), body) for name, body in raw.items()}


def policy_of(path: Path, kind: str) -> ModelPolicy:
    """What is asked of one kind of model; raises UserError when the policy says nothing about it."""
    policies = load_policy(path)
    if kind not in policies:
        known = ", ".join(policies) or "nothing"
        raise UserError(f"{path} says nothing about {kind}: nothing of it may be released.", f"It speaks of {known}.")
    return policies[kind]


def policy_digest(path: Path) -> str:
    """sha256 of the policy's bytes; raises UserError when there is no such file."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}.", COPY) from None


def _model(path: Path, name: str, body: object) -> ModelPolicy:
    try:
        return ModelPolicy.model_validate(body)
    except ValidationError as error:
        # What is missing is often there under a wrong name: that is told first.
        first = min(error.errors(include_url=False), key=lambda one: one["type"] != UNKNOWN_KEY)
        key = ".".join(map(str, (name, *first["loc"])))
        unknown = nearest(str(first["loc"][-1]), KNOWN_KEYS) if first["type"] == UNKNOWN_KEY else ""
        raise UserError(f"{path}: `{key}`: {first['msg']}{unknown}.", f"Known keys: {', '.join(KNOWN_KEYS)}.") from None
