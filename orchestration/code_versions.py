"""Code versions: explicit strings, guarded by fingerprints of the code that each asset can reach.

`code_versions.json` holds, per asset, its version and the fingerprint that someone last vouched for, and the
fingerprint of every module, so that a message can name what changed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from data.errors import UserError
from orchestration.graph import GRAPH, node
from orchestration.source_tree import SourceTree

FILE = Path(__file__).with_suffix(".json")
REPOSITORY = Path(__file__).parent.parent


@dataclass(frozen=True)
class Vouched:
    """An asset's code version, and the fingerprint of the code when someone last vouched for it."""

    version: str
    fingerprint: str


@dataclass(frozen=True)
class Recorded:
    """The contents of code_versions.json."""

    assets: Mapping[str, Vouched]
    modules: Mapping[str, str]


def version_of(asset: str) -> str:
    """The code version of an asset; UserError for an asset that has none yet."""
    recorded = _read(FILE).assets
    if node(asset).name not in recorded:
        hint = f"Run `editloom code-versions --acknowledge {asset}`."
        raise UserError(f"{FILE.name} gives {asset} no version.", hint)
    return recorded[asset].version


def changes(file: Path = FILE, repository: Path = REPOSITORY) -> list[str]:
    """One sentence per asset whose code is not what was vouched for; empty when all is well."""
    recorded, tree = _read(file), SourceTree(repository)
    found = []
    for asset in GRAPH:
        parts = tree.reach(node(asset).code, node(asset).files)
        known = recorded.assets.get(asset)
        if known is None:
            found.append(f"{asset} has no code version")
        elif known.fingerprint != _combine(parts):
            changed = [name for name, digest in parts.items() if recorded.modules.get(name) != digest]
            found.append(f"{asset}: the code changed in {', '.join(changed) or 'what it reaches'}")
    return found


def check() -> None:
    """UserError when code changed and nobody said whether that changes what it makes."""
    found = changes()
    if found:
        hint = (
            "If payloads come out different, run `editloom code-versions --bump ASSET`; if not, "
            "`editloom code-versions --acknowledge ASSET` (or `all`)."
        )
        raise UserError("Code versions are out of date. " + "; ".join(found) + ".", hint)


def acknowledge(assets: Sequence[str], file: Path = FILE, repository: Path = REPOSITORY) -> None:
    """Vouch that the present code of `assets` (`all` for every one) makes what it made before."""
    _vouch(assets, file, repository, bump_version=False)


def bump(assets: Sequence[str], file: Path = FILE, repository: Path = REPOSITORY) -> None:
    """Give `assets` their next code version: what they make is made again everywhere."""
    _vouch(assets, file, repository, bump_version=True)


def _vouch(assets: Sequence[str], file: Path, repository: Path, bump_version: bool) -> None:
    recorded, tree = _read(file), SourceTree(repository)
    chosen = list(GRAPH) if "all" in assets else [node(asset).name for asset in assets]
    vouched, modules = dict(recorded.assets), dict(recorded.modules)
    for asset in chosen:
        parts = tree.reach(node(asset).code, node(asset).files)
        modules.update(parts)
        vouched[asset] = Vouched(_next_version(vouched.get(asset), bump_version), _combine(parts))
    _write(file, Recorded(vouched, _still_reached(tree, modules)))


def _next_version(known: Vouched | None, bump_version: bool) -> str:
    if known is None:
        return "1"
    if not bump_version:
        return known.version
    match = re.search(r"\d+$", known.version)
    return f"{known.version[: match.start()]}{int(match[0]) + 1}" if match else f"{known.version}.2"


def _still_reached(tree: SourceTree, modules: Mapping[str, str]) -> dict[str, str]:
    reached = {name for asset in GRAPH.values() for name in tree.reach(asset.code, asset.files)}
    return {name: digest for name, digest in modules.items() if name in reached}


def _combine(parts: Mapping[str, str]) -> str:
    lines = "\n".join(f"{name} {digest}" for name, digest in sorted(parts.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


@cache
def _parsed(text: str) -> Recorded:
    document = json.loads(text)
    assets = {name: Vouched(**fields) for name, fields in document["assets"].items()}
    return Recorded(assets, document["modules"])


def _read(file: Path) -> Recorded:
    return _parsed(file.read_text(encoding="utf-8")) if file.exists() else Recorded({}, {})


def _write(file: Path, recorded: Recorded) -> None:
    ordered = {name: asdict(recorded.assets[name]) for name in GRAPH if name in recorded.assets}
    document = {"assets": ordered, "modules": dict(sorted(recorded.modules.items()))}
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
