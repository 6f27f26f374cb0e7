"""The image: what manifests call is in it, what it copies is there, and its scripts do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.render import render
from deploy.settings import Deployment
from orchestration.workspace import Workspace

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def test_dockerfile_copies_what_is_there_and_is_pinned() -> None:
    assert re.search(r"^ARG PYTHON=python:\d+\.\d+\.\d+-", DOCKERFILE, re.MULTILINE)
    assert "--constraint constraints.txt" in DOCKERFILE
    copies = [line.split()[1:] for line in DOCKERFILE.splitlines() if line.startswith("COPY")]
    sources = [word for words in copies for word in words[:-1] if not word.startswith("--")]
    assert all((ROOT / source).exists() for source in sources)
    sent = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    assert all(any(Path(source).match(pattern) for pattern in sent) for source in sources)


def test_scripts_that_manifests_call_are_in_the_image() -> None:
    called = set(re.findall(r"/usr/local/bin/([a-z-]+\.sh)", render(Deployment())))
    copied = set(re.findall(r"deploy/([a-z-]+\.sh)", DOCKERFILE))
    assert called == copied == {path.name for path in DEPLOY.glob("*.sh")}


def test_version_of_ray_is_the_images() -> None:
    pinned = re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned and Deployment().ray.version == pinned[1]


def test_a_run_without_ray_is_only_run() -> None:
    command = [DEPLOY / "join-ray.sh", "sh", "-c", 'echo "$0 $1"; exit 7', "a b", "c"]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (7, "a b c\n")


@pytest.mark.timeout(300)
def test_workspace_is_prepared_once(tmp_path: Path) -> None:
    """The real script, on a volume whose root holds something already, as a fresh file system does."""
    (tmp_path / "lost+found").mkdir()
    settings, root = tmp_path / "dagster.yaml", tmp_path / "workspace"
    settings.write_text("telemetry: {enabled: false}\n")
    _prepare(root, settings, endpoint="http://objects:9000")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and ".git" not in path.parts}
    (root / "params.yaml").write_text((root / "params.yaml").read_text() + "# mine\n")
    settings.write_text("telemetry: {enabled: false}\n# newer\n")
    _prepare(root, settings, endpoint="http://objects:9000")
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and ".git" not in path.parts}
    changed = {path.relative_to(root).as_posix() for path in after if after[path] != before.get(path)}
    assert changed == {"params.yaml", ".editloom/dagster/dagster.yaml"}
    Workspace(root).prepare()
    assert (root / ".editloom" / "dagster" / "dagster.yaml").read_text().endswith("# newer\n")
    assert "s3://editloom/dvc" in (root / ".dvc" / "config.local").read_text()
    status = subprocess.run(["git", "status", "--short"], cwd=root, capture_output=True, text=True).stdout
    assert status == " M params.yaml\n"


def _prepare(root: Path, settings: Path, endpoint: str) -> None:
    own = {
        "EDITLOOM_WORKSPACE": str(root),
        "EDITLOOM_PRESET": "smoke",
        "EDITLOOM_DVC_URL": "s3://editloom/dvc",
        "EDITLOOM_DVC_ENDPOINT": endpoint,
        "EDITLOOM_DVC_REGION": "",
        "EDITLOOM_DAGSTER_YAML": str(settings),
    }
    done = subprocess.run(
        [DEPLOY / "prepare-workspace.sh"], env={**_environment(), **own}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _environment() -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("EDITLOOM_")}
    return {**known, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
