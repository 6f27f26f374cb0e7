"""Settings are rebuilt from the ledger's record alone, and digest to what was recorded."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml

from orchestration.graph import AssetId, node
from orchestration.params import Params, parse_params, resolve, section_digest
from orchestration.reproduction.own_files import depth_of
from orchestration.reproduction.settings import own_files, rebuilt
from orchestration.store import ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.store.records import PublishRecord, Wanted
from orchestration.workspace import Workspace
from tests.orchestration.published import put, text

Change = Callable[[Workspace, dict[str, object]], None]


def _made(ws: Workspace, asset: AssetId, params: Params, device: str) -> LedgerEntry:
    """An entry as a run writes it: with the settings that its asset reads."""
    keys = node(asset.asset).params
    put(ws, asset, {}, text("a.json", str(asset)), resolve(params, keys, asset.partition))
    entry = ledger.last_entry(ws.root, asset.asset, asset.partition)
    assert entry is not None
    wanted = {**entry.body["wanted"], "device_class": device, "seed": params.seed}
    record = PublishRecord(wanted=Wanted.model_validate(wanted))
    body = {**entry.body, "wanted": record.wanted.model_dump(mode="json")}
    return LedgerEntry(
        entry.seq, entry.prev_hash, entry.entry_hash, entry.kind, entry.subject, entry.at, body, entry.payload, ()
    )


def test_settings_of_another_time_digest_to_what_was_recorded(workspace: Workspace, change_params: Change) -> None:
    now = yaml.safe_load(workspace.params_file.read_text())
    change_params(
        workspace, {"seed": 5, "original_network.kimg": 0.3, "attributes.beard.attribute_editor": {"lr": 0.001}}
    )
    then = workspace.params()
    assets = [AssetId("original_network"), AssetId("feature_network", "beard"), AssetId("attribute_editor", "beard")]
    entries = [_made(workspace, asset, then, "cpu/x86_64/avx2/threads=3") for asset in assets]
    again = parse_params(rebuilt(now, entries, portable=False))
    for asset in assets:
        keys = node(asset.asset).params
        assert section_digest(again, keys, asset.partition) == section_digest(then, keys, asset.partition)
    assert again.seed == 5
    assert (again.compute.threads_per_device, again.compute.accelerator, again.compute.portable) == (3, "cpu", False)


@pytest.mark.parametrize(("device", "asked"), [("cpu/x86_64/avx2-portable/threads=1", False), ("any", True)])
def test_portable_arithmetic_is_kept_and_can_be_asked_for(workspace: Workspace, device: str, asked: bool) -> None:
    entry = _made(workspace, AssetId("original_network"), workspace.params(), device)
    now = yaml.safe_load(workspace.params_file.read_text())
    assert parse_params(rebuilt(now, [entry], portable=asked)).compute.portable


def test_photographs_are_found_in_every_section() -> None:
    document = {
        "images": {"source": "folder", "ingest": {"path": "../photos/*.jpg", "sidecar": "photos.csv"}},
        "aligned_images": {"reference": "/here/face.png"},
        "attributes": {"beard": {"attribute_images": {"path": "../../beards"}}, "smile": {}},
    }
    paths = own_files(document)
    assert paths == ("../photos/*.jpg", "photos.csv", "../../beards", "/here/face.png")
    assert depth_of(paths) == 2
