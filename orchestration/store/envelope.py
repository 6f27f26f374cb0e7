"""An entry's signed form: a DSSE envelope around an in-toto statement.

https://github.com/secure-systems-lab/dsse/blob/master/envelope.md,
https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from orchestration.store.keys import SigningKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:editloom:ledger-entry:v1"
DATA_VERSION = "editloomPayloadV1"
"""The name, among a subject's digests, of a data version: the Merkle root over a payload's files."""

Signatures = tuple[Mapping[str, str], ...]


def canonical(body: Any) -> str:
    """JSON with one spelling: sorted keys, no spaces."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def statement(subject: str, digests: Mapping[str, str], predicate: Mapping[str, Any]) -> bytes:
    """The in-toto statement that says `predicate` of `subject`, as the bytes that are signed.

    Written as JSON, not through protobuf: a protobuf Struct turns every integer into a float.
    """
    document = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": subject, "digest": dict(digests)}],
        "predicateType": PREDICATE_TYPE,
        "predicate": dict(predicate),
    }
    return canonical(document).encode()


def digests_of(body: Mapping[str, Any]) -> Mapping[str, str]:
    """What identifies the subject of a statement: the payload's hashes, or else the sha256 of what is said of it."""
    if "data_version" in body:
        md5 = {"dvcMd5": str(body["dvc_md5"]).removesuffix(".dir")} if "dvc_md5" in body else {}
        return {DATA_VERSION: str(body["data_version"]), **md5}
    return {"sha256": hashlib.sha256(canonical(body).encode()).hexdigest()}


def sign(payload: bytes, key: SigningKey) -> Signatures:
    """Signatures of DSSE's pre-authentication encoding of `payload`."""
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner

    made = Envelope(payload, PAYLOAD_TYPE, {})
    made.sign(CryptoSigner(key.private_key))
    return tuple({"keyid": one.keyid, "sig": _base64(bytes.fromhex(one.signature))} for one in made.signatures.values())


def envelope(payload: bytes, signatures: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The envelope as JSON has it."""
    return {"payload": _base64(payload), "payloadType": PAYLOAD_TYPE, "signatures": [dict(one) for one in signatures]}


def payload_of(document: Mapping[str, Any]) -> tuple[bytes, Signatures]:
    """Payload and signatures of an envelope; raises ValueError or KeyError for what is none."""
    if document["payloadType"] != PAYLOAD_TYPE:
        raise ValueError(f"an envelope of {document['payloadType']}, expected {PAYLOAD_TYPE}")
    found = [{"keyid": str(one["keyid"]), "sig": str(one["sig"])} for one in document["signatures"]]
    return base64.b64decode(document["payload"], validate=True), tuple(found)


def signers(payload: bytes, signatures: Sequence[Mapping[str, str]], known: Mapping[str, bytes]) -> frozenset[str]:
    """The ids of the keys (public PEM by id) whose signature on `payload` is good."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    good = set()
    encoded = preauthenticated(payload)
    for one in signatures:
        if one["keyid"] not in known:
            continue
        key = load_pem_public_key(known[one["keyid"]])
        try:
            assert isinstance(key, ec.EllipticCurvePublicKey)
            key.verify(base64.b64decode(one["sig"], validate=True), encoded, ec.ECDSA(SHA256()))
        except (InvalidSignature, ValueError):
            continue
        good.add(one["keyid"])
    return frozenset(good)


def preauthenticated(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what a signature covers."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
