"""The asset functions: each reads its inputs, calls one function of a room, and returns what to show."""

from orchestration.assets.editing import attribute_editor, edit_pairs
from orchestration.assets.images import aligned_images, attribute_images, images
from orchestration.assets.judging import judge_images, judges
from orchestration.assets.networks import feature_network, original_network
from orchestration.assets.releasing import attribute_release
from orchestration.assets.reporting import attribute_report, fusion_report, original_report

ALL_ASSETS = [
    judge_images,
    judges,
    images,
    aligned_images,
    attribute_images,
    original_network,
    original_report,
    feature_network,
    edit_pairs,
    attribute_editor,
    attribute_report,
    fusion_report,
    attribute_release,
]

__all__ = ["ALL_ASSETS"]
