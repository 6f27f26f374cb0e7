"""What the judges see in one set of images, computed once for all measures of a protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.errors import UserError
from evaluation.panel import Panel, region_masks
from evaluation.pixels import Images, batches, to_tensor
from training.judges.interface import IdentityJudge

Floats = NDArray[np.float64]
LEAST_FACE = 0.05
"""Share of the crop that the parser must see as face: an aligned crop's face fills several times as much."""
FACE_REGIONS = ("skin", "beard", "brows", "eyes", "nose", "mouth")


@dataclass(frozen=True)
class Seen:
    """Identity vectors N×D and angles N×3 in degrees (rows of NaN: no face was found), features N×F."""

    identities: Floats
    angles_deg: Floats
    features: Floats

    @property
    def faceless(self) -> int:
        """How many images show no face."""
        return int(np.isnan(self.identities).any(axis=1).sum())


@torch.inference_mode()
def see(panel: Panel, images: Images, batch_size: int, names: Sequence[str] = ()) -> Seen:
    """Return what the panel sees in N×S×S×3 images; `names` (N) are the files' for errors.

    An identity judge that finds faces itself says where there is none; beside the procedural one the parser does.
    Raises UserError when a judge gives NaN.
    """
    columns: list[tuple[Tensor, ...]] = []
    for part in batches(len(images), batch_size):
        batch = to_tensor(images[part], panel.device)
        columns.append(
            (panel.identity.vectors(batch), panel.pose.angles_deg(batch), panel.features.features(batch)),
        )
    identities, angles, features = (_stack(column) for column in zip(*columns, strict=True))
    _check_finite(angles, panel.pose.name, names)
    _check_finite(features, panel.features.name, names)
    if isinstance(panel.identity, IdentityJudge):
        identities[~_has_face(panel, images, batch_size)] = np.nan
    angles[np.isnan(identities).any(axis=1)] = np.nan
    return Seen(identities, angles, features)


@torch.inference_mode()
def identity_vectors(panel: Panel, images: Images, batch_size: int) -> Floats:
    """Return the identity vectors of N×S×S×3 images, N×D; a row of NaN where the judge itself found no face."""
    parts = [panel.identity.vectors(to_tensor(images[part], panel.device)) for part in batches(len(images), batch_size)]
    return _stack(parts)


def _has_face(panel: Panel, images: Images, batch_size: int) -> NDArray[np.bool_]:
    """Whether the parser sees enough of a face in each image, N."""
    shares = region_masks(panel, images, FACE_REGIONS, batch_size).mean(axis=(1, 2))
    return np.asarray(shares >= LEAST_FACE, dtype=bool)


def _check_finite(values: Floats, judge: str, names: Sequence[str]) -> None:
    broken = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(broken):
        which = names[int(broken[0])] if names else f"image {int(broken[0])}"
        raise UserError(f"The judge {judge} gives NaN or infinity for {which}.", "Check the judge's weights file.")


def _stack(parts: Sequence[Tensor]) -> Floats:
    return np.asarray(torch.cat(list(parts)).double().cpu().numpy(), dtype=np.float64)
