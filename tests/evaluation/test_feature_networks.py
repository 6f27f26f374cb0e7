"""Feature networks with random weights from a file: as torch-fidelity sees, and unusable files say what is wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from data.errors import UserError
from evaluation.feature_networks import Dinov2Features, InceptionFeatures, positions_at
from evaluation.metrics.frechet import frechet_metric
from evaluation.panel import feature_vectors, judge_of
from evaluation.pixels import to_tensor


class _Untrained(FeatureExtractorInceptionV3):  # type: ignore[misc]
    """torch-fidelity's network without a file's weights."""

    def load_state_dict(self, *_: Any, **__: Any) -> None:
        """Keep what the layers drew."""


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inception")
    torch.save({}, folder / "empty.pth")
    torch.manual_seed(0)
    made = _Untrained("inception", ["2048"], feature_extractor_weights_path=str(folder / "empty.pth"))
    torch.save(made.state_dict(), folder / "weights.pth")
    return folder / "weights.pth"


@pytest.fixture(scope="module")
def dinov2_state() -> dict[str, Tensor]:
    """A state as Meta writes it: positions of 37 × 37 patches, and the token that masks them in training."""
    torch.manual_seed(1)
    net = timm.create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0, img_size=518)
    return {**net.state_dict(), "mask_token": torch.zeros(1, 384)}


def test_inception_sees_what_torch_fidelity_sees(inception_file: Path, images: np.ndarray) -> None:
    judge = InceptionFeatures(inception_file)
    theirs = FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=str(inception_file))
    (expected,) = theirs(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    found = feature_vectors(judge, images, batch_size=3)
    assert found.shape == (3, 2048) and np.array_equal(found, expected.double().numpy())
    assert judge.digest == hashlib.sha256(inception_file.read_bytes()).hexdigest()
    few = frechet_metric(found, found, judge_of(judge))
    assert (few.name, few.value) == ("fid", None) and "2048" in few.note


def test_safetensors_hold_the_same_network(inception_file: Path, images: np.ndarray, tmp_path: Path) -> None:
    save_file(torch.load(inception_file, weights_only=True), tmp_path / "weights.safetensors")
    seen = [InceptionFeatures(f).features(to_tensor(images[:1])) for f in (inception_file, *tmp_path.iterdir())]
    assert torch.equal(*seen)


def test_dinov2_gives_the_class_token_of_its_file(
    dinov2_state: dict[str, Tensor], images: np.ndarray, tmp_path: Path
) -> None:
    torch.save(dinov2_state, tmp_path / "dino.pth")
    judge = Dinov2Features(tmp_path / "dino.pth")
    found = feature_vectors(judge, images, batch_size=2)
    assert judge.name == "dinov2_vits14" and found.shape == (3, 384) and np.isfinite(found).all()
    assert not np.allclose(found[0], found[1])


def test_positions_are_resized_as_the_network_was_trained() -> None:
    """A plane that rises by 1 a patch: resized by (16 + 0.1) / 37, patch i stands at (i + ½) · 37 / 16.1 − ½."""
    rows = torch.arange(37.0)[:, None].expand(37, 37).reshape(1, -1, 1)
    resized = positions_at(torch.cat([torch.tensor([[[-5.0]]]), rows], dim=1), 16)
    assert resized.shape == (1, 257, 1) and float(resized[0, 0, 0]) == -5.0
    expected = (torch.arange(16.0) + 0.5) * 37 / 16.1 - 0.5
    inner = resized[0, 1:, 0].reshape(16, 16)[1:15, 8]  # bicubic rounds the ends, where it has no neighbours
    # PyTorch's cubic (a = −0.75) misses a straight line by up to 0.06; without the 0.1 the last would be off by 0.2.
    assert torch.allclose(inner, expected[1:15], atol=0.08)


def test_missing_file_or_other_digest_is_refused(inception_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.pth do not exist"):
        InceptionFeatures(tmp_path / "nowhere.pth")
    with pytest.raises(UserError, match="expected 00ff"):
        InceptionFeatures(inception_file, sha256="00ff")


def test_weights_of_another_network_or_shape_are_refused(inception_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not fit dinov2_vits14"):
        Dinov2Features(inception_file)
    state = torch.load(inception_file, weights_only=True)
    torch.save({**state, "fc.weight": torch.zeros(7, 2048)}, tmp_path / "short.pth")
    with pytest.raises(UserError, match=r"does not fit torch-fidelity's InceptionV3: size mismatch for fc\.weight"):
        InceptionFeatures(tmp_path / "short.pth")


def test_file_that_is_no_state_of_tensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.pth").write_text("weights")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")  # a pickle that would run code
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("words", "module", "list"):
        with pytest.raises(UserError, match=f"{name}.pth"):
            InceptionFeatures(tmp_path / f"{name}.pth")


def test_download_that_fails_names_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("evaluation.feature_networks.URL_INCEPTION_V3", "http://127.0.0.1:9/weights-6726825d.pth")
    with pytest.raises(UserError, match=r"127\.0\.0\.1:9/weights-6726825d\.pth could not be downloaded"):
        InceptionFeatures()


def test_unknown_dinov2_is_refused() -> None:
    with pytest.raises(UserError, match="Known: dinov2_vits14"):
        Dinov2Features(name="dinov2_vitg14")
