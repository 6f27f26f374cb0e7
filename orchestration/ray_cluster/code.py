"""The code that a bulk step runs, as one digest: head and node must have the same."""

from __future__ import annotations

import hashlib
from functools import cache

from orchestration.code_versions import REPOSITORY
from orchestration.graph import node
from orchestration.source_tree import SourceTree

_SPOKEN = ("channel", "checkpoints", "node", "request", "store")
_PROTOCOL = (*(f"orchestration.ray_cluster.{name}" for name in _SPOKEN), "orchestration.step")
"""Modules that head and node speak to each other by."""


@cache
def code_digest(asset: str) -> str:
    """sha256 over all code that an asset can reach, comments aside, its shipped files, and the protocol's modules."""
    tree = SourceTree(REPOSITORY)
    parts = tree.reach(node(asset).code, node(asset).files)
    for name in _PROTOCOL:
        module = tree.module(name)
        parts[name] = module.digest if module else ""
    lines = "\n".join(f"{name} {digest}" for name, digest in sorted(parts.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
