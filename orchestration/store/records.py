"""What is said about a materialization: what was wanted, who made it, what came out."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, JsonValue

from orchestration.graph import AssetId


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Wanted(_Frozen):
    """All that a payload is a function of. Equal to the last entry's, nothing needs to run.

    `seed` is None for an asset that draws nothing; `inputs` maps an input's id to its data version,
    and the name of a user's own file to its sha256. `parts` maps the inputs of which only a part is read to that part's
    root: such an input counts by its part.
    """

    asset: str
    partition: str | None
    code_version: str
    params_digest: str
    params: Mapping[str, JsonValue]
    seed: int | None
    inputs: Mapping[str, str]
    parts: Mapping[str, str] = {}
    device_class: str

    @property
    def id(self) -> AssetId:
        return AssetId(self.asset, self.partition)


class PublishRecord(_Frozen):
    """What a step knows when its payload is ready; `consent` is the digest of what was withheld when it began."""

    wanted: Wanted
    consent: str = ""
    dagster_run: str | None = None
    mlflow_run: str | None = None


class Materialization(_Frozen):
    """The body of a ledger entry of kind `materialization`.

    `parts` are the roots of an image set's parts, by name; `consent` is the digest of what was withheld then (sha256,
    empty for nothing): recorded, not compared.
    """

    wanted: Wanted
    data_version: str
    parts: Mapping[str, str] = {}
    consent: str = ""
    dvc_md5: str
    size_bytes: int
    files: int
    git_commit: str | None
    git_clean: bool
    environment: str
    dagster_run: str | None
    mlflow_run: str | None
