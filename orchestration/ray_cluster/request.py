"""What goes to a node of the cluster with a bulk step, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, JsonValue

from orchestration.graph import AssetId
from orchestration.step import Outcome
from orchestration.store.records import Wanted


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRef(_Frozen):
    """A file by its content; `path` is relative to the folder it is listed for, with forward slashes."""

    path: str
    sha256: str
    size_bytes: int


class Request(_Frozen):
    """One bulk step: what is wanted, the settings in force, and where its files lie in the store.

    `files` stand relative to the workspace: payloads of inputs, and the user's own files. `store` is the part of DVC's
    settings that finds the store, without secrets; `inputs` and `attempt` are folders in it.
    """

    wanted: Wanted
    params: Mapping[str, JsonValue]
    files: tuple[FileRef, ...]
    store: Mapping[str, str]
    inputs: str
    attempt: str

    @property
    def id(self) -> AssetId:
        """The asset, or its partition."""
        return self.wanted.id


@dataclass(frozen=True)
class Ended:
    """How a step ended on its node: with an outcome and what it wrote, with a mistake to be told, or asked to stop.

    `mistake` is a UserError's message and hint, `stopped` what an Interrupted says.
    """

    outcome: Outcome | None = None
    payload: tuple[FileRef, ...] = ()
    evidence: tuple[FileRef, ...] = ()
    mistake: tuple[str, str] | None = None
    stopped: str | None = None
