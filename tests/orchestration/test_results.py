"""Figures: written by what measured them, with their bar, commit, machine and date."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from data.errors import UserError
from orchestration.results import Bar, Figure, read_records, record, record_all
from orchestration.results_page import render, write_markdown

KEYS = ["group", "name", "value", "interval", "unit", "bar", "met", "command", "commit", "machine", "date"]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """The docs folder of a repository with one commit."""
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "code.py").write_text("1\n")
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    subprocess.run([*git, "commit", "-qm", "one"], cwd=tmp_path, check=True)
    return tmp_path / "docs"


def write(docs: Path, name: str = "success", value: float | None = 0.93, **more: object) -> None:
    figure = Figure(name, value, "share", **more)  # type: ignore[arg-type]
    record(docs, figure, group="spine", command="editloom run")


def test_record_fills_in_what_nobody_should_type(docs: Path) -> None:
    write(docs, interval=(0.9, 0.95), bar=Bar(at_least=0.9))
    (row,) = json.loads((docs / "results.json").read_text())
    assert list(row)[: len(KEYS)] == KEYS
    assert row["met"] is True and row["bar"] == "≥ 0.9" and row["interval"] == [0.9, 0.95]
    assert len(row["commit"]) == 12 and "cores" in row["machine"] and len(row["date"]) == 10


def test_changed_code_marks_the_commit_but_new_figures_do_not(docs: Path) -> None:
    write(docs)
    write(docs, "other")
    assert not read_records(docs)[0].commit.endswith("+")
    (docs.parent / "code.py").write_text("2\n")
    write(docs)
    assert {r.name: r.commit.endswith("+") for r in read_records(docs)} == {"success": True, "other": False}


def test_new_measurement_replaces_the_old_and_keeps_the_others(docs: Path) -> None:
    write(docs, "a")
    write(docs, "b")
    write(docs, "a", 0.5)
    assert [(r.name, r.value) for r in read_records(docs)] == [("a", 0.5), ("b", 0.93)]


def test_figure_of_a_name_that_its_command_no_longer_has_goes(docs: Path) -> None:
    write(docs, "kept")
    for names in (["old", "same"], ["same", "new"]):
        record_all(docs, [Figure(n, 1.0, "s") for n in names], group="spine", command="make figures", complete=True)
    assert [r.name for r in read_records(docs)] == ["kept", "new", "same"]


def test_commit_of_what_was_measured_is_kept(docs: Path) -> None:
    """A report that an earlier commit made is not the present commit's."""
    write(docs, commit="0123456789ab", date="2024-06-07")
    (row,) = read_records(docs)
    assert (row.commit, row.date) == ("0123456789ab", "2024-06-07")


def test_page_says_which_machine_measured(docs: Path) -> None:
    write(docs)
    one = read_records(docs)[0]
    page = render([one, dataclasses.replace(one, name="z", machine="another | machine")])
    assert "2. another" in page and page.count(", 1 |") == 1 and page.count(", 2 |") == 1


@pytest.mark.parametrize(
    ("bar", "value", "met"),
    [
        (Bar(at_least=0.9), 0.9, True),
        (Bar(at_least=0.9), 0.8999, False),
        (Bar(at_most=30), 30.0, True),
        (Bar(at_most=30), 30.1, False),
        (Bar(at_least=1, at_most=2), 3.0, False),
        (Bar(at_least=0), float("nan"), False),
    ],
)
def test_bar_includes_its_bounds_and_no_nan(bar: Bar, value: float, met: bool) -> None:
    assert bar.met(value) is met


def test_figure_not_measured_must_say_why(docs: Path) -> None:
    with pytest.raises(ValueError, match="why"):
        write(docs, value=None)
    write(docs, value=None, bar=Bar(at_least=1), note="no GPU here")
    (row,) = read_records(docs)
    assert row.met is None and "no GPU here" in render([row])


def test_page_is_a_function_of_the_records(docs: Path) -> None:
    write(docs, bar=Bar(at_least=0.95))
    first = write_markdown(docs).read_bytes()
    assert write_markdown(docs).read_bytes() == first
    assert b"## spine" in first and b"**no**" in first and b"1 missed" in first


def test_processes_that_record_at_once_lose_nothing(docs: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from orchestration.results import Figure, record\n"
        "for i in range(5):\n"
        "    record(Path(sys.argv[1]), Figure(f'{sys.argv[2]}{i}', 1, ''), group='g', command='c')"
    )
    jobs = [subprocess.Popen([sys.executable, "-c", script, str(docs), name]) for name in "ab"]
    assert [job.wait() for job in jobs] == [0, 0]
    assert len(read_records(docs)) == 10


def test_damaged_file_is_named(docs: Path) -> None:
    docs.mkdir()
    (docs / "results.json").write_text('[{"group": 1}]')
    with pytest.raises(UserError, match=r"results\.json"):
        read_records(docs)
