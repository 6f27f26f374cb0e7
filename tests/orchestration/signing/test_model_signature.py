"""A model's signature: what was changed since has a name, and the public tool agrees."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from model_signing.verifying import Config

from orchestration.signing.model_signature import SIGNATURE_FILE, check_folder, sign_folder, signed_head, write_head
from orchestration.store import keys
from orchestration.store.keys import SigningKey
from orchestration.store.ledger import Head
from tests.orchestration.signing.released import flip


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return keys.create(tmp_path / "own")[0]


@pytest.fixture
def model(tmp_path: Path, key: SigningKey) -> Path:
    """A signed model of two files and the ledger's head."""
    folder = tmp_path / "attribute_editor-beard"
    (folder / "deep").mkdir(parents=True)
    (folder / "editor.json").write_text("{}")
    (folder / "deep" / "weights.safetensors").write_bytes(bytes(3_000_000))
    write_head(folder, Head(7, "a" * 64))
    sign_folder(folder, key)
    return folder


def trusted(key: SigningKey) -> dict[str, bytes]:
    return {key.keyid: key.public_pem}


def test_untouched_model_is_intact_and_the_public_verifier_agrees(model: Path, key: SigningKey, tmp_path: Path) -> None:
    state = check_folder(model, trusted(key))
    assert (state.condition, state.keyid) == ("intact", key.keyid) and signed_head(model) == Head(7, "a" * 64)
    (tmp_path / "public.pem").write_bytes(key.public_pem)
    Config().use_elliptic_key_verifier(public_key=tmp_path / "public.pem").verify(model, model / SIGNATURE_FILE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: flip(folder / "deep" / "weights.safetensors"), "deep/weights.safetensors altered"),
        (lambda folder: flip(folder / "ledger_head.json"), "ledger_head.json altered"),
        (lambda folder: (folder / "editor.json").unlink(), "editor.json missing"),
        (lambda folder: (folder / ".gitignore").write_text("*"), ".gitignore added"),
        (lambda folder: (folder / SIGNATURE_FILE).write_text("{}"), "model.sig altered"),
    ],
    ids=["weights", "head", "missing", "added", "no signature in it"],
)
def test_what_was_changed_has_a_name(model: Path, key: SigningKey, change: Callable[[Path], object], said: str) -> None:
    change(model)
    state = check_folder(model, trusted(key))
    assert state.condition == "altered" and said in state.sentence


def test_manifest_written_anew_needs_the_key(model: Path, key: SigningKey) -> None:
    """Whoever changes a file and its digest in the signed manifest is found out by the signature."""
    document = json.loads((model / SIGNATURE_FILE).read_text())
    payload = document["dsseEnvelope"]["payload"]
    document["dsseEnvelope"]["payload"] = payload[:-8] + ("A" if payload[-8] != "A" else "B") + payload[-7:]
    (model / SIGNATURE_FILE).write_text(json.dumps(document))
    assert check_folder(model, trusted(key)).altered == (SIGNATURE_FILE,)


def test_unsigned_model_and_one_of_another_key_are_told_apart(model: Path, key: SigningKey, tmp_path: Path) -> None:
    other, _ = keys.create(tmp_path / "other")
    assert check_folder(model, trusted(other)).condition == "untrusted"
    assert "does not trust" in check_folder(model, {}).sentence
    sign_folder(model, other)
    assert check_folder(model, trusted(key)).condition == "untrusted"
    assert check_folder(model, trusted(other)).condition == "intact"
    (model / SIGNATURE_FILE).unlink()
    assert check_folder(model, trusted(key)).condition == "unsigned"


def test_key_that_came_as_text_leaves_no_file(
    model: Path, key: SigningKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    monkeypatch.setenv(keys.PEM_VARIABLE, key.private_key.private_bytes(*form).decode())
    (tmp_path / "meanwhile").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "meanwhile"))
    sign_folder(model, keys.signing_key(tmp_path / "nowhere"))
    assert check_folder(model, trusted(key)).condition == "intact"
    assert list((tmp_path / "meanwhile").iterdir()) == []
