"""What users of the judges rely on: frozen nets, gradients to the images, sizes, names, digests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as tensor_bytes
from torch import Tensor

from data.errors import UserError
from data.render import ATTRIBUTES, REGIONS
from training.judges import JUDGES, JudgeRecord, JudgeSet, JudgesManifest, load_judges
from training.judges.clip_network import ClipNet, caption_tokens
from training.judges.learning import half_weights
from training.judges.loading import MANIFEST, build_network
from training.judges.objectives import network_for


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole set of untrained judges."""
    out = tmp_path_factory.mktemp("judges")
    records = {}
    torch.manual_seed(0)
    for spec in JUDGES:
        network = network_for(spec.kind, len(ATTRIBUTES), len(REGIONS))
        if spec.kind == "clip":
            words = caption_tokens("face")
            network = network.model_copy(update={"mean": (0.0,) * 3, "std": (1.0,) * 3, "tokens": words})
        net = build_network(spec.kind, network)
        state = half_weights(net)
        weights = tensor_bytes(net.compact(state) if isinstance(net, ClipNet) else state)
        (out / f"{spec.name}.safetensors").write_bytes(weights)
        records[spec.name] = JudgeRecord(
            kind=spec.kind,
            role=spec.role,
            file=f"{spec.name}.safetensors",
            sha256=hashlib.sha256(weights).hexdigest(),
            network=network,
            training_subjects=(0, 1),
            held_out_subjects=(1, 2),
        )
    manifest = JudgesManifest(
        format=1,
        size_px=64,
        attributes=tuple(ATTRIBUTES),
        regions=tuple(REGIONS),
        renderer_digest="",
        dataset_digest="",
        config={},
        judges=records,
        colour_histogram_rank1=0.0,
        card="",
    )
    (out / MANIFEST).write_text(manifest.model_dump_json())
    return out


@pytest.fixture(scope="module")
def judges(directory: Path) -> JudgeSet:
    return load_judges(directory)


def faces(n: int = 2, size_px: int = 64) -> Tensor:
    return torch.rand(n, 3, size_px, size_px, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_gradients_reach_the_images_and_not_the_weights(judges: JudgeSet) -> None:
    images = faces().requires_grad_()
    loss = (
        judges.identity_train.vectors(images)[:, 0].sum()
        + judges.attribute_train.probabilities(images).sum()
        + judges.parser_train.probabilities(images)[:, 0].sum()
        + judges.pose.angles_deg(images).sum()
        + judges.features.features(images).sum()
        + judges.clip_train.image_vectors(images)[:, 0].sum()
    )
    torch.autograd.backward(loss)
    assert images.grad is not None and float(images.grad.abs().sum()) > 0
    for name in judges.names:
        net = judges.judge(name).net
        assert not net.training
        assert not any(parameter.requires_grad for parameter in net.parameters())


@pytest.mark.parametrize("size_px", [32, 64, 96])
def test_masks_come_back_at_the_size_of_the_images(judges: JudgeSet, size_px: int) -> None:
    parser = judges.parser_eval
    probabilities = parser.probabilities(faces(size_px=size_px))
    assert probabilities.shape == (2, len(REGIONS), size_px, size_px)
    # float32 sums of a dozen probabilities, resized linearly
    torch.testing.assert_close(probabilities.sum(1), torch.ones(2, size_px, size_px), atol=1e-5, rtol=0)
    hard = parser.mask(faces(size_px=size_px), ["hair", "beard"])
    assert hard.shape == (2, 1, size_px, size_px)
    assert bool(((hard == 0) | (hard == 1)).all())


def test_mask_is_the_union_of_its_regions(judges: JudgeSet) -> None:
    parser = judges.parser_train
    assert torch.equal(parser.mask(faces(), list(REGIONS)), torch.ones(2, 1, 64, 64))
    both = parser.mask(faces(), REGIONS[:2])
    assert torch.equal(both, parser.mask(faces(), REGIONS[:1]) + parser.mask(faces(), REGIONS[1:2]))
    soft = parser.mask(faces(), REGIONS[:2], soft=True)
    torch.testing.assert_close(soft, parser.probabilities(faces())[:, :2].sum(1, keepdim=True))


def test_identity_vectors_are_unit_vectors(judges: JudgeSet) -> None:
    # float32 normalisation
    torch.testing.assert_close(judges.identity_eval.vectors(faces()).norm(dim=1), torch.ones(2), atol=1e-6, rtol=0)


def test_one_attribute_is_its_column(judges: JudgeSet) -> None:
    probabilities = judges.attribute_eval.probabilities(faces())
    assert probabilities.shape == (2, len(ATTRIBUTES))
    column = ATTRIBUTES.index("beard")
    assert torch.equal(judges.attribute_eval.probability(faces(), "beard"), probabilities[:, column])


def test_judging_one_image_does_not_depend_on_its_batch(judges: JudgeSet) -> None:
    images = faces(4)
    # convolution kernels may differ with the batch size: float32 rounding
    together, alone = judges.features.features(images)[2:3], judges.features.features(images[2:3])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_unknown_attribute_and_region_name_the_nearest(judges: JudgeSet) -> None:
    with pytest.raises(UserError, match="beard"):
        judges.attribute_eval.probability(faces(), "beards")
    with pytest.raises(UserError, match="hair"):
        judges.parser_train.mask(faces(), ["hairs"])


def test_changed_weights_are_refused(directory: Path, tmp_path: Path) -> None:
    copy = tmp_path / "pose.safetensors"
    data = bytearray((directory / "pose.safetensors").read_bytes())
    data[-1] ^= 1
    copy.write_bytes(bytes(data))
    (tmp_path / MANIFEST).write_text((directory / MANIFEST).read_text())
    with pytest.raises(UserError, match="sha256"):
        _ = load_judges(tmp_path).pose
    with pytest.raises(UserError, match="missing"):
        _ = load_judges(tmp_path).features


def test_missing_or_malformed_manifest_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=MANIFEST):
        load_judges(tmp_path)
    (tmp_path / MANIFEST).write_text(json.dumps({"format": 1}))
    with pytest.raises(UserError, match="not a judges manifest"):
        load_judges(tmp_path)


def test_combined_attribute_is_as_probable_as_its_least_probable_part(judges: JudgeSet) -> None:
    judge, images = judges.attribute_train, faces(6)
    beard, hair = (judge.probability(images, name) for name in ("beard", "slicked_back_hair"))
    assert torch.equal(judge.probability(images, "beard+slicked_back_hair"), torch.minimum(beard, hair))
    with pytest.raises(UserError, match="'beerd'"):
        judge.probability(images, "beerd+slicked_back_hair")
