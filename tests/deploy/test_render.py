"""Rendering: a mistake in a values file is told by file and key, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from data.errors import UserError
from deploy.render import read
from deploy.settings import Deployment

RENDER = Path(__file__).parents[2] / "deploy" / "render.py"


def told(tmp_path: Path, text: str) -> UserError:
    path = tmp_path / "values.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read(path)
    assert str(path) in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("values", "key", "said"),
    [
        ({"postgress": {}}, "postgress", "postgres"),
        ({"ray": {"workers": {"gpu": {"replica": 2}}}}, "ray.workers.gpu.replica", "replicas"),
        ({"image": "editloom"}, "image", "tag other than latest"),
        ({"image": "registry:5000/editloom:latest"}, "image", "tag other than latest"),
        ({"image": "editloom@sha256:1234"}, "image", "digest"),
        ({"workspace": {"size": "200 GB"}}, "workspace.size", "4Gi"),
        ({"store": {"dvc": "/mnt/dvc"}}, "store.dvc", "s3://"),
        ({"name": "Team_A"}, "name", "Prefix"),
        ({"runs": {"at_once": 0}}, "runs.at_once", "runs"),
    ],
)
def test_wrong_value_is_told_by_its_key(tmp_path: Path, values: Mapping[str, Any], key: str, said: str) -> None:
    error = told(tmp_path, yaml.safe_dump(values))
    assert f"`{key}`" in error.message
    assert said in error.message + error.hint


@pytest.mark.parametrize("image", ["editloom:0.1.0", "registry:5000/a/editloom:1", f"editloom@sha256:{'a' * 64}"])
def test_pinned_image_is_taken(image: str) -> None:
    assert Deployment(image=image).image == image


@pytest.mark.parametrize("text", ["name: [", "- a\n- b\n"])
def test_file_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    told(tmp_path, text)


def test_command_writes_all_or_nothing(tmp_path: Path) -> None:
    """One real call each: 0 with the manifests, 2 with an error and without a file."""
    values, out = tmp_path / "values.yaml", tmp_path / "editloom.yaml"
    values.write_text("name: faces\n")
    done = _called("--values", str(values), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "expects the secret editloom-ray" in done.stderr
    first = out.read_text()
    values.write_text("nam: faces\n")
    done = _called("--values", str(values), "--out", str(out))
    assert done.returncode == 2
    assert "`nam`" in done.stderr and "Traceback" not in done.stderr
    assert out.read_text() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["editloom.yaml", "values.yaml"]


def _called(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(RENDER), *words], capture_output=True, text=True, timeout=240)
