"""Which judges look at a folder: those of a directory, each of them replaceable by an imported one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from data.errors import UserError
from evaluation.panel import Panel, SeesFeatures, SeesIdentity, SeesText, evaluation_panel
from evaluation.pixels import CPU
from evaluation.protocols.identity_sources import DlibIdentity, OnnxIdentity
from evaluation.protocols.pairs_csv import did_you_mean
from training.judges.loading import SHIPPED_DIR, load_judges

OWN, SHIPPED = "judge", "shipped"


@dataclass(frozen=True)
class JudgeChoice:
    """Where judges come from: a directory or `shipped`, and for features, identity and clip `judge` or a source.

    Sources: features `inception[=FILE]`, `dinov2[=FILE]`; identity `dlib`, `onnx=FILE`; clip `OPENCLIP_NAME=FILE`.
    """

    directory: str = SHIPPED
    features: str = OWN
    identity: str = OWN
    clip: str = OWN

    @property
    def of_rendered_faces(self) -> tuple[str, ...]:
        """The kinds of judges that know rendered faces only, as long as the shipped set is asked."""
        if self.directory != SHIPPED:
            return ()
        chosen = {"features": self.features, "identity": self.identity, "clip": self.clip}
        return ("attribute", "pose", "parser", *(kind for kind, source in chosen.items() if source == OWN))


def open_panel(choice: JudgeChoice, device: torch.device = CPU) -> Panel:
    """Return the panel of evaluation judges that was chosen; raises UserError for an unknown or unusable source."""
    directory = SHIPPED_DIR if choice.directory == SHIPPED else Path(choice.directory)
    panel = evaluation_panel(load_judges(directory, device))
    if choice.features != OWN:
        panel = replace(panel, features=_features(choice.features))
    if choice.identity != OWN:
        panel = replace(panel, identity=_identity(choice.identity))
    if choice.clip != OWN:
        panel = replace(panel, clip=_clip(choice.clip))
    return panel


def _features(source: str) -> SeesFeatures:
    from evaluation.feature_networks import Dinov2Features, InceptionFeatures  # torch-fidelity takes a second to import

    name, file = _parts(source)
    if name == "inception":
        return InceptionFeatures(file)
    if name == "dinov2":
        return Dinov2Features(file)
    raise _unknown("--features", source, (OWN, "inception", "inception=FILE", "dinov2", "dinov2=FILE"))


def _identity(source: str) -> SeesIdentity:
    name, file = _parts(source)
    if source == "dlib":
        return DlibIdentity()
    if name == "onnx" and file is not None:
        return OnnxIdentity(file)
    raise _unknown("--identity", source, (OWN, "dlib", "onnx=FILE"))


def _clip(source: str) -> SeesText:
    from training.judges.open_clip_judge import load_open_clip  # open_clip takes seconds to import

    name, file = _parts(source)
    if file is None:
        said = f"--clip {source!r} names no weights file."
        raise UserError(said, "Write it as OPENCLIP_NAME=FILE, for example ViT-B-32=weights.safetensors, or `judge`.")
    return load_open_clip(name, file, "eval")


def _parts(source: str) -> tuple[str, Path | None]:
    name, _, file = source.partition("=")
    return name, Path(file) if file else None


def _unknown(option: str, source: str, known: tuple[str, ...]) -> UserError:
    return UserError(
        f"{option} {source!r} is no source of judges.", f"{did_you_mean(source, known)} Known: {', '.join(known)}."
    )
