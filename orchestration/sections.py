"""What `params.yaml` may say: frozen models in which every field has a unit, a bound and a one-line description.

The sections bear the names of the assets that read them. How the file is read stands in `params.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

SLUG = r"^[a-z][a-z0-9_]{0,47}$"

Slug = Annotated[str, StringConstraints(pattern=SLUG)]
LayerName = Annotated[str, StringConstraints(pattern=r"^\d+/[12]$")]


def _fraction_of_crop(point: tuple[float, float]) -> tuple[float, float]:
    if not all(0.0 < part < 1.0 for part in point):
        raise ValueError("both parts lie between 0 and 1: (x, y) in fractions of the crop")
    return point


Point = Annotated[tuple[float, float], AfterValidator(_fraction_of_crop)]
PathText = Annotated[str, StringConstraints(min_length=1)]


def _number(default: float | None, unit: str, low: float, high: float, description: str) -> Any:
    """A field with its unit, its bounds (both included) and what it means."""
    return Field(default=default, ge=low, le=high, description=description, json_schema_extra={"unit": unit})


def _choice(default: object, description: str) -> Any:
    """A field whose type already names what it may be."""
    return Field(default=default, description=description, json_schema_extra={"unit": "-"})


class Section(BaseModel):
    """A part of `params.yaml`: frozen, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Renderer(Section):
    """The procedural set: parametric faces from a seed."""

    count: int = _number(8000, "images", 16, 10_000_000, "How many images to render.")
    size_px: int = _number(96, "px", 64, 1024, "Side of a rendered image; alignment shrinks it to its own size.")
    images_per_subject: int = _number(4, "images", 1, 1000, "How many images show the same subject.")
    first_subject: int = _number(
        10_000_000,
        "subject",
        10_000_000,
        2**40,
        "First subject seed; lower ones are the shipped weights' and judges'.",
    )


class Ingest(Section):
    """A folder (or glob) of photographs, with what is known about consent."""

    path: PathText | None = _choice(None, "Folder or glob of photographs, relative to the workspace or absolute.")
    sidecar: PathText | None = _choice(None, "CSV with columns file, subject, licence, consent, attributes.")
    consent_default: Literal["granted", "withdrawn"] = _choice(
        "withdrawn", "Consent of a photo that no sidecar row speaks of; `granted` needs attested_by."
    )
    attested_by: str | None = _choice(None, "Who attests that consent_default holds; recorded in the payload.")
    min_size_px: int = _number(64, "px", 16, 4096, "A photo with a shorter side than this goes to quarantine.")
    max_pixels: int = _number(100_000_000, "px²", 4096, 2**30, "A photo with more pixels is refused before decoding.")


class Images(Section):
    """The first image set."""

    source: Literal["renderer", "folder"] = _choice("renderer", "Where the images come from.")
    renderer: Renderer = Field(default_factory=Renderer, description="Read when source is renderer.")
    ingest: Ingest = Field(default_factory=Ingest, description="Read when source is folder.")


class Split(Section):
    """Shares of the subjects; what is left is for training. A subject never changes its split."""

    validation: float = _number(0.05, "share", 0.0, 0.4, "Share of the subjects for choosing among snapshots.")
    test: float = _number(0.15, "share", 0.01, 0.5, "Share of the subjects that no network ever trains on.")


class TemplateParams(Section):
    """Where the eyes go, in fractions of the crop; left is the image's left."""

    left_eye: Point = _choice((0.37, 0.46), "(x, y) of the centre of the eye on the image's left.")
    right_eye: Point = _choice((0.63, 0.46), "(x, y) of the centre of the eye on the image's right.")


class AlignedImages(Section):
    """Alignment: a similarity transform moves the eyes to preset positions."""

    size_px: int = _number(64, "px", 32, 1024, "Side of an aligned crop; the original network draws this size.")
    template: TemplateParams = Field(default_factory=TemplateParams, description="Preset positions of the eyes.")
    reference: PathText | None = _choice(None, "An image whose own eye positions replace the template.")
    detector: Literal["manifest", "dlib"] = _choice(
        "manifest", "Landmarks from the renderer (manifest) or from dlib's 5-point predictor (extra `photos`)."
    )
    multiple_faces: Literal["largest", "all"] = _choice("largest", "What to take from a photo with several faces.")


class AttributeImages(Section):
    """The second image set: aligned training images that all carry the attribute."""

    minimum: int = _number(50, "images", 4, 1_000_000, "Fewer images than this is an error that names the count.")


