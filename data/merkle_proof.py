"""Proofs that something is, or is not, in a set of which one only knows the Merkle root."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.errors import UserError

HASH_BYTES = 32
MAX_COUNT = 2**63


@dataclass(frozen=True)
class ProvenLeaf:
    """A leaf of the tree: its member, its place among the sorted members from 0, its siblings from the leaf upwards.

    A level on which its node is the odd one and moves up unchanged has no sibling.
    """

    member: bytes
    position: int
    siblings: tuple[bytes, ...]


@dataclass(frozen=True)
class MerkleProof:
    """That a member is in a set of `count` (its own leaf), or is not (the one or two leaves beside its place).

    What a proof says of itself counts for nothing before `check_proof` has held it against the root.
    """

    count: int
    present: bool
    leaves: tuple[ProvenLeaf, ...]

    def record(self) -> dict[str, Any]:
        """As JSON: count, present, leaves of {member, position, siblings}; bytes as hex."""
        leaves = [
            {"member": leaf.member.hex(), "position": leaf.position, "siblings": [one.hex() for one in leaf.siblings]}
            for leaf in self.leaves
        ]
        return {"count": self.count, "present": self.present, "leaves": leaves}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> MerkleProof:
        """What `record` wrote; raises UserError for anything else."""
        try:
            leaves = tuple(
                ProvenLeaf(
                    bytes.fromhex(leaf["member"]),
                    _whole(leaf["position"]),
                    tuple(bytes.fromhex(one) for one in leaf["siblings"]),
                )
                for leaf in record["leaves"]
            )
            return cls(_whole(record["count"]), bool(record["present"]), leaves)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            hint = "Expected count, present and leaves of member, position and siblings."
            raise UserError(f"This is no Merkle proof: {error!r}.", hint) from None


def digest(domain: str, role: str, *parts: bytes) -> bytes:
    """sha256 of the parts, in the domain of a tree and the role leaf, node or root."""
    return hashlib.sha256(b"\0".join([domain.encode(), role.encode(), b"".join(parts)])).digest()


def check_proof(proof: MerkleProof, member: bytes, root: str, domain: str) -> bool:
    """Whether the proof shows, for the tree of this root (hex), what it says of `member`: in the set, or not in it.

    Recomputed from the leaves: each path to the root, which binds the count and so the positions, then the places.
    """
    if not 0 <= proof.count < MAX_COUNT or not all(_leads_to(leaf, proof.count, root, domain) for leaf in proof.leaves):
        return False
    if proof.present:
        return [leaf.member for leaf in proof.leaves] == [member]
    if proof.count == 0:
        return not proof.leaves and digest(domain, "root", bytes(8)).hex() == root
    return _nothing_there(proof, member)


def _nothing_there(proof: MerkleProof, member: bytes) -> bool:
    """Whether the leaves are neighbours with the member's place between them, or the end beyond which it lies."""
    if len(proof.leaves) == 2:
        before, after = proof.leaves
        return after.position == before.position + 1 and before.member < member < after.member
    if len(proof.leaves) != 1:
        return False
    (end,) = proof.leaves
    return (end.position == 0 and member < end.member) or (end.position == proof.count - 1 and member > end.member)


def _leads_to(leaf: ProvenLeaf, count: int, root: str, domain: str) -> bool:
    """Whether the leaf's path, walked as a tree of `count` leaves must be, ends in the root."""
    if not 0 <= leaf.position < count or any(len(one) != HASH_BYTES for one in leaf.siblings):
        return False
    node, index, width, siblings = digest(domain, "leaf", leaf.member), leaf.position, count, list(leaf.siblings)
    while width > 1:
        if index ^ 1 < width:
            if not siblings:
                return False
            beside = siblings.pop(0)
            node = digest(domain, "node", *((beside, node) if index % 2 else (node, beside)))
        index, width = index // 2, (width + 1) // 2
    return not siblings and digest(domain, "root", count.to_bytes(8, "big"), node).hex() == root


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r} is no whole number")
    return value
