"""Ways to give a generated face an attribute, each with a strength: mask fusion, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.fusion import (
    Noise,
    Trace,
    check_same_mapping,
    feature_ws,
    fuse_states,
    fuse_traces,
    original_trace,
    trace,
)
from training.fusion_schedule import FusionConfig, check_layers, feature_stops, with_strength
from training.joint_mask import MaskSource, RememberedMask
from training.latent_direction import LatentDirection
from training.sampling import latents, layer_noise
from training.stylegan2 import Generator

FUSED, SWAPPED, PASTED, MOVED = "fused", "layer_swap", "pixel_paste", "latent_direction"
TITLES = {
    FUSED: "mask fusion",
    SWAPPED: "layer swapping",
    PASTED: "pixel pasting",
    MOVED: "latent direction",
}


@dataclass(frozen=True)
class Networks:
    """The two generators, what makes their masks, the schedule of their fusion, and the seed of what they draw."""

    original: Generator
    feature: Generator
    mask_source: MaskSource
    fusion: FusionConfig
    seed: int
    truncation_psi: float = 1.0

    def check(self) -> None:
        """Raise UserError where the networks do not belong together or lack a layer of the schedule."""
        check_layers(self.fusion, self.original.synthesis.layer_names)
        check_same_mapping(self.original, self.feature)

    def codes(self, indices: Tensor) -> tuple[Tensor, Tensor, Noise]:
        """Latents z and w (N×z_dim, N×w_dim) and layer noise of some indices (N), on the networks' device."""
        device = next(self.original.parameters()).device
        z = latents(self.seed, indices, self.original.config.z_dim).to(device)
        noise = layer_noise(self.seed, indices, self.original.synthesis.layer_sizes)
        w = self.original.mapping(z, self.truncation_psi)
        return z, w, {name: maps.to(device) for name, maps in noise.items()}


@dataclass(frozen=True)
class Faces:
    """Generated faces to edit, with what all methods share: both networks' runs, and the joint mask N×1×H×W."""

    w: Tensor
    noise: Noise
    ours: Trace
    theirs: Trace
    masks: RememberedMask
    mask: Tensor

    @property
    def original(self) -> Tensor:
        """The original network's end images, N×3×H×W."""
        return self.ours.image_of(None)

    @property
    def feature(self) -> Tensor:
        """The feature network's end images, N×3×H×W."""
        return self.theirs.image_of(None)


@dataclass(frozen=True)
class Method:
    """One way to edit: its strengths (rising, above 0), and the edit of faces at a strength as N×3×H×W."""

    key: str
    strengths: tuple[float, ...]
    edit: Callable[[Faces, float], Tensor]

    @property
    def title(self) -> str:
        """The method's name for people."""
        return TITLES[self.key]


def draw_faces(networks: Networks, indices: Tensor) -> Faces:
    """Draw the faces of some indices (N): each network runs once, to its end."""
    z, w, noise = networks.codes(indices)
    config, masks = networks.fusion, RememberedMask(networks.mask_source)
    ours = original_trace(networks.original, w, noise, config)
    their_w = feature_ws(networks.feature, z, w, config, networks.truncation_psi)
    theirs = trace(networks.feature.synthesis, their_w, noise, feature_stops(config))
    full = fuse_traces(networks.original.synthesis, ours, theirs, w, noise, masks, config)
    return Faces(w, noise, ours, theirs, masks, full.mask)


def methods(
    networks: Networks,
    direction: LatentDirection | None,
    strengths: Sequence[float],
    direction_strengths: Sequence[float],
) -> tuple[Method, ...]:
    """Mask fusion first, then its baselines; without a direction that baseline is left out."""
    rising, far = tuple(sorted(set(strengths))), tuple(sorted(set(direction_strengths)))
    found = [
        Method(FUSED, rising, lambda faces, s: mask_fusion(networks, faces, s)),
        Method(SWAPPED, rising, lambda faces, s: layer_swapping(networks, faces, s)),
        Method(PASTED, rising, pixel_pasting),
    ]
    if direction is not None:
        step = direction.step
        found.append(Method(MOVED, far, lambda faces, s: latent_move(networks, faces, step, s)))
    return tuple(found)


def mask_fusion(networks: Networks, faces: Faces, strength: float) -> Tensor:
    """The schedule's target images with a := 1 − s·(1 − a) at every fusion (METHODS A5, A6)."""
    config = with_strength(networks.fusion, strength)
    synthesis = networks.original.synthesis
    return fuse_traces(synthesis, faces.ours, faces.theirs, faces.w, faces.noise, faces.masks, config).target


def layer_swapping(networks: Networks, faces: Faces, strength: float) -> Tensor:
    """The original network run on from the feature network's features at the first fusion layer, everywhere.

    Features and running RGB are interpolated by the strength. Source: arXiv 2010.05334, with the coarse layers of the
    fine-tuned network.
    """
    layer, everywhere = networks.fusion.layers[0].layer, torch.ones_like(faces.mask)
    state = fuse_states(faces.ours.states[layer], faces.theirs.states[layer], everywhere, 1 - strength)
    return networks.original.synthesis.finish(state, faces.w, faces.noise)


def pixel_pasting(faces: Faces, strength: float) -> Tensor:
    """x + s·m·(feature image − x): the feature image laid over the original by the joint mask."""
    return faces.original + strength * faces.mask * (faces.feature - faces.original)


def latent_move(networks: Networks, faces: Faces, step: Tensor, strength: float) -> Tensor:
    """The original network's images of w + s·d, d (w_dim) being the step from faces without to faces with it."""
    moved: Tensor = networks.original.synthesis(faces.w + strength * step, faces.noise)
    return moved