class JudgeImages(Section):
    """The judges' own data: subjects that no other asset sees."""

    subjects: int = _number(3000, "subjects", 16, 100_000, "Subjects of each judge's training set.")
    images_per_subject: int = _number(10, "images", 2, 100, "Images of each of those subjects.")
    held_out_subjects: int = _number(500, "subjects", 16, 10_000, "Subjects on which the judges themselves are scored.")


class Judges(Section):
    """Frozen networks that turn images into what a metric or a loss needs."""

    source: Literal["shipped", "trained"] = _choice(
        "shipped", "`shipped` takes the pinned set that comes with Editloom; `trained` trains one on judge_images."
    )
    budget: float = _number(1.0, "×", 0.001, 100.0, "Multiplies every judge's training iterations.")


class Network(Section):
    """The StyleGAN2 architecture when training starts from nothing; shipped weights bring their own."""

    z_dim: int = _number(64, "values", 8, 1024, "Length of the latent code z.")
    w_dim: int = _number(64, "values", 8, 1024, "Length of the style code w.")
    mapping_layers: int = _number(4, "layers", 1, 16, "Fully connected layers of the mapping network.")
    max_channels: int = _number(64, "channels", 8, 512, "Channels of the 4×4 to 16×16 layers.")
    min_channels: int = _number(24, "channels", 4, 512, "Channels of the largest layers.")


class OriginalNetwork(Section):
    """Adversarial training of the original network on the aligned images."""

    start: Literal["shipped", "scratch"] = _choice("shipped", "Weights to start from.")
    kimg: float = _number(2.0, "thousand images", 0.0, 100_000, "Training images shown to the discriminator.")
    batch_size: int = _number(16, "images", 2, 1024, "Images of one iteration.")
    learning_rate: float = _number(5e-4, "-", 1e-6, 0.1, "Adam's step for generator and discriminator.")
    r1_gamma: float = _number(1.0, "-", 0.0, 1000.0, "Weight of the R1 penalty.")
    r1_interval: int = _number(16, "iterations", 1, 1024, "Iterations between two R1 penalties.")
    ema_kimg: float = _number(5.0, "thousand images", 0.0, 1000.0, "Half-life of the generator's moving average.")
    augmentation: Literal["none", "diffaugment", "ada"] = _choice("none", "Augmentation of real and generated images.")
    precision: Literal["fp32", "bf16"] = _choice("fp32", "Number format of the convolutions.")
    snapshot_kimg: float = _number(1.0, "thousand images", 0.01, 10_000, "Distance between two kept snapshots.")
    checkpoint_s: float = _number(60.0, "s", 1.0, 86_400, "Time between two checkpoints from which training resumes.")
    network: Network = Field(default_factory=Network, description="Architecture for a start from scratch.")


class OriginalReport(Section):
    """How close the original network's images come to real ones."""

    generated: int = _number(2000, "images", 16, 100_000, "Generated images for the Fréchet distance.")
    grid: int = _number(32, "images", 4, 256, "Images of the sheet at fixed seeds.")


class FeatureNetwork(Section):
    """The original network, trained on with images that carry the attribute; its mapping stays frozen."""

    kimg: float = _number(6.0, "thousand images", 0.0, 10_000, "Training images shown to the discriminator.")
    batch_size: int = _number(16, "images", 2, 1024, "Images of one iteration.")
    learning_rate: float = _number(2e-3, "-", 1e-6, 0.1, "Adam's step for generator and discriminator.")
    r1_gamma: float = _number(1.0, "-", 0.0, 1000.0, "Weight of the R1 penalty.")
    r1_interval: int = _number(16, "iterations", 1, 1024, "Iterations between two R1 penalties.")
    ema_kimg: float = _number(1.0, "thousand images", 0.0, 1000.0, "Half-life of the generator's moving average.")
    augmentation: Literal["none", "diffaugment", "ada"] = _choice("none", "Augmentation of real and generated images.")
    precision: Literal["fp32", "bf16"] = _choice("fp32", "Number format of the convolutions.")
    snapshot_kimg: float = _number(1.0, "thousand images", 0.01, 1000.0, "Distance between two scored snapshots.")
    checkpoint_s: float = _number(60.0, "s", 1.0, 86_400, "Time between two checkpoints from which training resumes.")
    score_images: int = _number(128, "images", 4, 10_000, "Codes on which each snapshot is scored.")
    identity_weight: float = _number(
        0.5, "-", 0.0, 1.0, "Weight of the pair's identity agreement against attribute probability in that score."
    )


