"""Making a lineage again in a temporary workspace, phase by phase, each asset compared as soon as it is there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from data.errors import UserError
from orchestration.reproduction.comparing import compare_entry
from orchestration.reproduction.own_files import link_photographs, place_recorded
from orchestration.reproduction.payloads import lay_out
from orchestration.reproduction.phases import Phase
from orchestration.reproduction.result import AssetComparison
from orchestration.reproduction.settings import own_files, rebuilt
from orchestration.reproduction.site import Site, last_words, probe
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import PARAMS_FILE, Workspace

EXIT_DONE, EXIT_REFUSED = 0, 3


@dataclass(frozen=True)
class Making:
    """What is made again, from which workspace's records, where."""

    ws: Workspace
    site: Site
    portable: bool
    console: Console


def make_phases(making: Making, phases: Sequence[Phase]) -> Iterator[AssetComparison]:
    """Make every asset of the lineage again, first things first; raises UserError before a phase that cannot be."""
    known: dict[str, AssetComparison] = {}
    for phase in phases:
        classes = prepare(making, phase)
        _place(making, phase.consent, ())
        names = ",".join(dict.fromkeys(entry.materialization.wanted.asset for entry in phase.entries))
        making.console.print(f"Making again: {names}", highlight=False)
        partitions = [word for one in phase.partitions for word in ("--partition", one)]
        done = making.site.editloom("run", "--select", names, *partitions)
        words = "" if done.returncode in (EXIT_DONE, EXIT_REFUSED) else last_words(done)
        for entry in phase.entries:
            found = compare_entry(making.ws.root, making.site.root, entry, classes[entry.subject], known, words)
            known[f"{entry.subject}@{found.recorded_version}"] = found
            yield found
        if any(one.verdict == "not made" for one in known.values()):
            return


def make_target(making: Making, phases: Sequence[Phase], target: LedgerEntry) -> Iterator[AssetComparison]:
    """Put everything upstream of the target in place by hash, and make the target alone again."""
    wanted = target.materialization.wanted
    inputs = [entry for phase in phases for entry in phase.entries if entry.entry_hash != target.entry_hash]
    last = Phase(target.materialization.git_commit, (target,), ())
    classes = prepare(making, last)
    _place(making, [entry for phase in phases for entry in phase.consent], inputs)
    making.console.print(f"Making again: {target.subject}", highlight=False)
    partition = ("--partition", wanted.partition) if wanted.partition else ()
    done = making.site.editloom("materialize", wanted.asset, *partition)
    words = "" if done.returncode in (EXIT_DONE, EXIT_REFUSED) else last_words(done)
    yield compare_entry(making.ws.root, making.site.root, target, classes[target.subject], {}, words)


def prepare(making: Making, phase: Phase) -> Mapping[str, str]:
    """Commit, settings and the user's own files as they were; returns the class of device of each asset here.

    Raises UserError that names the first asset whose code version or settings are not the recorded ones.
    """
    site = making.site
    site.check_out(phase.commit)
    place_recorded(making.ws, site, phase.entries)
    link_photographs(making.ws, site, own_files(rebuilt({}, phase.entries, portable=False)))
    told = _settled(making, phase)
    for entry in phase.entries:
        _require_same(entry, told[entry.subject], site)
    return {subject: str(facts["device_class"]) for subject, facts in told.items()}


def _settled(making: Making, phase: Phase) -> Mapping[str, Mapping[str, Any]]:
    """Write params.yaml and ask the code about it.

    What no entry read comes from the commit; where that does not go with the rest, as files were not committed, from
    the original workspace.
    """
    file, assets = making.site.root / PARAMS_FILE, [entry.subject for entry in phase.entries]
    refusals = []
    for base in (_parsed(file), _parsed(making.ws.params_file)):
        document = rebuilt(base, phase.entries, portable=making.portable)
        file.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
        try:
            return probe(making.site, assets)
        except UserError as error:
            refusals.append(error)
    raise refusals[0]


def _require_same(entry: LedgerEntry, facts: Mapping[str, Any], site: Site) -> None:
    made, whose = entry.materialization, "at the recorded commit" if site.code == site.repository else "installed"
    if facts["code_version"] != made.wanted.code_version:
        raise UserError(
            f"{entry.subject} was made by code version {made.wanted.code_version}; the code {whose} is at "
            f"{facts['code_version']}.",
            "Install the Editloom of that time (the commit stands in the model's card), then run this again.",
        )
    if facts["params_digest"] != made.wanted.params_digest:
        raise UserError(
            f"The recorded settings of {entry.subject} do not have the recorded digest "
            f"{made.wanted.params_digest[:12]} with the code {whose}.",
            "That code reads other settings than the one that made it, or the entry was altered: `editloom verify`.",
        )


def _place(making: Making, consent: Sequence[LedgerEntry], inputs: Sequence[LedgerEntry]) -> None:
    """Consent entries and payloads of the original's ledger, put into the temporary one by its own code."""
    if not consent and not inputs:
        return
    folder = making.site.log.parent / "inputs"
    payloads = [
        {"wanted": entry.body["wanted"], "folder": str(lay_out(making.ws.root, entry, folder / str(entry.seq)))}
        for entry in inputs
    ]
    told = [{"subject": entry.subject, "body": dict(entry.body)} for entry in consent]
    file = Path(making.site.log.parent / "placing.json")
    file.write_text(json.dumps({"consent": told, "payloads": payloads}))
    making.site.script("placing.py", str(file))


def _parsed(path: Path) -> dict[str, Any]:
    """The params.yaml of a commit, as it is: what its own code makes of it is that code's to say."""
    found = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    if not isinstance(found, dict):
        raise UserError(f"{path} is missing or no mapping.", "Is the recorded commit one of a workspace?")
    return found
