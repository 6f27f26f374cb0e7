"""Judges: frozen networks that turn images into what a metric or a loss needs.

What trains them (`training.judges.train`, `training.judges.images`) is imported by its own name: using one stays light.
"""

from training.judges.config import JUDGES, JudgeImagesConfig, JudgeSpec, JudgeTrainingConfig
from training.judges.interface import (
    AttributeJudge,
    ClipJudge,
    FeaturesJudge,
    IdentityJudge,
    Judge,
    ParserJudge,
    PoseJudge,
)
from training.judges.loading import JudgeRecord, JudgeSet, JudgesManifest, load_judges, read_judges_manifest
from training.judges.shipped import install_shipped_judges, shipped_judges_dir

__all__ = [
    "JUDGES",
    "AttributeJudge",
    "ClipJudge",
    "FeaturesJudge",
    "IdentityJudge",
    "Judge",
    "JudgeImagesConfig",
    "JudgeRecord",
    "JudgeSet",
    "JudgeSpec",
    "JudgeTrainingConfig",
    "JudgesManifest",
    "ParserJudge",
    "PoseJudge",
    "install_shipped_judges",
    "load_judges",
    "read_judges_manifest",
    "shipped_judges_dir",
]