class Fusion(Section):
    """Where and how strongly the feature network's features enter the original network."""

    layer: LayerName = _choice("32/2", "Target layer k, named resolution/convolution.")
    a: float = _number(0.1, "-", 0.0, 1.0, "Share of the original features inside the mask; best below 0.3.")
    joint: Literal["union", "intersection"] = _choice("union", "How the two networks' masks become the joint mask.")
    original_mask_layer: LayerName | Literal["end"] = _choice("end", "Layer p whose image gives the original's mask.")
    feature_mask_layer: LayerName | Literal["end"] = _choice("end", "Layer q whose image gives the feature's mask.")
    dilate_px: int = _number(1, "px", 0, 32, "How far the joint mask grows beyond the parsed region.")


class EditPairs(Section):
    """Pairs of an original image and its target image, one per latent code."""

    count: int = _number(3000, "pairs", 8, 10_000_000, "Pairs to keep.")
    batch_size: int = _number(32, "pairs", 1, 1024, "Pairs made at once; does not change what comes out.")
    truncation_psi: float = _number(0.9, "-", 0.0, 1.5, "Pulls w towards its mean; 1 leaves it alone.")
    min_probability: float = _number(0.6, "probability", 0.0, 1.0, "The target has the attribute at least so surely.")
    max_probability: float = _number(0.4, "probability", 0.0, 1.0, "The original has it at most so surely.")
    fusion: Fusion = Field(default_factory=Fusion, description="Layer, coefficient and mask of the fusion.")


class AttributeEditor(Section):
    """The image-to-image network that learns the pairs."""

    iterations: int = _number(2500, "iterations", 1, 10_000_000, "Training steps.")
    batch_size: int = _number(16, "pairs", 1, 1024, "Pairs of one iteration.")
    learning_rate: float = _number(2e-3, "-", 1e-6, 0.1, "Adam's step for the editor.")
    adversarial_weight: float = _number(0.02, "-", 0.0, 10.0, "Weight of the patch discriminator's loss.")
    checkpoint_s: float = _number(60.0, "s", 1.0, 86_400, "Time between two checkpoints from which training resumes.")


class AttributeReport(Section):
    """Measures on held-out images that lack the attribute."""

    count: int = _number(500, "images", 2, 100_000, "Held-out images; fewer are used when the test split has fewer.")
    bootstrap: int = _number(1000, "resamples", 10, 100_000, "Resamples of the subjects behind each 95 % interval.")
    sheet_rows: int = _number(8, "faces", 1, 64, "Faces on the sheet input | edit | counterfactual | error.")


class AttributeRelease(Section):
    """Registration of the editor as a model version."""

    model_prefix: Slug = _choice("attribute_editor", "Registered models are called <prefix>-<attribute>.")

    def model_name(self, attribute: str) -> str:
        """The registered model of an attribute's editor."""
        return f"{self.model_prefix}-{attribute}"


class Attribute(Section):
    """One partition: what differs from the sections of all attributes. Empty braces mean: nothing."""

    regions: tuple[Slug, ...] | None = _choice(None, "Regions that the attribute changes; unset: the renderer's own.")
    attribute_images: Ingest | None = _choice(None, "A folder of its own for the second image set; unset: by labels.")
    feature_network: Mapping[str, JsonValue] = _choice({}, "Keys of feature_network to override.")
    edit_pairs: Mapping[str, JsonValue] = _choice({}, "Keys of edit_pairs to override.")
    attribute_editor: Mapping[str, JsonValue] = _choice({}, "Keys of attribute_editor to override.")


class Compute(Section):
    """What the bulk steps run on. Not part of an asset's params: the device class stands in the ledger."""

    accelerator: Literal["auto", "cpu", "cuda"] = _choice("auto", "Kind of device; auto takes CUDA where there is one.")
    devices: int = _number(2, "devices", 1, 1024, "Bulk steps at once: GPUs, or on a CPU groups of threads.")
    threads_per_device: int = _number(1, "threads", 1, 1024, "CPU threads of one bulk step.")
    memory_gb: float = _number(4.0, "GB", 0.5, 1024.0, "Memory that one bulk step may need.")
    processes: int = _number(2, "processes", 1, 1024, "Processes that render, decode and align.")


class Params(Section):
    """All of `params.yaml`. Every section must be there: DVC compares them by name."""

    seed: int = Field(ge=0, le=2**31 - 1, description="Root of all randomness.", json_schema_extra={"unit": "-"})
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
    attribute_release: AttributeRelease = Field(description="Releases of the editors.")
    attributes: Mapping[Slug, Attribute] = Field(description="Partitions: attribute -> what differs for it.")
    compute: Compute = Field(description="Devices, threads, memory.")

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
