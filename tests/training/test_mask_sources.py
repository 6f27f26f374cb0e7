"""Mask sources: each finds the region it is asked for, and one that gives no mask is told before it makes anything.

The parser judge is the shipped one; the ONNX files are real ones that know a class by its colour.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from data.errors import UserError
from training.joint_mask import dilate
from training.judges import JudgeSet, load_judges
from training.judges.loading import SHIPPED_DIR
from training.mask_sources import MaskConfig, mask_digest, mask_source

SIZE_PX, MODEL_PX = 32, 16
RED, GREEN, BLUE = 0, 1, 2


@pytest.fixture(scope="module")
def judges() -> JudgeSet:
    return load_judges(SHIPPED_DIR)


@pytest.fixture(autouse=True)
def _path_as_before() -> Iterator[None]:
    """Loading a user's module leaves its directory on the path."""
    before = list(sys.path)
    yield
    sys.path[:] = before


def colour_parser(path: Path, output: str = "scores", batch: int | str = "batch", scale: float = 1.0) -> Path:
    """A parser whose class is the channel with the largest value: a 1×1 convolution, an argmax where asked for."""
    weight = numpy_helper.from_array((np.eye(3, dtype=np.float32) * scale)[:, :, None, None], "weight")
    nodes = [helper.make_node("Conv", ["image", "weight"], ["scores"])]
    place = [batch, 3, MODEL_PX, MODEL_PX]
    if output == "scores":
        result = helper.make_tensor_value_info("scores", TensorProto.FLOAT, place)
    else:
        keep = int(output == "ids4")
        nodes.append(helper.make_node("ArgMax", ["scores"], [output], axis=1, keepdims=keep))
        shape = [batch, *([1] * keep), MODEL_PX, MODEL_PX]
        result = helper.make_tensor_value_info(output, TensorProto.INT64, shape)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, place)
    graph = helper.make_graph(nodes, "parser", [image], [result], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def red_square(count: int = 2) -> Tensor:
    """A red square on blue, aligned with the model's pixels."""
    images = torch.full((count, 3, SIZE_PX, SIZE_PX), -1.0)
    images[:, BLUE] = 0.5
    images[:, RED, 8:16, 8:16], images[:, BLUE, 8:16, 8:16] = 1.0, -1.0
    return images


def square_mask(count: int = 2) -> Tensor:
    mask = torch.zeros(count, 1, SIZE_PX, SIZE_PX)
    mask[..., 8:16, 8:16] = 1
    return mask


def onnx_config(path: Path | str | None, **changes: object) -> MaskConfig:
    settings: dict[str, object] = {
        "path": None if path is None else str(path),
        "size_px": MODEL_PX,
        "labels": {"hair": [RED], "skin": [GREEN, BLUE]},
        "mean": (0.0, 0.0, 0.0),
        "std": (1.0, 1.0, 1.0),
    }
    return MaskConfig.model_validate({"source": "onnx", "dilate_px": 0, "onnx": settings | changes})


def iou(first: Tensor, second: Tensor) -> float:
    return float((first * second).sum() / torch.maximum(first, second).sum())


def test_judge_is_the_training_parser_widened(judges: JudgeSet) -> None:
    source = mask_source(MaskConfig(dilate_px=2), ("hair",), judges, 64)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert torch.equal(source(images), dilate(judges.parser_train.mask(images, ("hair",)), 2))


@pytest.mark.parametrize("output", ["scores", "ids", "ids4"])
@pytest.mark.parametrize("batch", ["batch", 1, 3])
def test_onnx_parser_finds_the_region(judges: JudgeSet, tmp_path: Path, output: str, batch: int | str) -> None:
    path = colour_parser(tmp_path / "parser.onnx", output, batch)
    source = mask_source(onnx_config(path), ("hair",), judges, SIZE_PX)
    mask = source(red_square(4))
    assert mask.shape == (4, 1, SIZE_PX, SIZE_PX)
    assert iou(mask, square_mask(4)) > 0.75  # enlarging from 16 to 32 px softens the square's edge


def test_onnx_parser_is_given_what_the_settings_say(judges: JudgeSet, tmp_path: Path) -> None:
    """BGR turns red into blue, a mean that hides red too: each must show in the mask."""
    path = colour_parser(tmp_path / "parser.onnx")
    blue = mask_source(onnx_config(path, order="BGR", labels={"hair": [BLUE]}), ("hair",), judges, SIZE_PX)
    assert iou(blue(red_square()), square_mask()) > 0.75
    hidden = mask_source(onnx_config(path, mean=(5.0, 0.0, 0.0)), ("hair",), judges, SIZE_PX)
    assert hidden(red_square()).sum() == 0
    stretched = mask_source(onnx_config(path, std=(1e3, 1.0, 1.0), mean=(0, -0.1, 0)), ("hair",), judges, SIZE_PX)
    assert stretched(red_square()).sum() == 0


def test_regions_of_an_onnx_parser_join_and_widen(judges: JudgeSet, tmp_path: Path) -> None:
    path = colour_parser(tmp_path / "parser.onnx")
    both = mask_source(onnx_config(path), ("hair", "skin"), judges, SIZE_PX)
    assert torch.equal(both(red_square()), torch.ones(2, 1, SIZE_PX, SIZE_PX))
    narrow, wide = (
        mask_source(onnx_config(path).model_copy(update={"dilate_px": px}), ("hair",), judges, SIZE_PX) for px in (0, 2)
    )
    assert torch.equal(wide(red_square()), dilate(narrow(red_square()), 2))


def spoiled(tmp_path: Path, **changes: object) -> MaskConfig:
    path = colour_parser(tmp_path / "parser.onnx")
    return onnx_config(**{"path": path, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"labels": {"hairs": [0]}}, "onnx.labels: there is no region 'hairs'. Did you mean 'hair'"),
        ({"labels": {"skin": [1]}}, r"onnx.labels has no region 'hair'.*it has: skin"),
        ({"labels": {"hair": [3]}}, r"onnx.labels.hair is \[3\], but the model knows classes 0 to 2"),
        ({"size_px": 64}, r"onnx: the model refused \[2, 3, 64, 64\] images"),
        ({"path": "nowhere.onnx"}, "onnx.path: there is no file"),
        ({"path": None}, "onnx.path is not set, but edit_pairs.mask.source is onnx"),
    ],
)
def test_wrong_onnx_settings_name_their_key(
    judges: JudgeSet, tmp_path: Path, changes: dict[str, object], expected: str
) -> None:
    with pytest.raises(UserError, match=f"edit_pairs.mask.{expected}"):
        mask_source(spoiled(tmp_path, **changes), ("hair",), judges, SIZE_PX, root=tmp_path)


