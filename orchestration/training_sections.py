"""The sections of `params.yaml` that judges, networks, pairs and editors read; see `sections.py`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from orchestration.fields import KIMG, LayerName, PathText, Positive, Section, Slug, choice, number
from training.fusion_schedule import layer_order

Channels = Annotated[int, Field(ge=1, le=1024)]
MaskLayers = tuple[LayerName | None, LayerName | None]


class JudgeImages(Section):
    """The judges' own data: subjects that no other asset sees."""

    subjects: int = number(2500, "subjects", 2, 200_000, "Subjects of each pool that serves three judges.")
    single_subjects: int = number(2500, "subjects", 2, 200_000, "Subjects of the pools of pose and features.")
    images_per_subject: int = number(8, "images", 1, 64, "Training images of each of those subjects.")
    held_out_subjects: int = number(500, "subjects", 2, 200_000, "Subjects on which the judges are scored.")
    held_out_images: int = number(4, "images", 2, 64, "Held-out images of each subject; the first is the gallery's.")
    changed_share: float = number(0.5, "share", 0.0, 1.0, "Share of images with one attribute turned round.")
    render_size_px: int = number(96, "px", 64, 1024, "Side of the render before it is aligned.")
    crop_size_px: int = number(
        64, "px", 16, 64, "Side of the aligned crop; a smaller one is enlarged to 64, as in use."
    )


class Judges(Section):
    """Frozen networks that turn images into what a metric or a loss needs. All but `source` matter when trained."""

    source: Literal["shipped", "trained"] = choice(
        "shipped", "`shipped` takes the pinned set that comes with Editloom; `trained` trains one on judge_images."
    )
    identity_kimg: float = number(320.0, KIMG, 0.001, 100_000, "What an identity judge sees.")
    attribute_kimg: float = number(350.0, KIMG, 0.001, 100_000, "What an attribute judge sees.")
    parser_kimg: float = number(64.0, KIMG, 0.001, 100_000, "What a parser sees.")
    pose_kimg: float = number(240.0, KIMG, 0.001, 100_000, "What the pose judge sees.")
    features_kimg: float = number(120.0, KIMG, 0.001, 100_000, "What the features judge sees.")
    clip_kimg: float = number(320.0, KIMG, 0.001, 100_000, "What a CLIP judge sees, each image with a caption.")
    batch_size: int = number(64, "images", 2, 4096, "Images of one step; a CLIP judge takes twice as many.")
    learning_rate: float = number(3e-3, "-", 1e-6, 1.0, "Peak of the one-cycle schedule.")
    identity_learning_rate: float = number(8e-3, "-", 1e-6, 1.0, "The same for what learns whom it sees.")
    clip_learning_rate: float = number(1e-3, "-", 1e-6, 1.0, "The same for CLIP.")
    weight_decay: float = number(1e-2, "-", 0.0, 1.0, "AdamW's decoupled weight decay.")
    # Left out of what is compared and recorded: it changes no byte, and a set that stands must go on standing.
    checkpoint_every_s: float = Field(
        default=60.0,
        ge=0.0,
        le=86_400.0,
        exclude=True,
        description="From one checkpoint of a judge in training to the next.",
        json_schema_extra={"unit": "s"},
    )


class GanTraining(Section):
    """Adversarial training; the fields bear the names that `training.gan_config` gives them."""

    kimg: float = number(2.0, KIMG, 0.001, 100_000, "Real images shown to the discriminator.")
    batch_size: int = number(16, "images", 2, 1024, "Images of one iteration.")
    lr: float = number(2e-3, "-", 1e-6, 0.1, "Adam's step for generator and discriminator.")
    warmup_kimg: float = number(0.0, KIMG, 0.0, 1000.0, "Images over which the step rises from 0.")
    r1_gamma: float = number(0.2, "-", 0.0, 1000.0, "Weight of the discriminator's gradient penalty.")
    r1_interval: int = number(16, "iterations", 1, 1024, "Iterations between two gradient penalties.")
    ema_kimg: float = number(5.0, KIMG, 0.001, 1000.0, "Half-life of the generator's moving average.")
    ema_rampup: float | None = number(
        0.05,
        "share",
        0.001,
        1.0,
        "Half-life at most this share of the images shown so far; null: the full one at once.",
    )
    mirror: bool = choice(False, "Flip half of the real images left to right.")
    augment: Literal["none", "diffaugment", "ada"] = choice("none", "Augmentation for small sets.")
    precision: Literal["fp32", "bf16"] = choice("bf16", "Number format of features; parameters stay fp32.")
    snapshot_kimg: float = number(1.0, KIMG, 0.001, 10_000, "From one kept snapshot to the next.")
    checkpoint_every_s: float = number(60.0, "s", 0.0, 86_400, "From one checkpoint to the next.")


