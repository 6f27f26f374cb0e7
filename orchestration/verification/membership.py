"""Proofs, from the manifests here, that an image is or is not in image sets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq

from data.errors import UserError
from data.image_set import DATASET
from data.manifest import MANIFEST, dataset_proofs
from orchestration.audit.image_index import Holding, image_sets, is_image_set
from orchestration.audit.targets import linked_holdings, resolve_target
from orchestration.lineage import payload_file
from orchestration.store import keys, ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.verification.proof_file import ImageProof, MembershipProof, SetProof
from orchestration.verification.recorded import Made
from orchestration.verification.stored import Purges, file_digests
from orchestration.verification.verify import lineage_entries
from orchestration.workspace import Workspace

_SHA256 = re.compile(r"[0-9a-f]{64}")


def prove_membership(ws: Workspace, image: str, target: str | None = None, of: str | None = None) -> MembershipProof:
    """Prove of an image (a file, or its sha256) whether it is in each of the image sets that are asked about.

    These are the versions that `of` names, or else those in the lineage of `target`, or else the newest of each.
    A set's leaves are the hashes of its stored images: a photograph stands for what its manifest says was made of it.
    Raises UserError for what is no image, for a target without image sets, and for sets that are not at hand.
    """
    sha256 = _sha256_of(image)
    entries = _chosen(ws, target, of)
    held = linked_holdings(ws, (sha256,))
    known = {sha256} | {key for one in held for key in (one.sha256, one.parent, one.source_sha256) if key}
    purges = Purges.of(ledger.entries(ws.root, kind=ledger.PURGE))
    sets = tuple(_set_proof(ws, entry, known, held, purges) for entry in entries)
    signers = {str(one["keyid"]) for entry in entries for one in entry.signatures}
    pems = {**keys.distributed_keys(ws.root), **keys.trusted_keys(ws.root)}
    return MembershipProof(image=sha256, sets=sets, keys={k: pem.decode() for k, pem in pems.items() if k in signers})


def _set_proof(
    ws: Workspace, entry: LedgerEntry, known: Iterable[str], held: Iterable[Holding], purges: Purges
) -> SetProof:
    made = Made(entry, entry.materialization)
    manifest, dataset = (payload_file(ws.root, entry, name) for name in (MANIFEST, DATASET))
    files = file_digests(ws.root, made, purges) if manifest and dataset else None
    if manifest is None or dataset is None or files is None:
        raise UserError(
            f"{made.name} is not here as the ledger has it, so nothing of it can be proved.",
            f"`editloom verify {made.name}` says what is wrong with it; `editloom pull` fetches what is only missing.",
        )
    own = sorted({one.sha256 for one in held if one.entry.body["data_version"] == made.version})
    leaves = own or sorted(known)
    hashes = pq.read_table(manifest, columns=["sha256"])["sha256"].to_pylist()
    images = tuple(
        ImageProof(sha256=leaf, present=proof.present, proof=proof.record())
        for leaf, proof in zip(leaves, dataset_proofs(hashes, leaves), strict=True)
    )
    return SetProof(
        asset=str(made.id), data_version=made.version, dataset=dataset.read_text(encoding="utf-8"),
        files={file.path: file.sha256 for file in files}, entry=_original(ws, entry).envelope, images=images,
    )  # fmt: skip


def _chosen(ws: Workspace, target: str | None, of: str | None) -> list[LedgerEntry]:
    if of is not None:
        found = list(resolve_target(ws, of).entries)
    elif target is not None:
        found = lineage_entries(ws, resolve_target(ws, target).entries)
    else:
        found = list({entry.subject: entry for entry in image_sets(ws)}.values())
    sets = [entry for entry in found if is_image_set(entry.subject)]
    if not sets:
        said = (
            f"`{of or target}` names no image set, and none in its lineage" if of or target else "There is no image set"
        )
        raise UserError(f"{said}.", "Name one, such as aligned_images, or leave it out: all newest ones are looked at.")
    return sets


def _original(ws: Workspace, entry: LedgerEntry) -> LedgerEntry:
    """The entry as it was signed: a lineage shows it with the inputs under which it stands now."""
    return ledger.entries_of_hash(ws.root, entry.entry_hash)[0]


def _sha256_of(image: str) -> str:
    path = Path(image).expanduser()
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if _SHA256.fullmatch(image.lower()):
        return image.lower()
    raise UserError(f"`{image}` is no image file here and no sha256.", "Give a file, or the 64 digits of its sha256.")
