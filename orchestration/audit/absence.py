"""Proofs that an image is in no version of the image sets that a training was made from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from data.manifest import MANIFEST, dataset_tree
from data.merkle_proof import MerkleProof
from orchestration.graph import GRAPH, AssetId
from orchestration.lineage import SHOWN_DIGITS, payload_file
from orchestration.store import ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import Workspace

IMAGE_SETS = "images"
"""The graph's group of the assets that hold images."""


@dataclass(frozen=True)
class NotIn:
    """That an image hash is not in a version of an image set: checked by `check_dataset_proof` against its root."""

    image_set: str
    dataset_root: str
    sha256: str
    proof: MerkleProof

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "image_set": self.image_set,
            "dataset_root": self.dataset_root,
            "sha256": self.sha256,
            "proof": self.proof.record(),
        }


class Absences:
    """Proofs for some image hashes, made once for each version of an image set: many trainings share one."""

    def __init__(self, ws: Workspace, hashes: Sequence[str]) -> None:
        self._ws = ws
        self._hashes = hashes
        self._known: dict[str, tuple[NotIn, ...] | None] = {}

    def of(self, entry: LedgerEntry) -> tuple[NotIn, ...]:
        """Proofs for an image set's version, and for the sets that it was cut or chosen from, as far as they hold.

        A set upstream of which the image is a member, or whose manifest is gone, has no part in them.
        """
        found = list(self._in(entry) or ())
        for source in _image_sets(self._ws, entry):
            proofs = self._in(source) or ()
            if len(proofs) == len(self._hashes):
                found += [proof for proof in proofs if proof not in found]
        return tuple(found)

    def _in(self, entry: LedgerEntry) -> tuple[NotIn, ...] | None:
        version = entry.materialization.data_version
        if version not in self._known:
            self._known[version] = self._proofs(entry)
        return self._known[version]

    def _proofs(self, entry: LedgerEntry) -> tuple[NotIn, ...] | None:
        manifest = payload_file(self._ws.root, entry, MANIFEST)
        if manifest is None or not self._hashes:
            return None
        members = pq.read_table(manifest, columns=["sha256"])["sha256"].to_pylist()
        tree, key = dataset_tree(members), version_key(entry)
        proofs = ((sha256, tree.prove(bytes.fromhex(sha256))) for sha256 in self._hashes)
        return tuple(NotIn(key, tree.root, sha256, proof) for sha256, proof in proofs if not proof.present)


def version_key(entry: LedgerEntry) -> str:
    """`asset[partition]@version`, the version shortened: what the audit calls a materialization."""
    return f"{entry.subject}@{str(entry.body['data_version'])[:SHOWN_DIGITS]}"


def _image_sets(ws: Workspace, entry: LedgerEntry) -> Iterator[LedgerEntry]:
    """The image sets that an image set was made from, nearest first."""
    for name, version in entry.materialization.wanted.inputs.items():
        asset = AssetId.parse(name).asset
        if asset in GRAPH and GRAPH[asset].group == IMAGE_SETS:
            for source in ledger.makers(ws.root, name, version)[:1]:
                yield source
                yield from _image_sets(ws, source)
