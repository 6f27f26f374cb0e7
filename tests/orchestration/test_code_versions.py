"""Code that changed is noticed, and only where it matters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.errors import UserError
from orchestration import code_versions
from orchestration.graph import GRAPH
from orchestration.source_tree import SourceTree

MODULES = {
    "data/__init__.py": "",
    "data/maths.py": '"""Maths."""\n\n\ndef double(x: int) -> int:\n    """Twice."""\n    return 2 * x\n',
    "data/other.py": "OTHER = 1\n",
    "training/__init__.py": "",
    "training/net.py": "from data.maths import double\n\nWIDTH = double(8)\n",
    "orchestration/__init__.py": "",
    "orchestration/log.py": "LEVEL = 1\n",
    "orchestration/steps.py": (
        "from training import net\nfrom data import other\nfrom orchestration import log\n\nLIMIT = 3\n\n\n"
        "def helper() -> int:\n    return LIMIT\n\n\n"
        "@log.shown\ndef train() -> int:\n    return net.WIDTH + helper()\n\n\n"
        "def unrelated() -> int:\n    return other.OTHER\n"
    ),
}
TRAIN = ("orchestration.steps:train",)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name, text in MODULES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def edit(repository: Path, name: str, old: str, new: str) -> None:
    text = (repository / name).read_text()
    assert old in text
    (repository / name).write_text(text.replace(old, new))


def reach(repository: Path) -> dict[str, str]:
    return SourceTree(repository).reach(TRAIN)


def test_function_reaches_what_it_uses_through_imports(repository: Path) -> None:
    assert set(reach(repository)) == {"data", "data.maths", "training", "training.net", *TRAIN}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("data/maths.py", "return 2 * x", "return 3 * x"),
        ("training/net.py", "double(8)", "double(9)"),
        ("orchestration/steps.py", "LIMIT = 3", "LIMIT = 4"),
        ("orchestration/steps.py", "+ helper()", "- helper()"),
    ],
)
def test_change_of_reached_code_changes_the_fingerprint(repository: Path, name: str, old: str, new: str) -> None:
    before = reach(repository)
    edit(repository, name, old, new)
    assert reach(repository) != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("data/maths.py", "return 2 * x", "return (2 *\n        x)  # twice"),
        ("data/maths.py", '"""Twice."""', '"""Two times."""'),
        ("data/maths.py", '"""Maths."""', '"""Mathematics."""'),
        ("data/other.py", "OTHER = 1", "OTHER = 2"),
        ("orchestration/steps.py", "return other.OTHER", "return -other.OTHER"),
        ("orchestration/steps.py", "@log.shown", "@log.shown_well"),
        ("orchestration/log.py", "LEVEL = 1", "LEVEL = 2"),
    ],
)
def test_comments_docstrings_and_what_is_not_reached_change_nothing(
    repository: Path, name: str, old: str, new: str
) -> None:
    before = reach(repository)
    edit(repository, name, old, new)
    assert reach(repository) == before


def test_shipped_file_counts_as_code(repository: Path) -> None:
    weights = repository / "training" / "shipped" / "w.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"1")
    before = SourceTree(repository).reach((), ["training/shipped"])
    weights.write_bytes(b"2")
    assert SourceTree(repository).reach((), ["training/shipped"]) != before


def test_missing_entry_is_told(repository: Path) -> None:
    with pytest.raises(UserError, match=r"training\.gone"):
        SourceTree(repository).reach(["training.gone"])


def graph_in(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A graph of one asset, made by the repository's `train`; returns its code_versions.json."""
    from dataclasses import replace

    alone = {"images": replace(GRAPH["images"], code=TRAIN, files=())}
    monkeypatch.setattr(code_versions, "GRAPH", alone)
    monkeypatch.setattr(code_versions, "node", alone.__getitem__)
    file = repository / "code_versions.json"
    code_versions.acknowledge(["all"], file, repository)
    return file


def test_change_is_named_until_it_is_acknowledged(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = graph_in(repository, monkeypatch)
    assert code_versions.changes(file, repository) == []
    edit(repository, "data/maths.py", "2 * x", "3 * x")
    assert code_versions.changes(file, repository) == ["images: the code changed in data.maths"]
    code_versions.acknowledge(["images"], file, repository)
    assert code_versions.changes(file, repository) == []
    assert json.loads(file.read_text())["assets"]["images"]["version"] == "1"


def test_bump_gives_the_next_version(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = graph_in(repository, monkeypatch)
    edit(repository, "data/maths.py", "2 * x", "3 * x")
    code_versions.bump(["images"], file, repository)
    assert code_versions.changes(file, repository) == []
    assert json.loads(file.read_text())["assets"]["images"]["version"] == "2"


def test_code_of_every_asset_is_vouched_for() -> None:
    """The guard itself: it fails when code changed and neither a version nor an acknowledgement did."""
    code_versions.check()
