"""A Merkle tree over a sorted set of byte strings: its root, and proofs of what is and is not in the set.

Leaves, nodes and root have domains of their own. A sorted tree proves absence as well as presence: two neighbouring
leaves show that nothing lies between them. The root binds the count, so that a proof's leaf positions cannot be
shifted. An odd node moves up unchanged.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence

from data.merkle_proof import MerkleProof, ProvenLeaf, digest


def merkle_root(domain: str, members: Iterable[bytes]) -> str:
    """The root, as hex, of the tree over the distinct members in byte order."""
    leaves = sorted(set(members))
    level = [digest(domain, "leaf", leaf) for leaf in leaves]
    while len(level) > 1:
        level = _level_above(domain, level)
    return _root(domain, len(leaves), level)


class MerkleTree:
    """The whole tree, of which any number of proofs are taken."""

    def __init__(self, domain: str, members: Iterable[bytes]) -> None:
        self._members = sorted(set(members))
        self._levels = [[digest(domain, "leaf", member) for member in self._members]]
        while len(self._levels[-1]) > 1:
            self._levels.append(_level_above(domain, self._levels[-1]))
        self.root = _root(domain, len(self._members), self._levels[-1])
        """The root as hex; `merkle_root` gives the same."""

    def prove(self, member: bytes) -> MerkleProof:
        """Proof that `member` is in the set, or, by the leaves between which it would stand, that it is not."""
        count = len(self._members)
        place = bisect.bisect_left(self._members, member)
        present = place < count and self._members[place] == member
        positions = [place] if present else [one for one in (place - 1, place) if 0 <= one < count]
        return MerkleProof(count, present, tuple(self._leaf(position) for position in positions))

    def _leaf(self, position: int) -> ProvenLeaf:
        siblings, index = [], position
        for level in self._levels[:-1]:
            if index ^ 1 < len(level):  # without a sibling, the odd node moves up unchanged
                siblings.append(level[index ^ 1])
            index //= 2
        return ProvenLeaf(self._members[position], position, tuple(siblings))


def prove(domain: str, members: Iterable[bytes], member: bytes) -> MerkleProof:
    """Proof that `member` is among the members, or that it is not; for several proofs of one set use MerkleTree."""
    return MerkleTree(domain, members).prove(member)


def _level_above(domain: str, level: Sequence[bytes]) -> list[bytes]:
    pairs = [digest(domain, "node", *level[i : i + 2]) for i in range(0, len(level) - 1, 2)]
    return pairs + ([level[-1]] if len(level) % 2 else [])


def _root(domain: str, count: int, top: Sequence[bytes]) -> str:
    return digest(domain, "root", count.to_bytes(8, "big"), *top).hex()
