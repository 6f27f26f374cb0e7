"""The key that signs a workspace's ledger and releases, and the public keys that a checkout trusts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

KEYS = Path(".editloom", "keys")
SIGNING, TRUSTED = KEYS / "signing.pem", KEYS / "trusted"
DISTRIBUTED = Path("ledger", "keys")
"""Public keys that travel with the ledger: whoever receives them decides whether to trust them."""
PEM_VARIABLE, FILE_VARIABLE = "EDITLOOM_SIGNING_KEY", "EDITLOOM_SIGNING_KEY_FILE"
MAX_PEM_BYTES = 10_000


@dataclass(frozen=True)
class SigningKey:
    """A private ECDSA key on the curve P-256. `path` is its file; None when it came as text."""

    private_key: EllipticCurvePrivateKey
    keyid: str
    public_pem: bytes
    path: Path | None


def signing_key(root: Path) -> SigningKey:
    """The key that signs in the workspace `root`: from the environment, or else the workspace's own file.

    Raises UserError when there is none, when it cannot be read, and when others may read its file.
    """
    if text := os.environ.get(PEM_VARIABLE):
        return _parsed(text.encode(), PEM_VARIABLE, None)
    named = os.environ.get(FILE_VARIABLE)
    path = Path(named).expanduser() if named else root / SIGNING
    if not path.is_file():
        said = f" ({FILE_VARIABLE})" if named else ""
        raise UserError(f"There is no signing key at {path}{said}.", "Make one with `editloom keys init`.")
    if path.stat().st_mode & 0o077:
        raise UserError(f"{path} may be read by others.", f"A signing key is its owner's alone: chmod 600 {path}")
    return _parsed(path.read_bytes(), str(path), path)


def create(root: Path) -> tuple[SigningKey, bool]:
    """The workspace's key, made when there is none; trusted here, its public half laid beside the ledger.

    The second value says whether it was made now. Raises UserError when a key is there that cannot be used.
    """
    named = os.environ.get(PEM_VARIABLE) or os.environ.get(FILE_VARIABLE)
    fresh = not named and not (root / SIGNING).exists()
    if fresh:
        _write_private(root / SIGNING)
    key = signing_key(root)
    trust(root, key.public_pem)
    distribute(root, key.keyid, key.public_pem)
    return key, fresh


def distribute(root: Path, keyid: str, public_pem: bytes) -> None:
    """Lay a public key beside the ledger, with which it travels; it is not trusted by that."""
    _write_once(root / DISTRIBUTED / f"{keyid}.pem", public_pem)


def trust(root: Path, public_pem: bytes) -> str:
    """Trust a public key in this checkout from now on; returns its id. Raises UserError for what is no such key."""
    keyid, normal = public_key(public_pem)
    _write_once(root / TRUSTED / f"{keyid}.pem", normal)
    return keyid


def trusted_keys(root: Path) -> Mapping[str, bytes]:
    """Public PEM by key id of every key that this checkout trusts."""
    return _read_keys(root / TRUSTED)


def distributed_keys(root: Path) -> Mapping[str, bytes]:
    """Public PEM by key id of every key that came with the ledger, trusted or not."""
    return _read_keys(root / DISTRIBUTED)


def _read_keys(folder: Path) -> Mapping[str, bytes]:
    return dict(public_key(path.read_bytes(), str(path)) for path in sorted(folder.glob("*.pem")))


def _write_private(path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    # Opened with its mode, so that it is never readable by others, not for a moment.
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(key.private_bytes(*form))
        stream.flush()
        os.fsync(stream.fileno())
    with suppress(FileExistsError):  # of two makers at once, the first one's key stays
        os.link(fresh, path)
    fresh.unlink()


def _write_once(path: Path, content: bytes) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}.new")
        fresh.write_bytes(content)
        fresh.replace(path)


def _parsed(pem: bytes, where: str, path: Path | None) -> SigningKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise UserError(f"{where} holds no private key: {error}", _expected("private")) from None
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise UserError(f"{where} holds a key of another kind.", _expected("private"))
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    keyid, public_pem = public_key(key.public_key().public_bytes(*form))
    return SigningKey(key, keyid, public_pem, path)


def public_key(pem: bytes, where: str = "The public key") -> tuple[str, bytes]:
    """The key's id (securesystemslib's: a sha256 of its canonical form) and its PEM in one spelling."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from securesystemslib.signer import SSlibKey

    try:
        key = serialization.load_pem_public_key(pem[:MAX_PEM_BYTES])
    except (ValueError, TypeError) as error:
        raise UserError(f"{where} cannot be read: {error}", _expected("public")) from None
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise UserError(f"{where} is a key of another kind.", _expected("public"))
    found = SSlibKey.from_crypto(key)
    return str(found.keyid), str(found.keyval["public"]).encode()


def _expected(half: str) -> str:
    return f"Expected a {half} ECDSA key on the curve P-256, as PEM; `editloom keys init` makes one."
