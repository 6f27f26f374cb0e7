"""Payload hashes, staging and the ledger."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import json_format
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from data.errors import UserError
from orchestration.graph import AssetId
from orchestration.store import chain, database, keys, ledger, staging
from orchestration.store.payload import PayloadError, digest_payload

FILES = {"manifest.parquet": b"rows", "shards/00.tar": b"pixels" * 100}
GOLDEN_ROOT = "83c6d430eb0817630d78b3d5ddbb6dfb318999334c69161d841e000f3f8aa02b"
APPEND = """
import sys
from pathlib import Path
from orchestration.store import database, ledger
for i in range(20):
    with database.writing(Path(sys.argv[1])) as connection:
        ledger.append(Path(sys.argv[1]), connection, "note", sys.argv[2], {"i": i})
"""


def write(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def append_notes(root: Path, count: int) -> None:
    keys.create(root)
    for i in range(count):
        with database.writing(root) as connection:
            ledger.append(root, connection, "note", "images", {"i": i})


def test_data_version_is_a_function_of_names_and_bytes_alone(tmp_path: Path) -> None:
    one, same = write(tmp_path / "one"), write(tmp_path / "same", dict(reversed(FILES.items())))
    other = write(tmp_path / "other", {"manifest.parquet": b"rowz", "shards/00.tar": b"pixels" * 100})
    renamed = write(tmp_path / "renamed", {"manifest.parquet": b"rows", "shards/01.tar": b"pixels" * 100})
    roots = [digest_payload(folder).root for folder in (one, same, other, renamed)]
    assert roots[0] == roots[1]
    assert len(set(roots)) == 3


def test_data_version_never_changes_between_releases(tmp_path: Path) -> None:
    """Every recorded version would be lost: the value was computed once, by this code."""
    assert digest_payload(write(tmp_path / "p")).root == GOLDEN_ROOT


@pytest.mark.parametrize("name", ["weights.pkl", "model.pt", "last.ckpt"])
def test_pickle_never_enters_a_payload(tmp_path: Path, name: str) -> None:
    with pytest.raises(PayloadError, match=name):
        digest_payload(write(tmp_path / "p", FILES | {name: b"x"}))


def test_link_and_empty_payload_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "p")
    (folder / "link.json").symlink_to(folder / "manifest.parquet")
    with pytest.raises(PayloadError, match="link"):
        digest_payload(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PayloadError, match="holds no file"):
        digest_payload(tmp_path / "empty")


@pytest.mark.parametrize("atomic", [True, False])
def test_swap_exchanges_old_and_new(tmp_path: Path, atomic: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not atomic:
        monkeypatch.setattr(staging, "_exchange", lambda *_: False)
    staged, target = (
        write(tmp_path / "staged", {"a.json": b"new"}),
        write(tmp_path / "x" / "target", {"a.json": b"old"}),
    )
    staging.swap(staged, target)
    assert ((target / "a.json").read_bytes(), (staged / "a.json").read_bytes()) == (b"new", b"old")


def test_this_file_system_exchanges_atomically(tmp_path: Path) -> None:
    first, second = write(tmp_path / "1", {"a.json": b"1"}), write(tmp_path / "2", {"a.json": b"2"})
    assert staging._exchange(first, second)
    assert (first / "a.json").read_bytes() == b"2"


@pytest.mark.parametrize("renames_done", [1, 2])
def test_swap_cut_between_its_renames_is_settled(tmp_path: Path, renames_done: int) -> None:
    staged, target = write(tmp_path / "s", {"a.json": b"new"}), write(tmp_path / "t", {"a.json": b"old"})
    target.rename(tmp_path / "s.old")
    if renames_done == 2:
        staged.rename(target)
    staging.settle(staged, target)
    assert (target / "a.json").read_bytes() == (b"old" if renames_done == 1 else b"new")
    assert (staged / "a.json").read_bytes() == (b"new" if renames_done == 1 else b"old")


def test_sweep_spares_what_a_living_step_writes(tmp_path: Path) -> None:
    dead = tmp_path / staging.STAGING / "images-dead"
    dead.mkdir(parents=True)
    with staging.staging_dir(tmp_path, AssetId("images")) as living:
        assert staging.sweep(tmp_path, frozenset()) == [dead]
        assert living.is_dir() and not dead.exists()
    assert not living.exists()


def test_changed_ledger_entry_is_found(tmp_path: Path) -> None:
    append_notes(tmp_path, 3)
    assert chain.verify_chain(tmp_path) == []
    with database.writing(tmp_path) as connection:
        connection.execute("DROP TRIGGER entry_is_never_changed")
        connection.execute("""UPDATE entry SET payload = replace(payload, '"i":1', '"i":9') WHERE seq = 2""")
    assert [(fault.seq, fault.what) for fault in chain.faults(tmp_path)] == [(2, "altered"), (2, "unsigned")]
    assert chain.verify_chain(tmp_path)[0] == "entry 2 (images) was changed after it was written"


def test_removed_ledger_entry_is_found(tmp_path: Path) -> None:
    append_notes(tmp_path, 3)
    with database.writing(tmp_path) as connection:
        connection.execute("DROP TRIGGER entry_is_never_deleted")
        connection.execute("DELETE FROM entry WHERE seq = 2")
    assert chain.verify_chain(tmp_path)[0] == "entry 2 is missing: the next one is 3"


@pytest.mark.parametrize("statement", ["UPDATE entry SET kind = 'x'", "DELETE FROM entry"])
def test_ledger_is_append_only(tmp_path: Path, statement: str) -> None:
    append_notes(tmp_path, 1)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"), database.writing(tmp_path) as connection:
        connection.execute(statement)


def test_parallel_writers_make_one_chain(tmp_path: Path) -> None:
    """The processes create the file at the same moment too."""
    keys.create(tmp_path)
    writers = [subprocess.Popen([sys.executable, "-c", APPEND, str(tmp_path), f"w{n}"]) for n in range(3)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    assert [entry.seq for entry in ledger.entries(tmp_path)] == list(range(1, 61))
    assert chain.verify_chain(tmp_path) == []


def test_entry_is_an_in_toto_statement_in_a_dsse_envelope(tmp_path: Path) -> None:
    append_notes(tmp_path, 2)
    entry, key = ledger.entries(tmp_path)[1], SSlibKey.from_crypto(keys.signing_key(tmp_path).private_key.public_key())
    signed = Envelope.from_dict(entry.envelope)
    signed.verify([key], 1)
    statement = Statement.copy_from_pb(json_format.Parse(signed.payload, StatementMessage()))
    statement.validate()
    assert (statement.pb.subject[0].name, statement.pb.predicate["kind"]) == ("images", "note")
    assert json.loads(signed.payload)["predicate"] == {
        "seq": 2, "prev": ledger.entries(tmp_path)[0].entry_hash, "kind": "note", "subject": "images", "at": entry.at,
        "body": {"i": 1},
    }  # fmt: skip


def test_signature_of_another_entry_is_found(tmp_path: Path) -> None:
    append_notes(tmp_path, 3)
    with database.writing(tmp_path) as connection:
        connection.execute("DROP TRIGGER entry_is_never_changed")
        connection.execute("UPDATE entry SET signatures = (SELECT signatures FROM entry WHERE seq = 1) WHERE seq = 3")
    assert [(fault.seq, fault.what) for fault in chain.faults(tmp_path)] == [(3, "unsigned")]


def test_entry_by_an_unknown_key_is_not_trusted(tmp_path: Path) -> None:
    append_notes(tmp_path, 2)
    assert {fault.what for fault in chain.faults(tmp_path, {})} == {"untrusted"}


def test_chain_follows_from_the_payloads_digests_alone(tmp_path: Path) -> None:
    append_notes(tmp_path, 3)
    last = ledger.GENESIS
    for entry in ledger.entries(tmp_path):
        last = ledger.entry_hash(entry.seq, last, hashlib.sha256(entry.payload).hexdigest())
    head = ledger.head(tmp_path)
    assert head is not None and (head.seq, head.entry_hash) == (3, last)


def test_entries_travel_as_they_are(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    append_notes(here, 3)
    envelopes = [entry.envelope for entry in ledger.entries(here)]
    ledger.import_entries(there, envelopes[:2])
    ledger.import_entries(there, envelopes[2:])
    assert ledger.entries(there) == ledger.entries(here)
    assert chain.faults(there, keys.trusted_keys(here)) == []


def test_entries_that_do_not_follow_are_not_taken_at_all(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    append_notes(here, 3)
    envelopes = [entry.envelope for entry in ledger.entries(here)]
    with pytest.raises(UserError, match="Entry 3 of the other ledger does not follow entry 1 of this one"):
        ledger.import_entries(there, [envelopes[0], envelopes[2]])
    assert ledger.entries(there) == []


def test_missing_key_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no signing key"), database.writing(tmp_path) as connection:
        ledger.append(tmp_path, connection, "note", "images", {})
    assert ledger.entries(tmp_path) == []


def test_key_is_its_owners_alone(tmp_path: Path) -> None:
    key, fresh = keys.create(tmp_path)
    assert fresh and not keys.create(tmp_path)[1]
    assert key.path is not None and key.path.stat().st_mode & 0o777 == 0o600
    key.path.chmod(0o644)
    with pytest.raises(UserError, match="may be read by others"):
        keys.signing_key(tmp_path)


def test_key_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = keys.create(tmp_path / "other")[0]
    assert other.path is not None
    monkeypatch.setenv(keys.PEM_VARIABLE, other.path.read_text())
    assert keys.create(tmp_path / "here")[0].keyid == other.keyid
    assert not (tmp_path / "here" / keys.SIGNING).exists()
    monkeypatch.setenv(keys.PEM_VARIABLE, "nonsense")
    with pytest.raises(UserError, match=keys.PEM_VARIABLE):
        keys.signing_key(tmp_path / "here")


def test_ledger_of_an_earlier_version_is_told(tmp_path: Path) -> None:
    append_notes(tmp_path, 1)
    with database.writing(tmp_path) as connection:
        connection.execute("PRAGMA user_version = 0")
    with pytest.raises(UserError, match="ledger of version 0"):
        ledger.entries(tmp_path)