def test_file_that_is_no_model_is_told(judges: JudgeSet, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(UserError, match=r"text\.onnx is no usable ONNX model"):
        mask_source(onnx_config(tmp_path / "text.onnx"), ("hair",), judges, SIZE_PX)


def test_paths_are_found_from_the_workspace(judges: JudgeSet, tmp_path: Path) -> None:
    colour_parser(tmp_path / "parser.onnx")
    assert mask_source(onnx_config(Path("parser.onnx")), ("hair",), judges, SIZE_PX, root=tmp_path)


def function_config(tmp_path: Path, name: str, body: str) -> MaskConfig:
    """A user's module of its own name: what was imported once stays."""
    (tmp_path / f"{name}.py").write_text(f"import torch\n\ndef mask(images):\n    {body}\n")
    return MaskConfig(source="python", dilate_px=0, entry_point=f"{name}:mask")


def test_function_of_the_users_makes_the_mask(judges: JudgeSet, tmp_path: Path) -> None:
    config = function_config(tmp_path, "mask_by_red", "return (images[:, :1] > 0).double()")
    mask = mask_source(config, ("hair",), judges, SIZE_PX, root=tmp_path)(red_square())
    assert mask.dtype == torch.float32
    assert torch.equal(mask, square_mask())


def test_function_that_writes_into_its_argument_does_no_harm(judges: JudgeSet, tmp_path: Path) -> None:
    config = function_config(tmp_path, "mask_in_place", "return images.zero_()[:, :1]")
    images = red_square()
    mask_source(config, ("hair",), judges, SIZE_PX, root=tmp_path)(images)
    assert torch.equal(images, red_square())


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("mask_three", "return images * 0", r"gave torch.float32 \[2, 3, 32, 32\]"),
        ("mask_small", "return images[:, :1, ::2, ::2] * 0", r"gave torch.float32 \[2, 1, 16, 16\]"),
        ("mask_whole", "return images[:, :1] > 0", r"gave torch.bool \[2, 1, 32, 32\]"),
        ("mask_range", "return images[:, :1]", r"gave values from -0.\d+ to 0.\d+|gave values from -1 to "),
        ("mask_nan", "return images[:, :1] * float('nan')", "gave values that are not finite"),
        ("mask_array", "return images[:, :1].numpy()", "gave a ndarray"),
        ("mask_fails", "return 1 / 0", "the function failed: ZeroDivisionError"),
    ],
)
def test_function_that_gives_no_mask_is_told_at_the_start(
    judges: JudgeSet, tmp_path: Path, name: str, body: str, expected: str
) -> None:
    config = function_config(tmp_path, name, body)
    with pytest.raises(UserError, match=f"edit_pairs.mask.entry_point.*({expected})"):
        mask_source(config, ("hair",), judges, SIZE_PX, root=tmp_path)


