"""What a person may choose about the training of a GAN."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from training.draws import iterations_of
from training.stylegan2 import DiscriminatorConfig, GeneratorConfig


class GanTrainingConfig(BaseModel):
    """Settings of `train_gan`; lengths of time are counted in thousands of real images shown (kimg)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kimg: float = Field(default=300.0, gt=0, description="length of the training in thousands of images")
    batch_size: int = Field(default=16, ge=2, le=1024, description="images per iteration")
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of weights, latents, noise, order, augmentation")
    lr: float = Field(default=2.5e-3, gt=0, le=0.1, description="Adam's learning rate of G and D")
    warmup_kimg: float = Field(default=0.0, ge=0, description="kimg over which the learning rate rises from 0")
    r1_gamma: float = Field(default=0.2, ge=0, description="weight of the gradient penalty of D")
    r1_interval: int = Field(default=16, ge=1, description="iterations from one gradient penalty to the next")
    ema_kimg: float = Field(default=5.0, gt=0, description="half-life of the generator's moving average in kimg")
    ema_rampup: float | None = Field(
        default=0.05, gt=0, description="half-life at most this share of the images shown; null = the full one at once"
    )
    style_mixing: float = Field(default=0.0, ge=0, le=1, description="share of images made from two latents")
    mirror: bool = Field(default=False, description="flip half of the real images left to right")
    augment: Literal["none", "diffaugment", "ada"] = Field(default="none", description="augmentation for small sets")
    ada_target: float = Field(default=0.6, gt=0, lt=1, description="aim of E[sign D(real)]")
    ada_kimg: float = Field(default=100.0, gt=0, description="kimg in which p can move from 0 to 1")
    precision: Literal["fp32", "bf16", "fp64"] = Field(
        default="bf16", description="type of features; parameters stay float32 (fp64: they too, to check arithmetic)"
    )
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 = as the process is set")
    snapshot_kimg: float = Field(default=5.0, gt=0, description="kimg from one snapshot of the average to the next")
    checkpoint_every_s: float = Field(default=120.0, ge=0, description="seconds from one checkpoint to the next")
    generator: GeneratorConfig | None = Field(default=None, description="shape of G; null = default for the image size")
    discriminator: DiscriminatorConfig | None = Field(default=None, description="shape of D; null = default")

    @property
    def iterations(self) -> int:
        """Iterations of the whole training, the last one complete."""
        return iterations_of(self.kimg, self.batch_size)

    @property
    def snapshot_iterations(self) -> int:
        """Iterations from one snapshot to the next."""
        return iterations_of(self.snapshot_kimg, self.batch_size)
