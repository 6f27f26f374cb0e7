"""Which judges there are, on which subjects each is trained, and how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from data.render.seeds import HELD_OUT_JUDGES, JUDGES_EVAL, JUDGES_TRAIN

Kind = Literal["parser", "identity", "attribute", "pose", "features"]
Role = Literal["train", "eval"]
PoolName = Literal["train", "eval", "pose", "features", "held_out"]


@dataclass(frozen=True)
class JudgeSpec:
    """A judge: its `role` is losses, masks and filters (train) or metrics (eval); its `pool` is whom it trains on."""

    name: str
    kind: Kind
    role: Role
    pool: PoolName


JUDGES: tuple[JudgeSpec, ...] = (
    JudgeSpec("attribute_train", "attribute", "train", "train"),
    JudgeSpec("parser_train", "parser", "train", "train"),
    JudgeSpec("identity_train", "identity", "train", "train"),
    JudgeSpec("attribute_eval", "attribute", "eval", "eval"),
    JudgeSpec("parser_eval", "parser", "eval", "eval"),
    JudgeSpec("identity_eval", "identity", "eval", "eval"),
    JudgeSpec("pose", "pose", "eval", "pose"),
    JudgeSpec("features", "features", "eval", "features"),
)

# Far enough apart for half a million subjects each; the seed ranges themselves never meet a user's.
POOL_FIRST_SUBJECT: dict[PoolName, int] = {
    "train": JUDGES_TRAIN.start,
    "eval": JUDGES_EVAL.start,
    "pose": JUDGES_EVAL.start + 500_000,
    "features": JUDGES_EVAL.start + 700_000,
    "held_out": HELD_OUT_JUDGES.start,
}


class JudgeImagesConfig(BaseModel):
    """How many subjects and images each pool holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subjects: int = Field(2_500, ge=2, le=200_000, description="Subjects of each pool that serves three judges.")
    single_subjects: int = Field(1_000, ge=2, le=200_000, description="Subjects of the pools of pose and features.")
    images_per_subject: int = Field(8, ge=1, le=64, description="Training images per subject.")
    held_out_subjects: int = Field(500, ge=2, le=200_000, description="Subjects that only the scores see.")
    held_out_images: int = Field(4, ge=2, le=64, description="Held-out images per subject; the first is the gallery's.")
    changed_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of training images with one attribute turned round, so that rare ones are learnt.",
    )
    render_size_px: int = Field(
        96, ge=64, le=1024, description="Side of the render, in pixels, before alignment to 64."
    )
    seed: int = Field(0, ge=0, description="Seed of the choice of the turned attributes.")


class JudgeTrainingConfig(BaseModel):
    """How long and how fast the judges train."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity_kimg: float = Field(320.0, gt=0, le=100_000, description="Thousand images that an identity judge sees.")
    attribute_kimg: float = Field(150.0, gt=0, le=100_000, description="Thousand images that an attribute judge sees.")
    parser_kimg: float = Field(64.0, gt=0, le=100_000, description="Thousand images that a parser sees.")
    pose_kimg: float = Field(120.0, gt=0, le=100_000, description="Thousand images that the pose judge sees.")
    features_kimg: float = Field(120.0, gt=0, le=100_000, description="Thousand images that the features judge sees.")
    batch_size: int = Field(64, ge=2, le=4_096, description="Images per step.")
    learning_rate: float = Field(3e-3, gt=0, le=1, description="Peak of the one-cycle schedule (AdamW).")
    identity_learning_rate: float = Field(8e-3, gt=0, le=1, description="The same for what learns whom it sees.")
    weight_decay: float = Field(1e-2, ge=0, le=1, description="AdamW's decoupled weight decay.")
    seed: int = Field(0, ge=0, description="Seed of initial weights, order and jitter.")

    def iterations(self, kind: Kind) -> int:
        """Steps that a judge of this kind trains."""
        kimg: float = getattr(self, f"{kind}_kimg")
        return max(1, round(kimg * 1000 / self.batch_size))

    def peak_rate(self, kind: Kind) -> float:
        """The schedule's peak for this kind."""
        return self.identity_learning_rate if kind in ("identity", "features") else self.learning_rate
