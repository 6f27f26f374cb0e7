"""What came from outside the graph: shipped weights, shipped judges, the user's own files, the release policy."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import training
from orchestration.audit.nodes import inputs_outside, node_key
from orchestration.code_versions import version_of
from orchestration.graph import AssetId
from orchestration.lineage import SHOWN_DIGITS, payload_file
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import Workspace

SHIPPED = "shipped"
ORIGINAL, JUDGES = "original_network", "judges"
CARD, JUDGES_FILE = "card.json", "judges.json"


@dataclass(frozen=True)
class Outside:
    """A file that no asset made; `used_by` are the keys of the versions that were made with it."""

    key: str
    name: str
    sha256: str
    used_by: tuple[str, ...]


def outside_of(ws: Workspace, entries: Iterable[LedgerEntry]) -> tuple[tuple[Outside, ...], tuple[str, ...]]:
    """Everything from outside that `entries` were made with, by name, and warnings about what cannot be told."""
    made = list(entries)
    used: dict[tuple[str, str], list[str]] = defaultdict(list)
    warnings: list[str] = []
    for entry, name, sha256 in (*inputs_outside(made), *_shipped(ws, made, warnings)):
        used[(name, sha256)].append(node_key(entry))
    found = (
        Outside(f"{name}@{sha256[:SHOWN_DIGITS]}", name, sha256, tuple(sorted(set(users))))
        for (name, sha256), users in sorted(used.items())
    )
    return tuple(found), tuple(dict.fromkeys(warnings))


def _shipped(
    ws: Workspace, entries: Sequence[LedgerEntry], warnings: list[str]
) -> Iterator[tuple[LedgerEntry, str, str]]:
    for entry in entries:
        asset, params = AssetId.parse(entry.subject).asset, entry.body["wanted"]["params"]
        if asset == ORIGINAL and _of(params, ORIGINAL).get("start") == SHIPPED:
            warnings.extend(_other_code(entry))
            yield from ((entry, f"{SHIPPED}:{ORIGINAL}/{name}", digest) for name, digest in _start_files().items())
        elif asset == JUDGES and _of(params, JUDGES).get("source") == SHIPPED:
            path = payload_file(ws.root, entry, JUDGES_FILE)
            if path is None:
                warnings.append(f"The judges of {node_key(entry)} are no longer here: `editloom pull` may bring them.")
                continue
            judges = json.loads(path.read_text(encoding="utf-8"))["judges"]
            yield from ((entry, f"{SHIPPED}:{JUDGES}/{one['file']}", one["sha256"]) for one in judges.values())


def _start_files() -> Mapping[str, str]:
    """sha256 by file of the weights that a shipped start begins from, as their own card has them."""
    card = Path(training.__file__).parent / SHIPPED / ORIGINAL / CARD
    files: Mapping[str, str] = json.loads(card.read_text(encoding="utf-8"))["files"]
    return files


def _other_code(entry: LedgerEntry) -> Iterator[str]:
    """The shipped weights belong to the code: those of another code version may have been others."""
    made = entry.body["wanted"]["code_version"]
    if made != version_of(ORIGINAL):
        yield (
            f"{node_key(entry)} began from the weights shipped with code version {made}; "
            f"those of this installation ({version_of(ORIGINAL)}) are shown."
        )


def _of(params: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    found = params.get(section)
    return found if isinstance(found, Mapping) else {}
