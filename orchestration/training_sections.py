"""The sections of `params.yaml` that judges, networks, pairs and editors read; see `sections.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from orchestration.fields import KIMG, LayerName, Section, choice, number


class JudgeImages(Section):
    """The judges' own data: subjects that no other asset sees."""

    subjects: int = number(2500, "subjects", 2, 200_000, "Subjects of each pool that serves three judges.")
    single_subjects: int = number(1000, "subjects", 2, 200_000, "Subjects of the pools of pose and features.")
    images_per_subject: int = number(8, "images", 1, 64, "Training images of each of those subjects.")
    held_out_subjects: int = number(500, "subjects", 2, 200_000, "Subjects on which the judges are scored.")
    held_out_images: int = number(4, "images", 2, 64, "Held-out images of each subject; the first is the gallery's.")
    changed_share: float = number(0.5, "share", 0.0, 1.0, "Share of images with one attribute turned round.")
    render_size_px: int = number(96, "px", 64, 1024, "Side of the render before it is aligned.")


class Judges(Section):
    """Frozen networks that turn images into what a metric or a loss needs. All but `source` matter when trained."""

    source: Literal["shipped", "trained"] = choice(
        "shipped", "`shipped` takes the pinned set that comes with Editloom; `trained` trains one on judge_images."
    )
    identity_kimg: float = number(320.0, KIMG, 0.001, 100_000, "What an identity judge sees.")
    attribute_kimg: float = number(150.0, KIMG, 0.001, 100_000, "What an attribute judge sees.")
    parser_kimg: float = number(64.0, KIMG, 0.001, 100_000, "What a parser sees.")
    pose_kimg: float = number(120.0, KIMG, 0.001, 100_000, "What the pose judge sees.")
    features_kimg: float = number(120.0, KIMG, 0.001, 100_000, "What the features judge sees.")
    batch_size: int = number(64, "images", 2, 4096, "Images of one step.")
    learning_rate: float = number(3e-3, "-", 1e-6, 1.0, "Peak of the one-cycle schedule.")
    identity_learning_rate: float = number(8e-3, "-", 1e-6, 1.0, "The same for what learns whom it sees.")
    weight_decay: float = number(1e-2, "-", 0.0, 1.0, "AdamW's decoupled weight decay.")


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
    channels: Mapping[int, Annotated[int, Field(ge=1, le=1024)]] = choice(
        {}, "Channels by resolution (4: 64, 8: 64, …); empty: the small network's."
    )


class OriginalNetwork(GanTraining):
    """Adversarial training of the original network on the aligned images."""

    start: Literal["shipped", "scratch"] = choice("shipped", "Weights to start from.")
    network: Network = Field(default_factory=Network, description="Architecture for a start from scratch.")


class FeatureNetwork(GanTraining):
    """The original network, trained on with images that carry the attribute; its mapping stays frozen."""


class Fusion(Section):
    """Where and how strongly the feature network's features enter the original network."""

    layer: LayerName = choice("32/2", "Target layer k, named resolution/convolution.")
    a: float = number(0.1, "-", 0.0, 1.0, "Share of the original features inside the mask; best below 0.3.")
    joint: Literal["union", "intersection"] = choice("union", "How the two networks' masks become the joint mask.")
    mask_layers: tuple[LayerName | None, LayerName | None] = choice(
        (None, None), "Layers p and q whose images give the masks; null: the end layer."
    )


class EditPairs(Section):
    """Pairs of an original image and its target image, one per latent code."""

    count: int = number(3000, "pairs", 8, 10_000_000, "Pairs to keep.")
    fusion: Fusion = Field(default_factory=Fusion, description="Layer, coefficient and masks of the fusion.")
    dilate_px: int = number(1, "px", 0, 64, "How far each parsed region is widened.")
    truncation_psi: float = number(1.0, "-", 0.0, 1.0, "Pulls w towards its mean; 1 leaves it alone.")
    min_probability: float = number(0.8, "probability", 0.0, 1.0, "The target has the attribute at least so surely.")
    max_probability: float = number(0.2, "probability", 0.0, 1.0, "The original has it at most so surely.")
    max_change_outside: float = number(0.1, "of the range", 0.0, 1.0, "Mean change outside the mask at most.")
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
    inside_weight: float = number(1.0, "-", 0.0, 1000.0, "Weight of the error inside the mask.")
    outside_weight: float = number(1.0, "-", 0.0, 1000.0, "Weight of the change outside the mask.")
    alpha_weight: float = number(0.5, "-", 0.0, 1000.0, "Weight of the blending mask's supervision.")
    adversarial_weight: float = number(0.02, "-", 0.0, 1000.0, "Weight of the patch discriminator; 0: none.")
    adversarial_from: float = number(0.4, "share", 0.0, 1.0, "Share of the training before it joins.")
    attribute_weight: float = number(0.0, "-", 0.0, 1000.0, "Weight of the training attribute judge; 0: none.")
    precision: Literal["fp32", "bf16"] = choice("fp32", "Number format of the convolutions.")
    checkpoint_every_s: float = number(60.0, "s", 0.1, 86_400, "From one checkpoint to the next.")
