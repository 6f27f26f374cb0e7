"""What changed between versions of a model, from the ledger: settings, code, data, judges, commits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from data.errors import UserError
from evaluation.report_files import TextTable
from orchestration.graph import AssetId
from orchestration.independence import independence_of
from orchestration.lineage import Lineage, lineage_of
from orchestration.store import ledger
from orchestration.store.records import Materialization
from orchestration.tracking.registry import ModelVersion
from orchestration.workspace import Workspace

ABSENT = "–"
UNKNOWN = "unknown"
SHOWN_DIGITS = 12
TAG_MODEL = "editloom.model"
JUDGES = "judges"
HELD_OUT = "aligned_images"

Lineages = Mapping[str, Lineage | None]
Facts = Mapping[str, str]


def version_lineage(ws: Workspace, asset: AssetId, model: ModelVersion) -> Lineage | None:
    """Everything that a version was made from; None where this workspace's ledger does not know the version."""
    try:
        return lineage_of(ws.root, asset, model.tags.get(TAG_MODEL, ""))
    except UserError:
        return None


def version_changes(lineages: Lineages) -> tuple[TextTable, ...]:
    """One table for each kind of thing in which the versions (by label, the baseline first) may differ.

    A table without rows says that nothing differs; of fewer than two known versions nothing can be said.
    """
    if sum(lineage is not None for lineage in lineages.values()) < 2:
        return ()
    return (
        _table("Settings", lineages, _settings),
        _table("Code versions", lineages, lambda made: {"": made.wanted.code_version}),
        _table("Data versions", lineages, _data, leave_out=(JUDGES,)),
        _table("Judges that took part in making them", lineages, _data, only=(JUDGES,)),
        _table("Commit, environment, device, seed", lineages, _circumstances),
    )


def unknown_versions(lineages: Lineages) -> Iterator[str]:
    """A warning for each version whose making this workspace cannot tell."""
    for label, lineage in lineages.items():
        if lineage is None:
            yield f"This workspace's ledger has no entry for {label}: what it was made from is not known here."


def dependent_versions(ws: Workspace, asset: AssetId, lineages: Lineages) -> Iterator[str]:
    """A warning for each version that this workspace's judges or held-out images took part in making."""
    measured_with = {
        name: entry.materialization.data_version
        for name in (JUDGES, HELD_OUT)
        if (entry := ledger.last_entry(ws.root, name)) is not None
    }
    for label, lineage in lineages.items():
        if lineage is None:
            continue
        version = lineage.entries[str(asset)].materialization.data_version
        found = independence_of(ws, {str(asset): version, **measured_with})
        if not found.passed:
            yield f"{label} is not shown to be independent of what measures it: {found.summary}"


def _table(
    caption: str,
    lineages: Lineages,
    facts: Callable[[Materialization], Facts],
    only: Sequence[str] = (),
    leave_out: Sequence[str] = (),
) -> TextTable:
    """What `facts` says of every asset in each lineage, where the versions differ in it."""
    columns = [None if lineage is None else _collected(lineage, facts) for lineage in lineages.values()]
    rows = []
    for subject, key in dict.fromkeys(key for column in columns if column for key in column):
        asset = AssetId.parse(subject.split("@")[0]).asset
        values = [UNKNOWN if column is None else column.get((subject, key), ABSENT) for column in columns]
        wanted = asset in only if only else asset not in leave_out
        if wanted and len(set(values) - {UNKNOWN}) > 1:
            rows.append((f"{subject} {key}".strip(), *values))
    return TextTable(caption, ("", *lineages), tuple(rows))


def _collected(lineage: Lineage, facts: Callable[[Materialization], Facts]) -> dict[tuple[str, str], str]:
    return {
        (subject, key): value
        for subject, entry in lineage.entries.items()
        for key, value in facts(entry.materialization).items()
    }


def _settings(made: Materialization) -> Facts:
    return dict(_flat(made.wanted.params))


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _flat(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(inner)


def _data(made: Materialization) -> Facts:
    """The version that came out, and those of the user's own files that went in."""
    files = {name: version[:SHOWN_DIGITS] for name, version in made.wanted.inputs.items() if ":" in name}
    return {"": made.data_version[:SHOWN_DIGITS], **files}


def _circumstances(made: Materialization) -> Facts:
    clean = "" if made.git_clean else " (with changes)"
    return {
        "commit": (made.git_commit or ABSENT)[:SHOWN_DIGITS] + clean,
        "environment": made.environment[:SHOWN_DIGITS],
        "device": made.wanted.device_class,
        "seed": str(made.wanted.seed),
    }
