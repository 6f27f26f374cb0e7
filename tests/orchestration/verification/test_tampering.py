"""Each way of tampering is found, named, and told without a word about what is untouched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import yaml

from orchestration.store import ledger
from orchestration.store.keys import DISTRIBUTED, KEYS, TRUSTED, create
from orchestration.tracking import open_tracker
from orchestration.verification.finding import Finding
from orchestration.verification.verify import verify
from orchestration.workspace import Workspace
from tests.conftest import Editloom
from tests.orchestration.published import chain
from tests.orchestration.verification.tampering import (
    away,
    cached_object,
    dropped,
    flipped,
    image_place,
    ledger_file,
    made,
    model_file,
    moved_aliases,
    statements,
)

MODEL = "attribute_editor-beard"


def test_untouched_workspace_is_intact(ws: Workspace, editloom: Editloom) -> None:
    told = editloom(ws, "verify", "--json", "-", PYTHONPROFILEIMPORTTIME="1")
    assert told.returncode == 0, told.stdout + told.stderr
    imported = {line.rpartition("|")[2].strip() for line in told.stderr.splitlines()}
    assert "mlflow" in imported and not imported & {"torch", "dagster", "duckdb", "dvc"}
    record = json.loads(told.stdout)
    assert record["holds"] and record["not_checked"] == []
    assert {one["state"] for one in record["findings"]} == {"intact"}
    things = {one["thing"] for one in record["findings"]}
    assert {"ledger", "artifacts/images", "dvc.lock: judges", f"{MODEL}/1", f"{MODEL}@champion"} <= things
    assert {str(one.relative_to(ws.root)) for one in _payloads(ws)} <= things


def test_flipped_byte_in_a_shard_names_the_image(ws: Workspace) -> None:
    sha256, shard, offset = image_place(ws, "images")
    with flipped(shard, offset):
        (found,) = verify(ws).wrong
    assert (found.thing, found.state) == ("artifacts/images", "altered")
    assert f"shards/{shard.name} altered" in found.detail and f"image {sha256[:12]}" in found.detail


def test_flipped_byte_in_weights_names_the_file(ws: Workspace) -> None:
    with flipped(ws.payload("attribute_editor", "beard") / "editor.safetensors"):
        (found,) = verify(ws).wrong
    assert (found.thing, found.state) == ("artifacts/attribute_editor/beard", "altered")
    assert "editor.safetensors altered" in found.detail


def test_flipped_byte_in_dvcs_cache_names_the_file(ws: Workspace) -> None:
    weights = ws.payload("attribute_editor", "beard") / "editor.safetensors"
    with flipped(cached_object(ws, weights)):
        (found,) = verify(ws, offline=True).wrong
    assert found.thing.startswith("attribute_editor[beard]@") and "editor.safetensors" in found.detail


def test_params_of_a_past_entry_name_the_entry(ws: Workspace) -> None:
    seq = made(ws, "original_network").seq
    change = ("UPDATE entry SET payload = replace(payload, '\"kimg\":', '\"kimg\": 1') WHERE seq = ?", (seq,))
    with statements(ws, change):
        assert 'kimg": 1' in ledger.rows(ws.root)[seq - 1][6]
        (found,) = verify(ws).wrong
    assert (found.thing, found.state) == (f"ledger entry {seq}", "altered")
    assert "original_network" in found.detail


def test_spoiled_entry_is_told_without_a_traceback(ws: Workspace) -> None:
    seq = made(ws, "fusion_report", "beard").seq
    with statements(ws, ("UPDATE entry SET payload = substr(payload, 9) WHERE seq = ?", (seq,))):
        found = _things(verify(ws, offline=True).wrong)
    assert f"ledger entry {seq}" in found
    assert found <= {f"ledger entry {seq}", "artifacts/fusion_report/beard", "dvc.lock: fusion_report@beard"}


def test_md5_in_dvc_lock_names_the_stage(ws: Workspace) -> None:
    lock = ws.root / "dvc.lock"
    text = lock.read_text()
    document = yaml.safe_load(text)
    (out,) = document["stages"]["feature_network@beard"]["outs"]
    out["md5"] = f"{'0' * 32}.dir"
    lock.write_text(yaml.safe_dump(document, sort_keys=False))
    try:
        (found,) = verify(ws, offline=True).wrong
    finally:
        lock.write_text(text)
    assert (found.thing, found.state) == ("dvc.lock: feature_network@beard", "altered")
    assert "a version of feature_network[beard] that the ledger does not know" in found.detail


def test_dropped_entry_is_missed(ws: Workspace) -> None:
    seq = made(ws, "fusion_report", "short_hair").seq
    with dropped(ws, seq):
        found = {one.thing: one for one in verify(ws).wrong}
    assert found[f"ledger entry {seq}"].state == "absent" and "is missing" in found[f"ledger entry {seq}"].detail
    ours = {"artifacts/fusion_report/short_hair", "dvc.lock: fusion_report@short_hair"}
    assert found.keys() == {f"ledger entry {seq}", *ours}


def test_truncated_tail_is_told_by_what_was_signed_later(ws: Workspace) -> None:
    release = made(ws, "attribute_release", "beard").seq
    end = ledger.rows(ws.root)[-1][0]
    with dropped(ws, *range(release, end + 1)):
        found = {one.thing: one for one in verify(ws).wrong}
    told = found.pop("ledger's end")
    assert f"ends at entry {release - 1}" in told.detail
    assert f"version 1 of {MODEL} was signed at entry {release}" in told.detail
    # What the lost entries had made is unknown to the ledger now; nothing else is said.
    assert not [thing for thing in found if "judge" in thing or "images" in thing or "original" in thing]
    assert "artifacts/attribute_release/beard" in found and f"{MODEL}/1" in found


def test_lost_last_decision_is_told_by_the_version_that_followed_it(ws: Workspace) -> None:
    last = ledger.entries(ws.root)[-1]
    assert last.kind == ledger.DECISION
    with dropped(ws, last.seq):
        found = {one.thing: one for one in verify(ws).wrong}
    assert found.keys() == {"ledger's end", f"{last.subject}@champion"}
    assert f"follows the decision of entry {last.entry_hash[:12]}" in found["ledger's end"].detail


def test_swapped_signatures_name_both_entries(ws: Workspace) -> None:
    first, second = (ledger.rows(ws.root)[at] for at in (1, 2))
    change = "UPDATE entry SET signatures = ? WHERE seq = ?"
    with statements(ws, (change, (second[7], first[0])), (change, (first[7], second[0]))):
        found = verify(ws).wrong
    assert _things(found) == {f"ledger entry {first[0]}", f"ledger entry {second[0]}"}
    assert all("is not good" in one.detail for one in found)


def test_edited_model_file_names_version_and_file(ws: Workspace) -> None:
    with flipped(model_file(ws, open_tracker(ws), MODEL, "editor.safetensors")):
        (found,) = verify(ws).wrong
    assert (found.thing, found.state) == (f"{MODEL}/1", "altered")
    assert found.detail.endswith("editor.safetensors altered")


def test_alias_moved_by_hand_is_told(ws: Workspace) -> None:
    with moved_aliases(ws, MODEL):
        found = verify(ws).wrong
    assert _things(found) == {f"{MODEL}@champion", f"{MODEL}@previous"}
    assert all("editloom release restore" in one.detail for one in found)


def test_edited_evidence_is_told(ws: Workspace) -> None:
    path = ws.evidence("attribute_release", "beard") / "decision.json"
    with flipped(path):
        assert _things(verify(ws, offline=True).wrong) == {str(path.relative_to(ws.root))}
    copy = model_file(ws, open_tracker(ws), MODEL, "x").parents[1] / "evidence" / "decision.json"
    with flipped(copy):
        assert _things(verify(ws).wrong) == {f"{MODEL}/1 evidence/decision.json"}


def test_payload_that_only_the_cache_has_is_absent_but_excused(ws: Workspace) -> None:
    with away(ws.payload("judges")):
        found = verify(ws, offline=True)
    (absent,) = [one for one in found.findings if one.state == "absent"]
    assert absent.thing == "artifacts/judges" and "dvc checkout judges" in absent.detail and found.holds


def test_payload_that_nobody_has_is_absent(ws: Workspace) -> None:
    with away(ws.payload("judges")), away(ws.root / ".dvc" / "cache"):
        found = verify(ws, offline=True)
    assert [(one.thing, one.state) for one in found.wrong] == [("artifacts/judges", "absent")]


def test_target_verifies_its_own_lineage_alone(ws: Workspace) -> None:
    with flipped(ws.payload("attribute_editor", "short_hair") / "editor.safetensors"):
        assert verify(ws, f"{MODEL}@champion").holds
        found = verify(ws, "attribute_report[short_hair]", offline=True)
    assert _things(found.wrong) == {"artifacts/attribute_editor/short_hair"}
    assert "artifacts/attribute_editor/beard" not in _things(found.findings)


def test_missing_keys_say_how_to_trust(ws: Workspace) -> None:
    with away(ws.root / TRUSTED):
        found = verify(ws).wrong
    assert {one.state for one in found} == {"untrusted"}
    (entries,) = (one for one in found if one.thing.startswith("ledger entries 1–"))
    file = entries.detail.rpartition("editloom keys trust ")[2].rstrip("`")
    assert (ws.root / file).is_file()


def test_ledger_of_another_workspace_is_told(ws: Workspace, workspace: Workspace) -> None:
    for folder in (KEYS, DISTRIBUTED):  # the tests' workspaces come from one, and so have one key
        shutil.rmtree(workspace.root / folder)
    create(workspace.root)
    chain(workspace)
    with ledger_file(ws) as path:
        path.write_bytes(_whole_ledger(workspace))
        found = verify(ws)
    told = {one.thing: one for one in found.wrong}
    assert "it is another workspace's" in told["ledger"].detail.replace("the ledger is", "it is")
    assert any(one.state == "untrusted" and one.thing.startswith("ledger entries 1–") for one in found.wrong)
    assert all(one.state in ("altered", "untrusted") for one in found.wrong)
    assert "artifacts/judge_images" in told and told["artifacts/judge_images"].detail.startswith("no entry of this")


def test_server_that_is_away_is_no_success(ws: Workspace, editloom: Editloom) -> None:
    nowhere = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    told = editloom(ws, "verify", "judges", **nowhere)  # in a process of its own: MLflow is told to be impatient
    assert told.returncode == 1 and "not checked: " in told.stdout and "Traceback" not in told.stderr
    left_out = verify(ws, "judges", offline=True)
    assert left_out.holds and left_out.not_checked == ("registered models: --offline",)


def test_workspace_without_a_ledger_is_a_users_mistake(workspace: Workspace, editloom: Editloom) -> None:
    told = editloom(workspace, "verify")
    assert told.returncode == 2 and "has no ledger" in told.stderr


def _things(findings: Iterable[Finding]) -> set[str]:
    return {one.thing for one in findings}


def _payloads(ws: Workspace) -> list[Path]:
    ids = {entry.materialization.wanted.id for entry in ledger.entries(ws.root, kind=ledger.MATERIALIZATION)}
    return [ws.root / one.path for one in ids]


def _whole_ledger(ws: Workspace) -> bytes:
    with ledger_file(ws) as path:  # its log is written into the file first
        return path.read_bytes()
