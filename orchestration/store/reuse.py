"""Whether an asset's last materialization still stands for what is wanted now, and if not, why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from orchestration.store import dvc, ledger, stat_cache
from orchestration.store.environment import environment_digest
from orchestration.store.ledger import LedgerEntry
from orchestration.store.records import Wanted

MAX_PARAMS_NAMED = 4


@dataclass(frozen=True)
class Reuse:
    """Nothing needs to run. `fetch`: the bytes are in DVC's cache only; `restore` brings them back."""

    entry: LedgerEntry
    fetch: bool = False

    @property
    def data_version(self) -> str:
        return self.entry.materialization.data_version


@dataclass(frozen=True)
class Stale:
    """Something must run, for these reasons (sentences without a full stop)."""

    reasons: tuple[str, ...]


def reusable(
    root: Path,
    wanted: Wanted,
    *,
    strict: bool = False,
    verify_bytes: bool = False,
    unknown: frozenset[str] = frozenset(),
) -> Reuse | Stale:
    """Compare what is wanted with the last ledger entry and the bytes in place.

    `strict` compares the environment too; `verify_bytes` hashes every file; inputs named in `unknown` are not compared.
    """
    entry = ledger.last_entry(root, wanted.asset, wanted.partition)
    if entry is None:
        return Stale(("never made",))
    made = entry.materialization
    reasons = [*differences(made.wanted, wanted, unknown)]
    if strict and made.environment != environment_digest():
        reasons.append("the installed software differs")
    if reasons:
        return Stale(tuple(reasons))
    in_place = stat_cache.version_in_place(root, wanted.id, verify_bytes)
    if in_place == made.data_version:
        return Reuse(entry)
    if dvc.fetchable(root, wanted.id, made.dvc_md5):
        return Reuse(entry, fetch=True)
    return Stale(("its payload is missing" if in_place is None else "its payload was changed by hand",))


def restore(root: Path, entry: LedgerEntry) -> bool:
    """Bring an entry's bytes back through DVC; True when exactly they stand in their place afterwards."""
    made = entry.materialization
    asset_id = made.wanted.id
    if dvc.locked_md5(root, asset_id) == made.dvc_md5:
        dvc.checkout(root, asset_id.stage)
    return stat_cache.version_in_place(root, asset_id) == made.data_version


def differences(made: Wanted, wanted: Wanted, unknown: frozenset[str] = frozenset()) -> Iterator[str]:
    """Each way in which `wanted` is not what was made, as a reason a person understands."""
    if made.code_version != wanted.code_version:
        yield f"code version {made.code_version} → {wanted.code_version}"
    if made.params_digest != wanted.params_digest:
        yield _params_reason(made.params, wanted.params)
    if made.seed != wanted.seed:
        yield f"seed {made.seed} → {wanted.seed}"
    if made.device_class != wanted.device_class:
        yield f"device class {made.device_class} → {wanted.device_class}"
    for name in sorted((made.inputs.keys() | wanted.inputs.keys()) - unknown):
        if _counts(made, name) != _counts(wanted, name):
            yield _input_reason(name, made.inputs, wanted.inputs)


def _counts(made: Wanted, name: str) -> str | None:
    """What an input counts by: the root of the part that is read, or else its version."""
    return made.parts.get(name, made.inputs.get(name))


def _input_reason(name: str, made: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    if name not in made:
        return f"{name} is a new input"
    return f"{name} changed" if name in wanted else f"{name} is no input any more"


def _params_reason(made: Mapping[str, JsonValue], wanted: Mapping[str, JsonValue]) -> str:
    before, after = dict(_leaves(made)), dict(_leaves(wanted))
    names = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    named = [f"{name} {before.get(name, 'unset')} → {after.get(name, 'unset')}" for name in names[:MAX_PARAMS_NAMED]]
    more = f" and {len(names) - MAX_PARAMS_NAMED} more" if len(names) > MAX_PARAMS_NAMED else ""
    return f"params changed: {', '.join(named)}{more}"


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value
