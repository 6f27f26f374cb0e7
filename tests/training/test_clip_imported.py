"""An OpenCLIP file of a user's own: read whole or refused, seen through its own statistics, nothing downloaded."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.transforms.functional import to_pil_image

from data.errors import UserError
from training.judges.open_clip_judge import OpenClipJudge, load_open_clip

NAME = "editloom-test-tiny"
WIDER = "editloom-test-wider"
LARGER = "editloom-test-larger"


def _config(width: int, image_size: int) -> dict[str, object]:
    return {
        "embed_dim": 16,
        "vision_cfg": {"image_size": image_size, "layers": 1, "width": width, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1},
    }


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a small registered architecture with random weights."""
    folder = tmp_path_factory.mktemp("open_clip")
    for name, config in {NAME: _config(32, 32), WIDER: _config(48, 32), LARGER: _config(32, 64)}.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    torch.manual_seed(0)
    path = folder / "weights.safetensors"
    model = open_clip.create_model(NAME, load_weights=False, pretrained_text=False)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def judge(weights: Path) -> OpenClipJudge:
    return load_open_clip(NAME, weights, "eval")


def test_file_is_what_the_judge_is_made_of(judge: OpenClipJudge, weights: Path, tmp_path: Path) -> None:
    assert judge.digest == hashlib.sha256(weights.read_bytes()).hexdigest()
    theirs = open_clip.create_model(NAME, pretrained=str(weights), pretrained_text=False).state_dict()
    ours = judge.net.state_dict()
    assert all(torch.equal(ours[key], value) for key, value in theirs.items())
    torch.save(theirs, tmp_path / "weights.pt")  # the other form in which they are published
    again = load_open_clip(NAME, tmp_path / "weights.pt", "eval")
    assert torch.equal(again.text_vectors(["a beard"]), judge.text_vectors(["a beard"]))
    assert again.digest != judge.digest


def test_pictures_pass_the_models_own_preprocessing(judge: OpenClipJudge) -> None:
    """Against OpenCLIP's transform of the same picture, whose two passes round to 1/255 (0.015 deviations each)."""
    levels = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8), (64, 64), mode="bicubic").clamp(0, 1)
    picture: Image.Image = to_pil_image((levels[0] * 255).round().byte())
    images = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 127.5 - 1
    theirs = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**judge.net.visual.preprocess_cfg), is_train=False
    )(picture)
    assert (judge.preprocess(images)[0] - theirs).abs().max() < 0.03
    assert (images[0].mean((1, 2)) - theirs.mean((1, 2))).abs().max() > 0.03  # unnormalised would be told


def test_statistics_of_the_model_reach_the_vectors(judge: OpenClipJudge, weights: Path) -> None:
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    before = judge.image_vectors(images)
    other = load_open_clip(NAME, weights, "eval")
    object.__setattr__(other, "mean", (0.0, 0.0, 0.0))
    assert (other.image_vectors(images) - before).abs().max() > 1e-4


def test_vectors_are_units_and_gradients_reach_the_images(judge: OpenClipJudge) -> None:
    images = (torch.rand(2, 3, 48, 48) * 2 - 1).requires_grad_()
    vectors, texts = judge.image_vectors(images), judge.text_vectors(["a beard", "no beard", "a smile"])
    assert vectors.shape == (2, 16) and texts.shape == (3, 16)
    assert torch.allclose(torch.cat([vectors, texts]).norm(dim=1), torch.ones(5), atol=1e-5)  # float32 rounding
    torch.autograd.backward((vectors @ texts.T).sum())
    assert images.grad is not None and (images.grad.flatten(1).abs().sum(1) > 0).all()
    assert not any(parameter.requires_grad for parameter in judge.net.parameters())


def test_oblong_pictures_are_not_squeezed(judge: OpenClipJudge) -> None:
    with pytest.raises(ValueError, match="square"):
        judge.image_vectors(torch.zeros(1, 3, 32, 40))


def test_unknown_architecture_names_the_nearest(weights: Path) -> None:
    with pytest.raises(UserError, match=r"no architecture 'ViT-B-23'.*Did you mean 'ViT-B-32'"):
        load_open_clip("ViT-B-23", weights, "eval")


def test_architecture_of_the_network_is_refused(weights: Path) -> None:
    with pytest.raises(UserError, match="over the network"):
        load_open_clip("roberta-ViT-B-32", weights, "eval")


def test_missing_file_is_named(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(UserError, match=r"none\.safetensors are missing"):
        load_open_clip(NAME, tmp_path / "none.safetensors", "eval")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_file_of_something_else_is_refused(tmp_path: Path, weights: Path, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(b"not weights" * 100)
    with pytest.raises(UserError, match="cannot be read"):
        load_open_clip(NAME, path, "eval")


def test_weights_of_a_wider_net_are_refused(weights: Path) -> None:
    with pytest.raises(UserError, match=r"has visual\.\S+ of shape .*expects"):
        load_open_clip(WIDER, weights, "eval")


def test_weights_of_another_image_size_are_not_stretched(weights: Path) -> None:
    """OpenCLIP's own loader interpolates the position vectors in silence."""
    with pytest.raises(UserError, match=r"visual\.positional_embedding of shape \(17, 32\).*expects \(65, 32\)"):
        load_open_clip(LARGER, weights, "eval")


def test_missing_tensor_is_told(weights: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    part = load_file(weights)
    del part["text_projection"]
    save_file(part, tmp_path / "part.safetensors")
    with pytest.raises(UserError, match="text_projection"):
        load_open_clip(NAME, tmp_path / "part.safetensors", "eval")
