"""`editloom push` and `editloom pull`: payloads through DVC, and the ledger with them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError
from orchestration.graph import AssetId, expand, node
from orchestration.params import Params
from orchestration.remote.place import Place, open_place
from orchestration.remote.transport import accept, check_extends, receive, send
from orchestration.store import dvc, keys, ledger
from orchestration.workspace import Workspace

LOCK = "dvc.lock"


@dataclass(frozen=True)
class Pushed:
    """What went to a remote. `uncommitted`: dvc.lock differs from git's, so that a clone would not ask for all."""

    place: Place
    stages: int
    entries: int
    uncommitted: bool


@dataclass(frozen=True)
class Pulled:
    """What came from a remote; `strangers` are key ids that signed entries and are not trusted in this checkout."""

    place: Place
    stages: int
    entries: int
    strangers: tuple[str, ...]


def push(ws: Workspace, remote: str | None = None, *, all_commits: bool = False) -> Pushed:
    """Send every payload that dvc.lock names (with `all_commits`: that any commit's did), then the ledger.

    The ledger is read first: all that it names is in DVC's cache by then. Raises UserError when there is nothing, when
    the remote is away, and when its ledger is no beginning of ours: nothing is pushed then.
    """
    place, mine, stages = open_place(ws.root, remote), ledger.entries(ws.root), _locked_stages(ws)
    if not mine:
        raise UserError(f"{ws.root} has no ledger: nothing was made here yet.", "Run `editloom run` first.")
    check_extends(place, mine)
    if all_commits or stages:
        dvc.run_dvc(ws.root, "push", "-q", "-r", place.name, *(("--all-commits",) if all_commits else stages))
    return Pushed(place, len(stages), send(ws.root, place, mine), _is_uncommitted(ws.root))


def pull(ws: Workspace, targets: Sequence[str] = (), remote: str | None = None) -> Pulled:
    """Bring the ledger's new entries and the payloads that dvc.lock names, or those of `targets` alone.

    What is fetched lies in DVC's cache until the entries are in, so that a failure leaves ledger and payloads as they
    were. Raises UserError for an unknown target, a remote that is away or empty, and a ledger that does not fit ours.
    """
    stages = _stages(ws, targets)
    place = open_place(ws.root, remote)
    received = receive(ws.root, place)
    _fetch(ws.root, place, stages)
    entries = accept(ws.root, received)
    if stages:
        dvc.run_dvc(ws.root, "checkout", "-q", *stages)
    signers = {one["keyid"] for entry in entries for one in entry.signatures}
    return Pulled(place, len(stages), len(entries), tuple(sorted(signers - keys.trusted_keys(ws.root).keys())))


def _fetch(root: Path, place: Place, stages: Sequence[str]) -> None:
    """Bring payloads to the cache; DVC is content with less than all, a checkout is not. Raises UserError."""
    if dvc.not_cached(root, stages):
        dvc.run_dvc(root, "fetch", "-q", "-r", place.name, *stages)
    if lacking := dvc.not_cached(root, stages):
        raise UserError(
            f"The remote {place} lacks payloads that {LOCK} names: {', '.join(lacking)}.",
            "Run `editloom push` where they were made (--all-commits for those of older commits), or name the payloads "
            "that you want: `editloom pull ASSET …`. Nothing here was changed.",
        )


def _locked_stages(ws: Workspace) -> list[str]:
    """The stages of params.yaml that dvc.lock knows: DVC has no versions of the others."""
    locked = dvc.lock_entries(ws.root)
    return [asset_id.stage for asset_id in expand(list(ws.params().attributes)) if asset_id.stage in locked]


def _stages(ws: Workspace, targets: Sequence[str]) -> list[str]:
    known = _locked_stages(ws)
    if not targets:
        return known
    chosen = list(dict.fromkeys(stage for target in targets for stage in _stages_of(ws.params(), target)))
    missing = [stage for stage in chosen if stage not in known]
    if missing:
        hint = f"Commits that have it: git log --oneline -S'{missing[0]}' -- {LOCK}"
        raise UserError(f"{LOCK} knows no version of {', '.join(missing)}.", hint)
    return chosen


def _stages_of(params: Params, target: str) -> list[str]:
    """The stages of `asset`, `asset[partition]` or `asset@partition`; UserError names the nearest asset."""
    name, _, partition = target.partition("@")
    asset_id = AssetId(name, partition) if partition else AssetId.parse(target)
    found = expand(list(params.attributes), [node(asset_id.asset).name])
    chosen = [one.stage for one in found if asset_id.partition in (None, one.partition)]
    if not chosen:
        hint = f"Declared in params.yaml: {', '.join(str(one) for one in found)}."
        raise UserError(f"There is no '{target}'.", hint)
    return chosen


def _is_uncommitted(root: Path) -> bool:
    """Whether dvc.lock differs from the last commit's, or is in none."""
    done = subprocess.run(["git", "status", "--porcelain", "--", LOCK], cwd=root, capture_output=True, text=True)
    return done.returncode != 0 or done.stdout != ""