def test_function_that_goes_wrong_later_is_told_too(judges: JudgeSet, tmp_path: Path) -> None:
    config = function_config(tmp_path, "mask_later", "return images[:, :1] / images[:, :1]")
    source = mask_source(config, ("hair",), judges, SIZE_PX, root=tmp_path)
    with pytest.raises(UserError, match="not finite"):
        source(torch.zeros(1, 3, SIZE_PX, SIZE_PX))


@pytest.mark.parametrize(
    ("entry_point", "expected"),
    [
        (None, "is not set, but edit_pairs.mask.source is python"),
        ("my_masks", "expected `module:function`"),
        ("no_such_masks:mask", "there is no module 'no_such_masks'"),
        ("os.path:", "expected `module:function`"),
        ("mask_there:nothing", "has no function 'nothing'"),
        ("mask_broken:mask", "importing mask_broken failed: NameError"),
        ("data:mask", "is hidden by"),
    ],
)
def test_entry_point_that_leads_nowhere_is_told(
    judges: JudgeSet, tmp_path: Path, entry_point: str | None, expected: str
) -> None:
    function_config(tmp_path, "mask_there", "return images[:, :1] * 0")
    function_config(tmp_path, "data", "return images[:, :1] * 0")
    (tmp_path / "mask_broken.py").write_text("nonsense")
    config = MaskConfig(source="python", entry_point=entry_point)
    with pytest.raises(UserError, match=f"edit_pairs.mask.entry_point.*{expected}"):
        mask_source(config, ("hair",), judges, SIZE_PX, root=tmp_path)


def test_function_in_a_package_is_found_and_installed_ones_too(judges: JudgeSet, tmp_path: Path) -> None:
    package = tmp_path / "mask_package"
    package.mkdir()
    (package / "__init__.py").touch()
    function_config(package, "inner", "return (images[:, :1] > 0).float()")
    config = MaskConfig(source="python", dilate_px=0, entry_point="mask_package.inner:mask")
    assert torch.equal(mask_source(config, (), judges, SIZE_PX, root=tmp_path)(red_square()), square_mask())
    installed = MaskConfig(source="python", entry_point="torch.nn.functional:relu")
    with pytest.raises(UserError, match=r"gave torch.float32 \[2, 3, 32, 32\]"):  # it was found, but makes no mask
        mask_source(installed, (), judges, SIZE_PX, root=tmp_path)


def test_digest_is_that_of_what_makes_the_masks(judges: JudgeSet, tmp_path: Path) -> None:
    path = colour_parser(tmp_path / "parser.onnx")
    first = mask_digest(onnx_config(path), judges)
    assert first == hashlib.sha256(path.read_bytes()).hexdigest()
    colour_parser(path, scale=2.0)
    assert mask_digest(onnx_config(path), judges) != first
    function = function_config(tmp_path, "mask_digested", "return images[:, :1] * 0")
    before = mask_digest(function, judges, tmp_path)
    function_config(tmp_path, "mask_digested", "return images[:, :1] * 1")
    assert mask_digest(function, judges, tmp_path) != before
    assert mask_digest(MaskConfig(), judges) == judges.digests["parser_train"]
