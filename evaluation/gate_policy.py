"""What a policy may ask of a model: frozen rules, each checked when it is read."""

from __future__ import annotations

import difflib
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

PART_PREFIX = "attribute_success_"
"""What became of one part of a combined attribute: the part's name follows."""
KNOWN_METRICS = (
    "attribute_success", "attribute_probability", "identity_cosine",
    "psnr_outside", "psnr_outside_mean", "ssim_outside", "max_change_outside", "perceptual_outside", "seam_ratio",
    "pose_change", "pose_change_geodesic", "pose_change_yaw", "pose_change_pitch", "pose_change_roll",
    "psnr_counterfactual", "mae_counterfactual", "mae_counterfactual_inside", "clip_direction",
    "id_retrieval_centers", "id_retrieval_spread",
    "frechet_distance", "fid", "kernel_distance", "kid", "fd_infinity", "precision", "recall",
)  # fmt: skip
KNOWN_ROWS = ("did_nothing", "pasted_region", "another_face", "true_counterfactual")
KNOWN_CHECKS = ("independence", "report_judges", "aliases")


def _known_metric(name: str) -> str:
    if name in KNOWN_METRICS or name.startswith(PART_PREFIX):
        return name
    raise ValueError(f"there is no metric `{name}`{nearest(name, KNOWN_METRICS)}")


def nearest(name: str, known: tuple[str, ...]) -> str:
    """Return `: did you mean …?`, or the known names."""
    close = difflib.get_close_matches(name, known, n=1)
    return f": did you mean `{close[0]}`?" if close else f"; known: {', '.join(known)}"


def _known_row(name: str) -> str:
    if name in KNOWN_ROWS:
        return name
    raise ValueError(f"there is no row `{name}`{nearest(name, KNOWN_ROWS)}")


MetricName = Annotated[str, AfterValidator(_known_metric)]
RowName = Annotated[str, AfterValidator(_known_row)]


class _Rules(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Bounds(_Rules):
    at_least: float | None = Field(default=None, allow_inf_nan=False, description="Lowest value that passes.")
    at_most: float | None = Field(default=None, allow_inf_nan=False, description="Highest value that passes.")

    @property
    def bounds(self) -> str:
        """`≥ 0.9`, `≤ 30` or both."""
        low = None if self.at_least is None else f"≥ {self.at_least:g}"
        high = None if self.at_most is None else f"≤ {self.at_most:g}"
        return ", ".join(part for part in (low, high) if part)


class Requirement(_Bounds):
    """One bar that a candidate's metric must reach, by itself or beside a sanity row of the same report."""

    metric: MetricName = Field(description="Name of the metric in the report.")
    share_of: RowName | None = Field(default=None, description="The bounds are on its share of this row's.")
    above: RowName | None = Field(default=None, description="The bounds are on how far it lies above this row's.")
    if_measured: bool = Field(default=False, description="Passes where the report has no such metric or row.")

    @model_validator(mode="after")
    def _bounded(self) -> Requirement:
        if self.at_least is None and self.at_most is None:
            raise ValueError(f"the requirement on {self.metric} has neither at_least nor at_most")
        if self.share_of and self.above:
            raise ValueError(f"the requirement on {self.metric} has both share_of and above")
        return self

    @property
    def row(self) -> str:
        """The sanity row that it is held against; empty when none is."""
        return self.share_of or self.above or ""

    @property
    def text(self) -> str:
        """The rule's name for people."""
        if not self.row:
            return self.metric
        return f"{self.metric} {'as a share of' if self.share_of else 'above'} {self.row}"


class NotWorse(_Rules):
    """How much worse than the champion's a metric may be, by the worse end of the paired interval."""

    metric: MetricName = Field(description="A metric that is measured image by image and has a better end.")
    margin: float = Field(ge=0.0, allow_inf_nan=False, description="In the metric's unit.")
    if_measured: bool = Field(default=False, description="Passes where neither report has such a metric.")

    @property
    def text(self) -> str:
        """The rule's bound for people."""
        return f"worse by at most {self.margin:g}"


class SliceRule(_Bounds):
    """A bar that the worst slice of each dimension must reach."""

    dimensions: tuple[str, ...] = Field(min_length=1, description="By what images are told apart: pose, light, …")
    metric: MetricName = Field(description="A metric that is measured image by image.")
    minimum_images: int = Field(default=20, ge=1, description="Smaller slices are not looked at.")

    @model_validator(mode="after")
    def _one_bound(self) -> SliceRule:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"the slices of {self.metric} need at_least or at_most, one of them")
        return self


class ModelPolicy(_Rules):
    """What is asked of one kind of model before it may be the champion."""

    report: str = Field(description="Asset whose measures are taken anew for the decision.")
    requires: tuple[Requirement, ...] = Field(min_length=1, description="Bars; all of them must be met.")
    not_worse: tuple[NotWorse, ...] = Field(default=(), description="Margins against the champion, where there is one.")
    slices: tuple[SliceRule, ...] = Field(default=(), description="Bars on the worst slices.")
    checks: tuple[str, ...] = Field(default=(), description="Checks that must pass: independence, …")
    approval: Literal["none", "person"] = Field(default="none", description="Who says yes after the rules held.")

    @field_validator("checks")
    @classmethod
    def _known_checks(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in KNOWN_CHECKS:
                raise ValueError(f"there is no check `{name}`{nearest(name, KNOWN_CHECKS)}")
        return names


KNOWN_KEYS: tuple[str, ...] = tuple(
    dict.fromkeys(key for kind in (ModelPolicy, Requirement, NotWorse, SliceRule) for key in kind.model_fields)
)
