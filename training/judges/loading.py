"""A set of judges from its directory: safetensors files beside the judges.json that names and describes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load as load_tensors

from data.errors import UserError
from training.judges.clip_network import ClipNet
from training.judges.config import Kind, Role
from training.judges.interface import (
    AttributeJudge,
    ClipJudge,
    FeaturesJudge,
    IdentityJudge,
    Judge,
    ParserJudge,
    PoseJudge,
)
from training.judges.networks import ParserNet, VectorNet
from training.judges.pins import PINS

MANIFEST = "judges.json"
SHIPPED_DIR = Path(__file__).resolve().parent.parent / "shipped" / "judges"

_J = TypeVar("_J", bound=Judge)


class NetworkRecord(BaseModel):
    """How a judge's network is built; `embed`, `depth` and `outputs` are a VectorNet's, what follows a ClipNet's.

    `mean` and `std` are of the channels of its training images, `tokens` the ids of the words that it learnt.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    widths: tuple[int, ...]
    outputs: int
    depth: int = 1
    embed: int = 0
    architecture: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    tokens: tuple[int, ...] = ()


class JudgeRecord(BaseModel):
    """What judges.json says of one judge; subject ranges are [first, end) seeds of the renderer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    role: Role
    file: str
    sha256: str
    network: NetworkRecord
    training_subjects: tuple[int, int]
    held_out_subjects: tuple[int, int]
    weight_ancestors: tuple[str, ...] = ()
    scores: dict[str, float] = {}


class JudgesManifest(BaseModel):
    """judges.json: the set, what it knows, where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    size_px: int
    category: str = "face"
    attributes: tuple[str, ...]
    regions: tuple[str, ...]
    renderer_digest: str
    dataset_digest: str
    config: dict[str, Any]
    judges: dict[str, JudgeRecord]
    colour_histogram_rank1: float
    card: str


class JudgeSet:
    """The judges of a directory, each read and verified when it is first asked for."""

    def __init__(
        self, directory: Path, manifest: JudgesManifest, pins: Mapping[str, str] | None, device: torch.device
    ) -> None:
        self.directory = directory
        self.manifest = manifest
        self.category = manifest.category
        self.attributes = manifest.attributes
        self.regions = manifest.regions
        self.device = device
        self._pins = pins
        self._loaded: dict[str, Judge] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """All judges' names."""
        return tuple(self.manifest.judges)

    @property
    def digests(self) -> dict[str, str]:
        """Name → sha256 of the weights file, as judges.json has it."""
        return {name: record.sha256 for name, record in self.manifest.judges.items()}

    def judge(self, name: str) -> Judge:
        """A judge by name; raises UserError when it is missing or its file is not the one recorded."""
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    @cached_property
    def parser_train(self) -> ParserJudge:
        """The parser that makes masks."""
        return _typed(self.judge("parser_train"), ParserJudge)

    @cached_property
    def parser_eval(self) -> ParserJudge:
        """The parser of metrics."""
        return _typed(self.judge("parser_eval"), ParserJudge)

    @cached_property
    def identity_train(self) -> IdentityJudge:
        """The identity judge of losses and filters."""
        return _typed(self.judge("identity_train"), IdentityJudge)

    @cached_property
    def identity_eval(self) -> IdentityJudge:
        """The identity judge of metrics."""
        return _typed(self.judge("identity_eval"), IdentityJudge)

    @cached_property
    def attribute_train(self) -> AttributeJudge:
        """The attribute judge of losses and filters."""
        return _typed(self.judge("attribute_train"), AttributeJudge)

    @cached_property
    def attribute_eval(self) -> AttributeJudge:
        """The attribute judge of metrics."""
        return _typed(self.judge("attribute_eval"), AttributeJudge)

    @cached_property
    def pose(self) -> PoseJudge:
        """The pose judge."""
        return _typed(self.judge("pose"), PoseJudge)

    @cached_property
    def pose_train(self) -> PoseJudge:
        """The pose judge of losses, filters and choices."""
        return _typed(self.judge("pose_train"), PoseJudge)

    @cached_property
    def features(self) -> FeaturesJudge:
        """The features judge."""
        return _typed(self.judge("features"), FeaturesJudge)

    @cached_property
    def clip_train(self) -> ClipJudge:
        """The CLIP of losses."""
        return _typed(self.judge("clip_train"), ClipJudge)

    @cached_property
    def clip_eval(self) -> ClipJudge:
        """The CLIP of metrics."""
        return _typed(self.judge("clip_eval"), ClipJudge)

    def _load(self, name: str) -> Judge:
        record = self.manifest.judges.get(name)
        if record is None:
            raise UserError(f"{self.directory / MANIFEST} has no judge {name!r}.", f"It has: {', '.join(self.names)}.")
        data = _verified(self.directory / record.file, record.sha256)
        if self._pins is not None and self._pins.get(name) != record.sha256:
            raise UserError(f"The shipped judge {name} is not the pinned one.", "Install the package anew.")
        judge = build_judge(name, record, data, self.manifest.attributes, self.manifest.regions)
        judge.net.to(self.device)
        return judge


