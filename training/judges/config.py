"""Which judges there are, on which subjects each is trained, and how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from data.categories import FACE, Category, SeedRanges, category
from training.judges.networks import JUDGE_SIZE_PX

Kind = Literal["parser", "identity", "attribute", "pose", "features", "clip"]
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
    JudgeSpec("pose_train", "pose", "train", "train"),
    JudgeSpec("clip_train", "clip", "train", "train"),
    JudgeSpec("attribute_eval", "attribute", "eval", "eval"),
    JudgeSpec("parser_eval", "parser", "eval", "eval"),
    JudgeSpec("identity_eval", "identity", "eval", "eval"),
    JudgeSpec("clip_eval", "clip", "eval", "eval"),
    JudgeSpec("pose", "pose", "eval", "pose"),
    JudgeSpec("features", "features", "eval", "features"),
)

POOLS: tuple[PoolName, ...] = ("train", "eval", "pose", "features", "held_out")


def first_subject(pool: PoolName, seeds: SeedRanges) -> int:
    """The first subject of a pool: far enough apart for 200,000 each, in ranges that never meet a user's."""
    if pool == "train":
        return seeds.judges_train.start
    if pool == "held_out":
        return seeds.held_out_judges.start
    return seeds.judges_eval.start + {"eval": 0, "pose": 500_000, "features": 700_000}[pool]


class JudgeImagesConfig(BaseModel):
    """Whom the pools show, and how many subjects and images each holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    category: str = Field(FACE.name, description="What the images show.")
    subjects: int = Field(2_500, ge=2, le=200_000, description="Subjects of each pool that serves three judges.")
    single_subjects: int = Field(2_500, ge=2, le=200_000, description="Subjects of the pools of pose and features.")
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
    crop_size_px: int = Field(
        JUDGE_SIZE_PX,
        ge=16,
        le=JUDGE_SIZE_PX,
        description="Side of the aligned crop, in pixels; a smaller one is enlarged to 64, as in use.",
    )
    seed: int = Field(0, ge=0, description="Seed of the choice of the turned attributes.")

    @property
    def kind(self) -> Category[Any, Any]:
        """The category's renderer and labels; UserError for an unknown one."""
        return category(self.category)


class JudgeTrainingConfig(BaseModel):
    """How long and how fast the judges train."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity_kimg: float = Field(320.0, gt=0, le=100_000, description="Thousand images that an identity judge sees.")
    attribute_kimg: float = Field(350.0, gt=0, le=100_000, description="Thousand images that an attribute judge sees.")
    parser_kimg: float = Field(64.0, gt=0, le=100_000, description="Thousand images that a parser sees.")
    pose_kimg: float = Field(240.0, gt=0, le=100_000, description="Thousand images that the pose judge sees.")
    features_kimg: float = Field(120.0, gt=0, le=100_000, description="Thousand images that the features judge sees.")
    clip_kimg: float = Field(320.0, gt=0, le=100_000, description="Thousand captioned images that a CLIP judge sees.")
    batch_size: int = Field(64, ge=2, le=4_096, description="Images per step; a CLIP judge takes twice as many.")
    learning_rate: float = Field(3e-3, gt=0, le=1, description="Peak of the one-cycle schedule (AdamW).")
    identity_learning_rate: float = Field(8e-3, gt=0, le=1, description="The same for what learns whom it sees.")
    clip_learning_rate: float = Field(1e-3, gt=0, le=1, description="The same for CLIP: at twice this it stalls.")
    weight_decay: float = Field(1e-2, ge=0, le=1, description="AdamW's decoupled weight decay.")
    seed: int = Field(0, ge=0, description="Seed of initial weights, order and jitter.")

    def iterations(self, kind: Kind) -> int:
        """Steps that a judge of this kind trains."""
        kimg: float = getattr(self, f"{kind}_kimg")
        return max(1, round(kimg * 1000 / self.batch_of(kind)))

    def batch_of(self, kind: Kind) -> int:
        """Images per step of this kind: what a caption is told from is the rest of its batch."""
        return self.batch_size * 2 if kind == "clip" else self.batch_size

    def peak_rate(self, kind: Kind) -> float:
        """The schedule's peak for this kind."""
        if kind == "clip":
            return self.clip_learning_rate
        return self.identity_learning_rate if kind in ("identity", "features") else self.learning_rate