class Network(Section):
    """The StyleGAN2 architecture when training starts from nothing; shipped weights bring their own."""

    z_dim: int = number(64, "values", 8, 1024, "Length of the latent code z.")
    w_dim: int = number(64, "values", 8, 1024, "Length of the style code w.")
    mapping_layers: int = number(4, "layers", 1, 16, "Fully connected layers of the mapping network.")
    channels: Mapping[int, Channels] = choice(
        {}, "Channels by resolution (4: 64, 8: 64, …); empty: the small network's."
    )


class OriginalNetwork(GanTraining):
    """Adversarial training of the original network on the aligned images."""

    start: Literal["shipped", "scratch"] = choice("shipped", "Weights to start from.")
    network: Network = Field(default_factory=Network, description="Architecture for a start from scratch.")


class SnapshotChoice(Section):
    """When to stop: each snapshot's score on held-out codes; the fields bear `training.snapshot_choice`'s names."""

    codes: int = number(256, "codes", 1, 100_000, "Held-out codes that every snapshot draws.")
    identity_exponent: float = number(0.5, "-", 0.0, 16.0, "How much the identity judge counts; 0: not at all.")
    pose_scale_deg: float = number(20.0, "degrees", 0.01, 1000.0, "Change of pose that costs a factor of e.")


class FeatureNetwork(GanTraining):
    """The original network, trained on with images that carry the attribute; its mapping stays frozen."""

    snapshots: SnapshotChoice = Field(
        default_factory=SnapshotChoice, description="How the best snapshot is chosen, which is what goes on."
    )


class FusionLayer(Section):
    """One fusion of a schedule."""

    layer: LayerName = choice("32/2", "Fusion layer k, named resolution/convolution.")
    a: float = number(0.1, "-", 0.0, 1.0, "Share of the original features inside the mask; best below 0.3.")
    mask: Literal["target"] | MaskLayers = choice(
        "target", "The joint mask of mask_layers, or layers [p, q] of one updated for this fusion."
    )


def _rising(layers: tuple[FusionLayer, ...]) -> tuple[FusionLayer, ...]:
    names = [spec.layer for spec in layers]
    if any(layer_order(before) >= layer_order(after) for before, after in pairwise(names)):
        raise ValueError(f"fusion layers rise strictly, as the network runs, not {', '.join(names)}")
    return layers


Schedule = Annotated[tuple[FusionLayer, ...], Field(min_length=1), AfterValidator(_rising)]


class Fusion(Section):
    """Where and how strongly the feature network's features enter the original network."""

    input: Literal["z", "w"] = choice("w", "What both networks are given: z, or the w that the original makes of it.")
    joint: Literal["union", "intersection"] = choice("union", "How the two networks' masks become the joint mask.")
    mask_layers: MaskLayers = choice((None, None), "Layers p and q whose images give the masks; null: the end layer.")
    smaller: Schedule = choice((FusionLayer(),), "Fusions of a simple edit.")
    larger: Schedule = choice((FusionLayer(layer="16/2"), FusionLayer()), "Fusions of a complex edit.")
    complexity_threshold: float = number(
        2.5,
        "-",
        0.0,
        1000.0,
        "From this complexity on the larger: attributes × (1 + region's share of the image / 0.25).",
    )


class OnnxParser(Section):
    """A face parser in an ONNX file; the fields bear `training.mask_config`'s names."""

    path: PathText | None = choice(None, "The file, relative to the workspace or absolute.")
    size_px: int = number(512, "px", 16, 4096, "Side of the images that the model takes.")
    labels: Mapping[Slug, tuple[Annotated[int, Field(ge=0, le=65_535)], ...]] = choice(
        {}, "Region: numbers of the model's classes that belong to it (hair: [17])."
    )
    mean: tuple[float, float, float] = choice(
        (0.485, 0.456, 0.406), "Subtracted from images in 0…1, in the model's order of channels."
    )
    std: tuple[Positive, Positive, Positive] = choice((0.229, 0.224, 0.225), "What they are divided by after that.")
    order: Literal["RGB", "BGR"] = choice("RGB", "Order of the channels that the model takes.")


