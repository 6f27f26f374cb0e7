"""Settings of the editor's training."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from training.editor.augment import AugmentConfig
from training.editor.network import EditorConfig, levels_for, widths_for


class EditorTrainingConfig(BaseModel):
    """How long, how fast and against what the editor trains."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    attribute: str = Field(min_length=1, description="the target attribute, by the judges' name")
    kimg: float = Field(default=32.0, gt=0, le=100_000, description="thousand pairs to train on, repeats included")
    batch_size: int = Field(default=16, ge=1, le=1024, description="pairs per iteration")
    lr: float = Field(default=3e-3, gt=0, le=1, description="editor's peak learning rate (Adam, cosine to 5 %)")
    discriminator_lr: float = Field(default=5e-4, gt=0, le=1, description="discriminator's learning rate (Adam)")
    warmup: float = Field(default=0.03, ge=0, le=1, description="share of the training in which the rate rises")
    ema_kimg: float = Field(default=1.0, ge=0, description="half-life of the weights' average, thousand pairs")
    channels: tuple[int, int, int] = Field(default=(32, 64, 96), description="channels at 1/2, 1/4, 1/8 of the side")
    levels: int | None = Field(
        default=None, ge=3, le=8, description="halvings of the side; null = until 16 px or less are left"
    )
    detail_channels: int = Field(default=16, ge=4, le=128, description="channels at the full side")
    blend: bool = Field(default=True, description="blend with the input by a predicted mask")
    inside_weight: float = Field(default=1.0, ge=0, description="weight of the error inside the mask")
    outside_weight: float = Field(default=1.0, ge=0, description="weight of the change outside the mask")
    alpha_weight: float = Field(default=0.5, ge=0, description="weight of the blending mask's supervision")
    alpha_inside: float = Field(default=0.2, ge=0, le=1, description="weight of that supervision inside the mask")
    adversarial_weight: float = Field(default=0.02, ge=0, description="weight of the patch discriminator; 0 = none")
    adversarial_from: float = Field(default=0.4, ge=0, le=1, description="share of the training before it joins")
    discriminator_scales: int | None = Field(
        default=None, ge=1, le=4, description="sizes at which it looks; null = 1, from 256 px 2, from 512 px 3"
    )
    attribute_weight: float = Field(default=0.0, ge=0, description="weight of the training attribute judge; 0 = none")
    identity_weight: float = Field(default=0.0, ge=0, description="weight of the training identity judge; 0 = none")
    seed: int = Field(default=0, ge=0, description="seed of weights, order and augmentation")
    precision: Literal["fp32", "bf16", "fp16", "fp64"] = Field(
        default="fp32", description="type of the convolutions; fp16 needs a GPU; fp64: of all, to check arithmetic"
    )
    compile: bool = Field(default=False, description="compile the editor's forward; needs a GPU")
    threads: int = Field(default=0, ge=0, le=1024, description="CPU threads; 0 = as the process has them")
    checkpoint_every_s: float = Field(default=60.0, gt=0, description="seconds between two checkpoints")
    augment: AugmentConfig = Field(default_factory=AugmentConfig, description="changes made to both images of a pair")

    @property
    def iterations(self) -> int:
        """Iterations of the whole training."""
        return max(1, round(self.kimg * 1000 / self.batch_size))

    @property
    def adversarial_start(self) -> int:
        """The first iteration with the discriminator; beyond the last where there is none."""
        return round(self.iterations * self.adversarial_from) if self.adversarial_weight > 0 else self.iterations

    def network(self, size_px: int) -> EditorConfig:
        """The network's shape at a side; raises pydantic's ValidationError where the side cannot be halved so often."""
        widths = widths_for(self.channels, self.levels or levels_for(size_px))
        return EditorConfig(size_px=size_px, channels=widths, detail_channels=self.detail_channels, blend=self.blend)

    def scales_at(self, size_px: int) -> int:
        """At how many sizes the discriminator looks (pix2pixHD, arXiv 1711.11585)."""
        return self.discriminator_scales or 1 + (size_px >= 256) + (size_px >= 512)
