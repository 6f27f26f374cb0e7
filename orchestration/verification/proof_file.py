"""A proof that an image is, or is not, in image sets: a file that is checked without the sets themselves.

The chain of a set: the signed ledger entry names the payload's root, that covers each file by sha256, among them
dataset.json, that names the dataset root, against which the Merkle proof of the image is held.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from data.errors import UserError
from data.image_set import DATASET
from data.manifest import check_dataset_proof
from data.merkle_proof import MerkleProof
from orchestration.graph import AssetId
from orchestration.store import database, envelope, ledger
from orchestration.store.keys import public_key
from orchestration.store.payload import FileDigest, payload_root
from orchestration.verification.finding import Finding
from orchestration.verification.recorded import SHOWN_DIGITS

FORMAT = "editloom-membership/1"
MAX_FILE_BYTES = 1 << 30


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageProof(_Frozen):
    """Of one hash under which the image is known, as the set's leaves have them: whether it is in the set."""

    sha256: str
    present: bool
    proof: Mapping[str, JsonValue]


class SetProof(_Frozen):
    """One version of an image set. `dataset` is the text of its dataset.json, `files` the sha256 of each of its files.

    `entry` is the DSSE envelope of the ledger entry that made it.
    """

    asset: str
    data_version: str
    dataset: str
    files: Mapping[str, str]
    entry: Mapping[str, JsonValue]
    images: tuple[ImageProof, ...]

    @property
    def name(self) -> str:
        return f"{self.asset}@{self.data_version[:SHOWN_DIGITS]}"

    @property
    def holds_image(self) -> bool:
        """Whether, by its own words, the set has the image."""
        return any(one.present for one in self.images)


class MembershipProof(_Frozen):
    """Proofs about one image, named by the sha256 that was asked for. `keys`: the signers' public PEM by key id."""

    format: str = FORMAT
    image: str
    sets: tuple[SetProof, ...]
    keys: Mapping[str, str] = {}


def read_proof(path: Path) -> MembershipProof:
    """Read a file of proofs; raises UserError for one that is missing or is something else."""
    expected = "Expected a file that `editloom verify --membership IMAGE --out FILE` wrote."
    if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
        raise UserError(f"There is no file of proofs {path}.", expected)
    try:
        document = MembershipProof.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path} is no file of proofs: {where or 'it'}: {first['msg']}.", expected) from None
    if document.format != FORMAT:
        raise UserError(f"{path} has the format {document.format}, expected {FORMAT}.", expected)
    return document


def check_proof_file(document: MembershipProof, trusted: Mapping[str, bytes], root: Path | None) -> list[Finding]:
    """A finding for each set; `root` is a workspace whose ledger, where it has one, must know the sets' entries."""
    return [_set_finding(document, one, trusted, root) for one in document.sets]


def _set_finding(document: MembershipProof, one: SetProof, trusted: Mapping[str, bytes], root: Path | None) -> Finding:
    wrong = list(_faults(one, document.image))
    if wrong:
        return Finding(one.name, "altered", "; ".join(wrong))
    strange = _stranger(document, one, trusted) or _unknown_here(one, root)
    if strange:
        return Finding(one.name, "untrusted", f"{_answer(one, document.image)}; but {strange}")
    return Finding(one.name, "intact", _answer(one, document.image))


def _faults(one: SetProof, asked: str) -> Iterator[str]:
    """Where the chain from the ledger entry to the image is broken."""
    try:
        said = _said(one)
        body = said["body"]
        made = AssetId(body["wanted"]["asset"], body["wanted"]["partition"])
        told = json.loads(one.dataset)
        count, dataset_root = told["count"], str(told["dataset_root"])
    except (ValueError, KeyError, TypeError) as error:
        yield f"the ledger entry or {DATASET} in the file cannot be read: {error!r}"
        return
    if (said["kind"], str(made), body["data_version"]) != (ledger.MATERIALIZATION, one.asset, one.data_version):
        yield "its ledger entry speaks of something else"
    if _root_of(one.files) != one.data_version:
        yield "its files do not give the payload root of the ledger entry"
    if hashlib.sha256(one.dataset.encode()).hexdigest() != one.files.get(DATASET):
        yield f"{DATASET} is not the one among its files"
    if not one.images or (not one.holds_image and asked not in {image.sha256 for image in one.images}):
        yield "it proves nothing of the image that was asked about"
    for image in one.images:
        if not _proven(image, dataset_root, count):
            yield f"the Merkle proof about {image.sha256[:SHOWN_DIGITS]} does not lead to the dataset root"


def _proven(image: ImageProof, dataset_root: str, count: object) -> bool:
    try:
        proof = MerkleProof.from_record(dict(image.proof))
        shown = check_dataset_proof(proof, image.sha256, dataset_root)
    except (UserError, ValueError):
        return False
    return shown and proof.present == image.present and proof.count == count


def _root_of(files: Mapping[str, str]) -> str:
    try:
        return payload_root([FileDigest(path, 0, sha256, "") for path, sha256 in files.items()])
    except ValueError:
        return ""


def _stranger(document: MembershipProof, one: SetProof, trusted: Mapping[str, bytes]) -> str:
    """What speaks against the entry's signature; empty when a trusted key made it."""
    payload, signatures = envelope.payload_of(one.entry)
    if envelope.signers(payload, signatures, trusted):
        return ""
    by = ", ".join(one["keyid"][:SHOWN_DIGITS] for one in signatures) or "nobody"
    if any(one["keyid"] in trusted for one in signatures):
        return f"the signature of {by} on its ledger entry is not good"
    known = dict(public_key(pem.encode(), "A key in the file of proofs") for pem in document.keys.values())
    good = envelope.signers(payload, signatures, known)
    how = (
        "the key in the file fits, whether to trust it is yours to say: --key PEM"
        if good
        else "no key in the file fits"
    )
    return f"its ledger entry is signed by {by}, which is not trusted here ({how})"


def _unknown_here(one: SetProof, root: Path | None) -> str:
    if root is None or not database.exists(root):
        return ""
    said = _said(one)
    payload, _ = envelope.payload_of(one.entry)
    own_hash = ledger.entry_hash(int(said["seq"]), str(said["prev"]), hashlib.sha256(payload).hexdigest())
    return "" if ledger.entries_of_hash(root, own_hash) else f"the ledger of {root} has no such entry"


def _said(one: SetProof) -> dict[str, Any]:
    payload, _ = envelope.payload_of(one.entry)
    said: dict[str, Any] = json.loads(payload)["predicate"]
    return said


def _answer(one: SetProof, asked: str) -> str:
    count = json.loads(one.dataset)["count"]
    named = [image.sha256 for image in one.images if image.present == one.holds_image]
    verb = ("is" if len(named) == 1 else "are") + ("" if one.holds_image else " not")
    said = f"{', '.join(sha256[:SHOWN_DIGITS] for sha256 in named)} {verb} among its {count:,} images"
    if one.holds_image and asked not in named:
        said += f" (made of {asked[:SHOWN_DIGITS]}, as the manifest says, which the proof does not show)"
    return said
