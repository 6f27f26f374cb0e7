"""What `params.yaml` may say: frozen models in which every field has a unit, a bound and a one-line description.

The sections bear the names of the assets that read them. How the file is read stands in `params.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import Field, JsonValue

from orchestration.automation_sections import Automation
from orchestration.compute_sections import Compute
from orchestration.fields import AttributeSlug, PathText, Point, Positive, Section, Slug, Strength, choice, number
from orchestration.training_sections import (
    AttributeEditor,
    EditPairs,
    FeatureNetwork,
    JudgeImages,
    Judges,
    OriginalNetwork,
)


class Renderer(Section):
    """The procedural set: parametric pictures of the category from a seed."""

    count: int = number(8000, "images", 16, 10_000_000, "How many images to render.")
    size_px: int = number(96, "px", 64, 1024, "Side of a rendered image; alignment shrinks it to its own size.")
    images_per_subject: int = number(4, "images", 1, 1000, "How many images show the same subject.")
    first_subject: int = number(
        10_000_000,
        "subject",
        8_000_000,
        2**40,
        "First subject seed, from the category's range: faces from 10,000,000, vehicles from 8,000,000 to 9,999,999.",
    )


class Ingest(Section):
    """A folder (or glob) of photographs, with what is known about consent."""

    path: PathText | None = choice(None, "Folder or glob of photographs, relative to the workspace or absolute.")
    sidecar: PathText | None = choice(None, "CSV with columns file, subject, licence, consent, attributes.")
    consent_default: Literal["granted", "withdrawn"] = choice(
        "withdrawn", "Consent of a photo that no sidecar row speaks of; `granted` needs attested_by."
    )
    attested_by: str | None = choice(None, "Who attests that consent_default holds; recorded in the payload.")
    min_size_px: int = number(64, "px", 16, 4096, "A photo with a shorter side than this goes to quarantine.")
    max_pixels: int = number(100_000_000, "px²", 4096, 2**30, "A photo with more pixels is refused before decoding.")
    licence_default: str = choice("unknown", "Licence of a photo that no sidecar row speaks of.")
    category_default: Slug = choice("human", "Category of the photos.")


class Images(Section):
    """The first image set."""

    source: Literal["renderer", "folder"] = choice("renderer", "Where the images come from.")
    renderer: Renderer = Field(default_factory=Renderer, description="Read when source is renderer.")
    ingest: Ingest = Field(default_factory=Ingest, description="Read when source is folder.")


class Split(Section):
    """Shares of the subjects; what is left is for training. A subject never changes its split."""

    validation: float = number(0.05, "share", 0.0, 0.4, "Share of the subjects for choosing among snapshots.")
    test: float = number(0.15, "share", 0.01, 0.5, "Share of the subjects that no network ever trains on.")


class AlignedImages(Section):
    """Alignment: a similarity transform moves the category's reference points to preset positions."""

    size_px: int = number(64, "px", 32, 1024, "Side of an aligned crop; the original network draws this size.")
    template: Mapping[Slug, Point] = choice(
        {},
        "Reference point -> (x, y) in fractions of the crop: left_eye and right_eye (left is the image's left), or "
        "a vehicle's front and rear; a point not given keeps the category's own place.",
    )
    reference: PathText | None = choice(None, "An image whose own reference points replace the template.")
    detector: Literal["manifest", "dlib"] = choice(
        "manifest", "Landmarks from the renderer (manifest) or from dlib's 5-point predictor (extra `photos`)."
    )
    min_inter_ocular_px: float = number(
        8.0, "px", 1.0, 512.0, "An image whose reference points (eyes) are closer is left out."
    )
    multiple_faces: Literal["largest", "all"] = choice("largest", "What to take from a photo with several faces.")


class AttributeImages(Section):
    """The second image set: aligned training images that all carry the attribute."""

    minimum: int = number(50, "images", 4, 1_000_000, "Fewer images than this is an error that names the count.")


class OriginalReport(Section):
    """How close the original network's images come to real ones."""

    images: int = number(2000, "images", 16, 100_000, "Generated images for the Fréchet distance.")
    grid_images: int = number(48, "images", 4, 256, "Images of the sheet at fixed seeds.")


class AttributeReport(Section):
    """Measures on held-out images that lack the attribute."""

    count: int = number(500, "images", 2, 100_000, "Held-out images; fewer are used when the test split has fewer.")
    bootstrap: int = number(1000, "resamples", 10, 100_000, "Resamples of the subjects behind each 95 % interval.")
    threshold: float = number(0.5, "probability", 0.0, 1.0, "From here on an attribute counts as there.")
    sheet_rows: int = number(8, "faces", 1, 64, "Faces on the sheet input | edit | counterfactual | error.")


