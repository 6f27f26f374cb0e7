"""What an edit of generated faces did, by evaluation judges: attribute, identity, pose, and change outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.held_out import Masks, dilate
from evaluation.metrics.attribute import probability_measure, success_measure
from evaluation.metrics.counterfactual import absolute_error
from evaluation.metrics.identity import COSINE, cosines
from evaluation.metrics.intervals import Bootstrap, Protocol, mean_metric, ratio_metric
from evaluation.metrics.locality import OutsideError, error_measures, masked_error
from evaluation.metrics.metric import CLOSED_FORM, Judge, Metric
from evaluation.metrics.pose import CHANGE, pose_error_deg
from evaluation.panel import Panel, judge_of
from evaluation.pixels import Images, to_tensor

Floats = NDArray[np.float64]
DILATION_AT_PX = 64
"""Image size at which regions grow by one pixel; larger images in proportion."""
CHANGE_OUTSIDE = Protocol(
    "change_outside", "levels", "mean absolute change over all outside pixels, 8-bit levels", False
)

SEAM = Protocol(
    "seam",
    "levels",
    "how much steeper the result is along the joint mask's edge (2 px wide) than both the original and the feature "
    "image there, 8-bit levels per pixel",
    False,
)


@dataclass(frozen=True)
class Subject:
    """What is edited and how it is seen: the attribute, the regions it may change, the panel, the success threshold."""

    attribute: str
    regions: tuple[str, ...]
    panel: Panel
    threshold: float = 0.5

    @property
    def judges(self) -> tuple[Judge, ...]:
        """The judges that measure edits, by name and digest."""
        panel = self.panel
        return tuple(judge_of(one) for one in (panel.attribute, panel.identity, panel.pose, panel.parser))


@dataclass(frozen=True)
class Glance:
    """What the panel sees in N images: probability N, unit vectors N×D, angles N×3, the attribute's regions N×H×W."""

    probability: Floats
    identity: Floats
    angles_deg: Floats
    region: Masks


@dataclass(frozen=True)
class Ratio:
    """A measure as numerators and denominators per image: over a set it is the ratio of their sums."""

    above: Floats
    below: Floats


@dataclass(frozen=True)
class EditMeasures:
    """The measures of N edits (N each): probability after, cosine and degrees against before, the change outside.

    `absolute` is the absolute change summed over the outside values, in 8-bit levels; `seam` is in levels per pixel.
    """

    probability: Floats
    cosine: Floats
    pose_deg: Floats
    outside: OutsideError
    absolute: Floats
    seam: Floats | None = None

    def ratios(self, threshold: float) -> Mapping[str, Ratio]:
        """The measures by name, as trade-off curves add them up."""
        one = np.ones_like(self.probability)
        found = {
            "success": Ratio((self.probability >= threshold).astype(np.float64), one),
            "probability": Ratio(self.probability, one),
            "change_outside": Ratio(self.absolute, self.outside.count),
            "identity_cosine": Ratio(self.cosine, one),
            "pose_change": Ratio(self.pose_deg, one),
        }
        return found if self.seam is None else found | {"seam": Ratio(self.seam, one)}


@torch.inference_mode()
def glance(subject: Subject, images: Images) -> Glance:
    """Return what the panel sees in N×H×W×3 uint8 images, as one batch."""
    panel, batch = subject.panel, to_tensor(images, subject.panel.device)
    seen = (panel.attribute.probability(batch, subject.attribute), panel.identity.vectors(batch))
    probability, identity, angles = (one.double().cpu().numpy() for one in (*seen, panel.pose.angles_deg(batch)))
    return Glance(probability, identity, angles, panel.parser.mask(batch, subject.regions)[:, 0].cpu().numpy() > 0.5)


def measure_edit(subject: Subject, before: Images, seen: Glance, after: Images) -> EditMeasures:
    """Measure edits N×H×W×3 uint8 of `before`, which the panel has `seen`.

    Outside is what lies beyond the attribute's regions in both images, dilated by one pixel at 64 px.
    """
    now = glance(subject, after)
    radius = max(1, round(before.shape[1] / DILATION_AT_PX))
    outside = ~dilate(seen.region | now.region, radius)
    error = masked_error(after, before, outside)
    absolute = np.nan_to_num(absolute_error(after, before, outside)) * error.count
    cosine, pose = cosines(seen.identity, now.identity), pose_error_deg(seen.angles_deg, now.angles_deg)
    return EditMeasures(now.probability, cosine, pose, error, absolute)


def joined(parts: Sequence[EditMeasures]) -> EditMeasures:
    """The measures of several batches as those of one; a seam only where every batch has one."""
    seams = [part.seam for part in parts if part.seam is not None]
    outside = [part.outside for part in parts]
    return EditMeasures(
        np.concatenate([part.probability for part in parts]),
        np.concatenate([part.cosine for part in parts]),
        np.concatenate([part.pose_deg for part in parts]),
        OutsideError(
            np.concatenate([one.squared for one in outside]),
            np.concatenate([one.count for one in outside]),
            np.concatenate([one.largest for one in outside]),
        ),
        np.concatenate([part.absolute for part in parts]),
        np.concatenate(seams) if len(seams) == len(parts) else None,
    )


def edit_metrics(
    measures: EditMeasures, subject: Subject, clusters: Sequence[str], bootstrap: Bootstrap
) -> tuple[Metric, ...]:
    """Return the measures as metrics with their judges; `clusters` (N) names what is resampled as one."""
    attribute, identity, pose, parser = subject.judges
    metrics = [
        success_measure(measures.probability, attribute, subject.threshold).metric(clusters, bootstrap),
        probability_measure(measures.probability, attribute).metric(clusters, bootstrap),
        mean_metric(COSINE, measures.cosine, clusters, identity, bootstrap),
        *(one.metric(clusters, bootstrap) for one in error_measures(measures.outside, parser)),
        ratio_metric(CHANGE_OUTSIDE, measures.absolute, measures.outside.count, clusters, parser, bootstrap),
        mean_metric(CHANGE, measures.pose_deg, clusters, pose, bootstrap),
    ]
    if measures.seam is not None:
        metrics.append(mean_metric(SEAM, measures.seam, clusters, CLOSED_FORM, bootstrap))
    return tuple(metrics)
