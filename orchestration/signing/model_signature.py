"""The signature of a released model: one over all files of a version, by model-signing, checked at every use."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestration.store import envelope
from orchestration.store.keys import SigningKey
from orchestration.store.ledger import Head
from orchestration.store.payload import CHUNK_BYTES

SIGNATURE_FILE, HEAD_FILE = "model.sig", "ledger_head.json"
MANIFEST_TYPE = "https://model_signing/signature/v1.0"
SHOWN_DIGITS = 12
Condition = Literal["intact", "unsigned", "altered", "untrusted"]


@dataclass(frozen=True)
class SignatureState:
    """What a model's signature says of its files. `keyid` is the signer's; None for one that is not trusted."""

    condition: Condition
    keyid: str | None = None
    altered: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    signer: str = ""

    @property
    def sentence(self) -> str:
        """What is wrong, or that nothing is, in words that follow a model's name."""
        said = {
            "intact": f"is as it was signed by {(self.keyid or '')[:SHOWN_DIGITS]}",
            "unsigned": f"is not signed: it has no {SIGNATURE_FILE}",
            "untrusted": f"is signed by a key that this checkout does not trust ({self.signer[:SHOWN_DIGITS]}…)",
            "altered": f"is not what was signed: {self._differences}",
        }
        return said[self.condition]

    @property
    def _differences(self) -> str:
        kinds = {"altered": self.altered, "missing": self.missing, "added": self.added}
        return "; ".join(f"{', '.join(names)} {kind}" for kind, names in kinds.items() if names)


def sign_folder(folder: Path, key: SigningKey) -> Path:
    """Sign every file in `folder`; writes and returns `model.sig` beside them, a Sigstore bundle.

    One that was there is replaced. The signed manifest's name for the model is the folder's.
    """
    from model_signing.hashing import Config as HashingConfig
    from model_signing.signing import Config

    signature = folder / SIGNATURE_FILE
    # mypy: the library leaves its constructors untyped.
    hashing, config = HashingConfig(), Config()  # type: ignore[no-untyped-call]
    hashing.set_ignored_paths(paths=[SIGNATURE_FILE], ignore_git_paths=False)
    with _key_file(key) as path:
        config.use_elliptic_key_signer(private_key=path).set_hashing_config(hashing).sign(folder, signature)
    return signature


def check_folder(folder: Path, trusted: Mapping[str, bytes]) -> SignatureState:
    """Hold a model's files against their signature. `trusted`: public PEM by key id.

    The digests are compared with the signed ones file by file, so that what differs has a name.
    """
    path = folder / SIGNATURE_FILE
    if not path.is_file():
        return SignatureState("unsigned")
    try:
        payload, signature, hint = _read(path)
        signed = _manifest(payload)
    except (ValueError, KeyError, TypeError, IndexError):
        return SignatureState("altered", altered=(SIGNATURE_FILE,))
    keyid = next((known for known, pem in trusted.items() if hashlib.sha256(pem).hexdigest() == hint), None)
    if keyid is None:
        return SignatureState("untrusted", signer=hint)
    if not envelope.signers(payload, [{"keyid": keyid, "sig": signature}], trusted):
        return SignatureState("altered", keyid, altered=(SIGNATURE_FILE,))
    return _compared(folder, signed, keyid)


def write_head(folder: Path, head: Head) -> None:
    """Lay the ledger's head beside a model's files, for the signature to cover: a ledger cut short then shows."""
    document = {"entry_hash": head.entry_hash, "seq": head.seq}
    (folder / HEAD_FILE).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def signed_head(folder: Path) -> Head | None:
    """The ledger's head that a model's files name; None without one. Only an intact signature makes it believable."""
    try:
        document = json.loads((folder / HEAD_FILE).read_text())
        return Head(int(document["seq"]), str(document["entry_hash"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def digests(folder: Path) -> dict[str, str]:
    """sha256 by relative path of every file but the signature."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() or path.is_symlink())
    names = {path.relative_to(folder).as_posix(): path for path in found}
    return {name: file_sha256(path) for name, path in names.items() if name != SIGNATURE_FILE}


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _compared(folder: Path, signed: Mapping[str, str], keyid: str) -> SignatureState:
    found = digests(folder)
    altered = tuple(sorted(name for name in signed.keys() & found.keys() if signed[name] != found[name]))
    missing, added = (tuple(sorted(names)) for names in (signed.keys() - found.keys(), found.keys() - signed.keys()))
    condition: Condition = "altered" if altered or missing or added else "intact"
    return SignatureState(condition, keyid, altered, missing, added)


def _read(path: Path) -> tuple[bytes, str, str]:
    """The signed payload, the signature (base64) and the signer's hint (sha256 of its public PEM) of a bundle."""
    document = json.loads(path.read_bytes())
    found = document["dsseEnvelope"]
    if found["payloadType"] != envelope.PAYLOAD_TYPE:
        raise ValueError(f"an envelope of {found['payloadType']}, expected {envelope.PAYLOAD_TYPE}")
    hint = document["verificationMaterial"]["publicKey"]["hint"]
    return base64.b64decode(found["payload"], validate=True), str(found["signatures"][0]["sig"]), str(hint)


def _manifest(payload: bytes) -> dict[str, str]:
    """sha256 by file name, as model-signing's predicate lists them; raises ValueError for another one."""
    statement = json.loads(payload)
    resources = statement["predicate"]["resources"]
    if statement["predicateType"] != MANIFEST_TYPE or any(one["algorithm"] != "sha256" for one in resources):
        raise ValueError("no manifest of sha256 digests")
    return {str(one["name"]): str(one["digest"]) for one in resources}


@contextmanager
def _key_file(key: SigningKey) -> Iterator[Path]:
    """The private key as a file, which model-signing reads; one that came as text is a file only meanwhile."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    if key.path is not None:
        yield key.path
        return
    descriptor, name = tempfile.mkstemp(suffix=".pem")  # 0600 from its first moment
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(key.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        yield Path(name)
    finally:
        Path(name).unlink()