class FusionReport(Section):
    """Measures on the pairs, and mask fusion beside other ways to edit on the same generated faces."""

    count: int = number(500, "pairs", 2, 100_000, "Stored pairs, evenly spread; fewer are used where there are fewer.")
    images: int = number(200, "faces", 2, 100_000, "Generated faces without the attribute that every method edits.")
    direction_images: int = number(2000, "faces", 16, 1_000_000, "Generated faces behind the latent direction.")
    strengths: tuple[Strength, ...] = choice((0.25, 0.5, 0.75, 1.0), "Strengths of every method but the direction.")
    direction_strengths: tuple[Positive, ...] = choice((0.5, 1.0, 1.5, 2.0, 3.0), "Steps along the latent direction.")
    bootstrap: int = number(1000, "resamples", 10, 100_000, "Resamples behind each 95 % interval.")
    threshold: float = number(0.5, "probability", 0.001, 1.0, "From here on an attribute counts as there.")
    sheet_rows: int = number(6, "faces", 1, 64, "Faces on the sheet of all methods.")


class AttributeRelease(Section):
    """Registration of the editor as a model version."""

    model_prefix: Slug = choice("attribute_editor", "Registered models are called <prefix>-<attribute>.")

    def model_name(self, attribute: str) -> str:
        """The registered model of an attribute's editor."""
        return f"{self.model_prefix}-{attribute}"


class Attribute(Section):
    """One partition: what differs from the sections of all attributes. Empty braces mean: nothing."""

    regions: tuple[Slug, ...] | None = choice(None, "Regions that the attribute changes; unset: the renderer's own.")
    attribute_images: Ingest | None = choice(None, "A folder of its own for the second image set; unset: by labels.")
    feature_network: Mapping[str, JsonValue] = choice({}, "Keys of feature_network to override.")
    edit_pairs: Mapping[str, JsonValue] = choice({}, "Keys of edit_pairs to override.")
    attribute_editor: Mapping[str, JsonValue] = choice({}, "Keys of attribute_editor to override.")


class Params(Section):
    """All of `params.yaml`. Every section must be there: DVC compares them by name."""

    seed: int = Field(ge=0, le=2**31 - 1, description="Root of all randomness.", json_schema_extra={"unit": "-"})
    category: str = Field(description="What the images show: face or vehicle.", json_schema_extra={"unit": "-"})
    images: Images = Field(description="First image set.")
    split: Split = Field(description="Training, validation and test shares.")
    aligned_images: AlignedImages = Field(description="Alignment.")
    attribute_images: AttributeImages = Field(description="Second image set.")
    judge_images: JudgeImages = Field(description="Data of the judges.")
    judges: Judges = Field(description="Judges.")
    original_network: OriginalNetwork = Field(description="Original network.")
    original_report: OriginalReport = Field(description="Report on the original network.")
    feature_network: FeatureNetwork = Field(description="Feature networks.")
    edit_pairs: EditPairs = Field(description="Training pairs.")
    attribute_editor: AttributeEditor = Field(description="Editors.")
    attribute_report: AttributeReport = Field(description="Reports on the editors.")
    fusion_report: FusionReport = Field(description="Reports on the pairs and their fusion.")
    attribute_release: AttributeRelease = Field(description="Releases of the editors.")
    attributes: Mapping[AttributeSlug, Attribute] = Field(
        description="Partitions: attribute, or attributes joined by +, -> what differs for it."
    )
    compute: Compute = Field(description="Devices, threads, memory.")
    automation: Automation = Field(description="What starts by itself; everything is off until it is switched on.")

    def for_attribute(self, attribute: str) -> Params:
        """These params with the overrides of one attribute merged in; raises KeyError for an undeclared one."""
        own = self.attributes[attribute]
        return self.model_copy(
            update={
                "feature_network": overridden(self.feature_network, own.feature_network),
                "edit_pairs": overridden(self.edit_pairs, own.edit_pairs),
                "attribute_editor": overridden(self.attribute_editor, own.attribute_editor),
            }
        )


OVERRIDABLE = ("feature_network", "edit_pairs", "attribute_editor")

SectionT = TypeVar("SectionT", bound=Section)


def overridden(section: SectionT, changes: Mapping[str, Any]) -> SectionT:
    """A section with some keys replaced, nested ones merged, and checked anew; raises pydantic's ValidationError."""
    return type(section).model_validate(_merge(section.model_dump(), changes))


def _merge(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        nested = isinstance(merged.get(key), dict) and isinstance(value, Mapping)
        merged[key] = _merge(merged[key], value) if nested else value
    return merged
