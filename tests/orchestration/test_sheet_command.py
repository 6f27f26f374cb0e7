"""`editloom sheet` and `editloom search-fusion`: pictures and tables from payloads, and what is said without them."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from data.errors import UserError
from orchestration.fusion_search import SearchOptions, search_fusion
from orchestration.fusion_sheet import SheetKind, SheetOptions, chosen_kind, write_sheet
from orchestration.workspace import Workspace


def quiet() -> Console:
    return Console(file=StringIO())


@pytest.mark.parametrize("kind", ["fusion", "strength", "editor", "time_lapse"])
def test_sheet_is_the_same_picture_each_time(finished: Workspace, kind: SheetKind, tmp_path: Path) -> None:
    pages = [tmp_path / "a.png", tmp_path / "b.png"]
    for page in pages:
        write_sheet(finished, "beard", SheetOptions(kind, rows=2, out=page), quiet())
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert pages[0].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("kind", "asset"),
    [
        ("fusion", "original_network"),
        ("strength", "original_network"),
        ("editor", r"attribute_editor\[beard\]"),
        ("time_lapse", r"feature_network\[beard\]"),
    ],
)
def test_missing_payload_names_the_command_that_makes_it(
    workspace: Workspace, kind: SheetKind, asset: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=asset) as caught:
        write_sheet(workspace, "beard", SheetOptions(kind, out=tmp_path / "a.png"), quiet())
    assert f"editloom run --select +{asset.partition(chr(92))[0]}" in caught.value.hint
    assert not (tmp_path / "a.png").exists()


def test_undeclared_attribute_and_impossible_output_are_told(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="hat"):
        write_sheet(workspace, "hat", SheetOptions(out=tmp_path / "a.png"), quiet())
    for out in (tmp_path / "a.jpg", tmp_path / "nowhere" / "a.png"):
        with pytest.raises(UserError, match="cannot be written"):
            write_sheet(workspace, "beard", SheetOptions(out=out), quiet())


def test_two_kinds_at_once_are_refused() -> None:
    assert chosen_kind(strength=False, editor=False, time_lapse=False) == "fusion"
    assert chosen_kind(strength=False, editor=True, time_lapse=False) == "editor"
    with pytest.raises(UserError, match="one thing"):
        chosen_kind(strength=True, editor=True, time_lapse=False)


def test_search_writes_its_table_and_params_that_can_be_used(finished: Workspace, tmp_path: Path) -> None:
    said = StringIO()
    record = search_fusion(finished, "beard", SearchOptions(codes=4, out=tmp_path), Console(file=said, width=200))
    document = json.loads((tmp_path / "fusion_search.json").read_text())
    assert document["best"] == record.best.name == document["schedules"][0]["name"]
    assert document["config"]["codes"] == 4 and document["present"] in {s["name"] for s in document["schedules"]}
    snippet = (tmp_path / "fusion_search.md").read_text().split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(snippet)["edit_pairs"]["fusion"]["smaller"][0]["layer"]
    assert record.best.name in said.getvalue()