class Mask(Section):
    """Where an image carries the attribute's region."""

    source: Literal["judge", "onnx", "python"] = choice(
        "judge", "The parser judge, an ONNX face parser, or a function of yours."
    )
    dilate_px: int = number(1, "px", 0, 64, "How far each mask is widened.")
    onnx: OnnxParser = Field(default_factory=OnnxParser, description="Read when source is onnx.")
    entry_point: PathText | None = choice(
        None, "module:function in the workspace or installed: images N×3×H×W in -1…1 to masks N×1×H×W in 0…1."
    )


class EditPairs(Section):
    """Pairs of an original image and its target image, one per latent code."""

    count: int = number(3000, "pairs", 8, 10_000_000, "Pairs to keep.")
    fusion: Fusion = Field(default_factory=Fusion, description="Layer, coefficient and masks of the fusion.")
    mask: Mask = Field(default_factory=Mask, description="Where the masks of the fusion come from.")
    truncation_psi: float = number(1.0, "-", 0.0, 1.0, "Pulls w towards its mean; 1 leaves it alone.")
    min_probability: float = number(0.8, "probability", 0.0, 1.0, "The target has the attribute at least so surely.")
    max_probability: float = number(0.2, "probability", 0.0, 1.0, "The original has it at most so surely.")
    max_change_outside: float = number(0.1, "of the range", 0.0, 1.0, "Mean change outside the mask at most.")
    min_psnr_outside: float = number(0.0, "dB", 0.0, 60.0, "PSNR outside the region of either image at least.")
    min_identity: float = number(-1.0, "cosine", -1.0, 1.0, "Likeness of original and target at least; -1: any.")
    min_mask_area: float = number(0.005, "share", 0.0, 1.0, "Share of the image that the joint mask must cover.")
    batch_size: int = number(16, "pairs", 1, 4096, "Candidates computed at once.")
    max_candidates_per_pair: int = number(20, "candidates", 1, 10_000, "Tries per pair before giving up.")


class AttributeEditor(Section):
    """The image-to-image network that learns the pairs; the fields bear `training.editor.config`'s names."""

    kimg: float = number(32.0, "thousand pairs", 0.001, 100_000, "Pairs to train on, repeats included.")
    batch_size: int = number(16, "pairs", 1, 1024, "Pairs of one iteration.")
    lr: float = number(3e-3, "-", 1e-6, 1.0, "Adam's peak step for the editor.")
    discriminator_lr: float = number(5e-4, "-", 1e-6, 1.0, "Adam's step for the patch discriminator.")
    warmup: float = number(0.03, "share", 0.0, 1.0, "Share of the training in which the step rises.")
    ema_kimg: float = number(1.0, "thousand pairs", 0.0, 1000.0, "Half-life of the weights' moving average.")
    channels: tuple[Channels, Channels, Channels] = choice(
        (32, 64, 96), "Channels at 1/2, 1/4, 1/8 of the side; deeper levels double them up to 192."
    )
    detail_channels: int = number(16, "channels", 4, 128, "Channels at the full side.")
    levels: int | None = number(None, "halvings", 3, 8, "Halvings of the side; null: until 16 px or less are left.")
    blend: bool = choice(True, "Blend with the input by a predicted mask: outside it pixels stay the input's own.")
    inside_weight: float = number(1.0, "-", 0.0, 1000.0, "Weight of the error inside the mask.")
    outside_weight: float = number(1.0, "-", 0.0, 1000.0, "Weight of the change outside the mask.")
    alpha_weight: float = number(0.5, "-", 0.0, 1000.0, "Weight of the blending mask's supervision.")
    adversarial_weight: float = number(0.02, "-", 0.0, 1000.0, "Weight of the patch discriminator; 0: none.")
    adversarial_from: float = number(0.4, "share", 0.0, 1.0, "Share of the training before it joins.")
    discriminator_scales: int | None = number(
        None, "scales", 1, 4, "Sizes at which it looks; null: 1, from 256 px 2, from 512 px 3."
    )
    attribute_weight: float = number(0.0, "-", 0.0, 1000.0, "Weight of the training attribute judge; 0: none.")
    identity_weight: float = number(0.0, "-", 0.0, 1000.0, "Weight of the training identity judge; 0: none.")
    precision: Literal["fp32", "bf16", "fp16"] = choice("fp32", "Number format of the convolutions; fp16: GPU only.")
    compile: bool = choice(False, "Compile the editor's forward; GPU only.")
    checkpoint_every_s: float = number(60.0, "s", 0.1, 86_400, "From one checkpoint to the next.")