def load_judges(directory: Path, device: torch.device | str = "cpu") -> JudgeSet:
    """The judges of a directory, lazily; the shipped set is also held against its pinned digests.

    Raises UserError when judges.json is missing or malformed, and later when a weights file is not the recorded one.
    """
    pins = PINS if directory.resolve() == SHIPPED_DIR else None
    return JudgeSet(directory, read_judges_manifest(directory), pins, torch.device(device))


def read_judges_manifest(directory: Path) -> JudgesManifest:
    """judges.json of a directory, checked; raises UserError."""
    path = directory / MANIFEST
    if not path.is_file():
        raise UserError(f"There is no {MANIFEST} in {directory}.", "Run `editloom run --select judges` first.")
    try:
        return JudgesManifest.model_validate(json.loads(path.read_text()))
    except (ValidationError, ValueError) as error:
        raise UserError(
            f"{path} is not a judges manifest: {error}", "Run `editloom run --select judges` again."
        ) from error


def build_judge(
    name: str, record: JudgeRecord, data: bytes, attributes: tuple[str, ...], regions: tuple[str, ...]
) -> Judge:
    """A frozen judge from its record and the bytes of its weights file (stored in half precision, run in single)."""
    net = build_network(record.kind, record.network)
    _fill(net, name, data)
    net.eval().requires_grad_(False)
    net.to(memory_format=torch.channels_last)
    head = (name, record.kind, record.role, record.sha256)
    if isinstance(net, ParserNet):
        return ParserJudge(*head, net, regions)
    if isinstance(net, ClipNet):
        return ClipJudge(*head, net)
    if record.kind == "attribute":
        return AttributeJudge(*head, net, attributes)
    vector_judges = {"identity": IdentityJudge, "pose": PoseJudge, "features": FeaturesJudge}
    return vector_judges[record.kind](*head, net)


def build_network(kind: Kind, network: NetworkRecord) -> ParserNet | VectorNet | ClipNet:
    """An untrained network of this shape."""
    if kind == "clip":
        return ClipNet(network.architecture, network.mean, network.std, network.tokens)
    if kind == "parser":
        return ParserNet(network.widths, network.outputs)
    return VectorNet(network.widths, network.depth, network.embed, network.outputs)


def _fill(net: ParserNet | VectorNet | ClipNet, name: str, data: bytes) -> None:
    state = {key: value.float() for key, value in load_tensors(data).items()}
    unmatched = net.load_state_dict(net.expand(state) if isinstance(net, ClipNet) else state, strict=False)
    missing = [
        key for key in unmatched.missing_keys if not key.endswith("num_batches_tracked")
    ]  # of use in training only
    if missing or unmatched.unexpected_keys:
        raise UserError(f"The weights of judge {name} do not fit its network in {MANIFEST}.", "Build the judges again.")


def _verified(path: Path, sha256: str) -> bytes:
    if not path.is_file():
        raise UserError(f"The weights {path} are missing.", "Fetch the payload with `dvc pull` or build it again.")
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise UserError(f"{path} has sha256 {found[:12]}…, {MANIFEST} says {sha256[:12]}….", "Fetch or build it again.")
    return data


def _typed(judge: Judge, kind: type[_J]) -> _J:
    if not isinstance(judge, kind):
        raise UserError(f"The judge {judge.name} is a {type(judge).__name__}, expected a {kind.__name__}.")
    return judge
