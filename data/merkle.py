"""A Merkle root over a set of hashes, its leaves, nodes and root in domains of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def _digest(domain: str, role: str, *parts: bytes) -> bytes:
    return hashlib.sha256(b"\0".join([domain.encode(), role.encode(), b"".join(parts)])).digest()


def merkle_root(domain: str, members: Iterable[bytes]) -> str:
    """The root, as hex, of the tree over the distinct members in byte order.

    A sorted tree proves absence as well as presence: two neighbouring leaves show that nothing lies between them.
    The root binds the count, so that a proof's leaf positions cannot be shifted. An odd node moves up unchanged.
    """
    leaves = sorted(set(members))
    level = [_digest(domain, "leaf", leaf) for leaf in leaves]
    while len(level) > 1:
        pairs = [_digest(domain, "node", *level[i : i + 2]) for i in range(0, len(level) - 1, 2)]
        level = pairs + ([level[-1]] if len(level) % 2 else [])
    return _digest(domain, "root", len(leaves).to_bytes(8, "big"), *level).hex()
