"""The snapshot that is kept shows the attribute and still knows the faces; the curve is the same each time."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from data.errors import UserError
from training.draws import Purpose
from training.sampling import latents, layer_noise
from training.snapshot_choice import (
    CURVE_FILE,
    ChoiceJudges,
    SnapshotChoiceConfig,
    SnapshotScore,
    choose,
    score,
    score_snapshots,
    write_curve,
)
from training.stylegan2 import Generator, GeneratorConfig
from training.weights_io import load_gan, load_generator, save_generator

SHAPE = GeneratorConfig(size_px=16, channels={4: 8, 8: 8, 16: 8}, z_dim=8, w_dim=8, mapping_layers=2)
CONFIG = SnapshotChoiceConfig(codes=10, batch_size=4, seed=3, identity_exponent=2.0, pose_scale_deg=10.0)


def generator(seed: int = 0) -> Generator:
    torch.manual_seed(seed)
    return Generator(SHAPE).eval().requires_grad_(False)


def drifted(original: Generator, amount: float) -> Generator:
    """The original network after a fine-tuning that brightens every image, and disturbs its features more and more."""
    network = generator()
    network.load_state_dict(original.state_dict())
    torch.manual_seed(1)
    for name, parameter in network.synthesis.named_parameters():
        parameter.add_(torch.randn_like(parameter), alpha=amount * (1 if "rgb" in name else 0.3))
    return network


def directions(images: Tensor) -> Tensor:
    """Unit vectors of what is in the images: N×768."""
    return torch.nn.functional.normalize(images.flatten(1), dim=1)


def judges() -> ChoiceJudges:
    """Plain functions of the images, of the judges' shapes."""
    return ChoiceJudges(
        probability=lambda images: torch.sigmoid(images.mean(dim=(1, 2, 3))),
        identity=directions,
        angles_deg=lambda images: images[:, :, 0, :].mean(dim=2) * 30,
    )


def test_score_falls_with_each_disagreement_alone() -> None:
    whole = score(0.9, 0.8, 3.0, CONFIG)
    assert whole == pytest.approx(0.9 * 0.8**2 * math.exp(-0.3))
    assert all(score(*worse, CONFIG) < whole for worse in ((0.8, 0.8, 3.0), (0.9, 0.7, 3.0), (0.9, 0.8, 4.0)))
    assert score(0.9, -0.1, 3.0, CONFIG) == 0.0  # a face turned into another: never a root of a negative number
    blind = CONFIG.model_copy(update={"identity_exponent": 0.0})
    assert score(0.9, -0.1, 3.0, blind) == pytest.approx(0.9 * math.exp(-0.3))


def test_best_of_too_short_too_long_and_between_is_chosen() -> None:
    curve = [
        SnapshotScore(kimg, p, cosine, deg, score(p, cosine, deg, CONFIG))
        for kimg, p, cosine, deg in [(1, 0.1, 0.99, 0.5), (2, 0.9, 0.9, 1.5), (3, 0.97, 0.6, 4.0), (4, 0.9, 0.9, 1.5)]
    ]
    assert choose(curve).kimg == 2  # the later equal one has trained for nothing
    with pytest.raises(ValueError, match="no snapshot"):
        choose([])


def test_untouched_network_agrees_with_itself_in_full() -> None:
    original = generator()
    (point,) = score_snapshots(original, [(0.0, original)], judges(), CONFIG)
    # float32 cosines of unit vectors of 768 numbers: rounding alone.
    assert point.identity_cosine == pytest.approx(1.0, abs=1e-5) and point.pose_change_deg == 0.0
    assert point.score == pytest.approx(point.probability, abs=1e-5)


def test_measures_are_the_means_over_held_out_codes_drawn_apart() -> None:
    original, later = generator(), drifted(generator(), 0.2)
    (point,) = score_snapshots(original, [(1.0, later)], judges(), CONFIG)
    indices = torch.arange(CONFIG.codes)
    ws = original.mapping(latents(CONFIG.seed, indices, SHAPE.z_dim, Purpose.CHOICE_LATENTS))
    noise = layer_noise(CONFIG.seed, indices, original.synthesis.layer_sizes, Purpose.CHOICE_NOISE)
    before, after = (network.synthesis(ws, noise).clamp(-1, 1) for network in (original, later))
    see = judges()
    # Batches of 4 against one of 10: the order of float32 sums.
    assert point.probability == pytest.approx(float(see.probability(after).mean()), abs=1e-5)
    assert point.identity_cosine == pytest.approx(
        float((directions(before) * directions(after)).sum(1).mean()), abs=1e-5
    )
    turned = (see.angles_deg(after) - see.angles_deg(before)).norm(dim=1).mean()
    assert point.pose_change_deg == pytest.approx(float(turned), abs=1e-4)


def test_codes_of_the_choice_are_never_those_of_pairs() -> None:
    indices = torch.arange(64)
    ours, theirs = latents(3, indices, 8, Purpose.CHOICE_LATENTS), latents(3, indices, 8)
    assert not set(ours.flatten().tolist()) & set(theirs.flatten().tolist())
    mine = layer_noise(3, indices[:2], {"4/1": 4}, Purpose.CHOICE_NOISE)["4/1"]
    assert not torch.equal(mine, layer_noise(3, indices[:2], {"4/1": 4})["4/1"])
    assert len({purpose.value for purpose in Purpose}) == len(Purpose.__members__), "two purposes share their numbers"


def test_curve_falls_as_the_network_drifts_and_is_the_same_again(tmp_path: Path) -> None:
    original = generator()
    amounts = (0.05, 0.2, 0.8)
    curves = []
    for name in ("first", "again"):
        networks = ((amount, drifted(original, amount)) for amount in amounts)
        curve = tuple(score_snapshots(original, networks, judges(), CONFIG))
        (tmp_path / name).mkdir()
        write_curve(tmp_path / name, curve, CONFIG)
        curves.append(curve)
    cosines = [point.identity_cosine for point in curves[0]]
    assert cosines == sorted(cosines, reverse=True) and cosines[0] > cosines[-1] + 0.05
    assert (tmp_path / "first" / CURVE_FILE).read_bytes() == (tmp_path / "again" / CURVE_FILE).read_bytes()
    document = json.loads((tmp_path / "first" / CURVE_FILE).read_text())
    assert [point["kimg"] for point in document["snapshots"] if point["chosen"]] == [choose(curves[0]).kimg]


def test_generator_alone_reads_back_and_is_no_start_of_a_training(tmp_path: Path) -> None:
    network = generator()
    save_generator(tmp_path, network)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["generator.safetensors", "network.json"]
    again = load_generator(tmp_path)
    assert again.config == SHAPE
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), again.state_dict().values(), strict=True)
    )
    with pytest.raises(UserError, match=r"network\.json"):
        load_gan(tmp_path)
