"""What an auditor's words mean: a model, a version, a run, an image."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.errors import UserError
from orchestration.audit.image_index import Holding, holdings, holdings_of_subject, unreadable
from orchestration.graph import GRAPH, AssetId
from orchestration.lineage import SHOWN_DIGITS
from orchestration.store import edges, ledger
from orchestration.store.ledger import FoundBy, LedgerEntry
from orchestration.workspace import Workspace

Kind = Literal["model", "artifact", "dvc", "dagster_run", "mlflow_run", "image"]
SUBJECT = "subject:"
MIN_PREFIX = 6
FORMS = (
    "A target is MODEL@ALIAS, MODEL/VERSION, an asset such as attribute_editor[beard], asset@VERSION, a data version, "
    "a DVC md5, a ledger entry's hash, a Dagster or MLflow run, an image file, an image's sha256, or subject:NAME."
)
_COLUMNS: Mapping[FoundBy, Kind] = {
    "data_version": "artifact",
    "dvc_md5": "dvc",
    "dagster_run": "dagster_run",
    "mlflow_run": "mlflow_run",
}
_TRIED: Mapping[Kind, str] = {
    "artifact": "data version",
    "dvc": "DVC md5",
    "dagster_run": "Dagster run",
    "mlflow_run": "MLflow run",
}
_PREFIX = re.compile(rf"[0-9a-f-]{{{MIN_PREFIX},}}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MODEL = re.compile(r"[^@/:'\s\[\]]+(?:@[A-Za-z][\w-]*|/[1-9]\d*)")


@dataclass(frozen=True)
class Target:
    """What is asked about: `entries` in ledger order, of an image those of the image sets that hold it.

    `image` is the sha256 by which an image was named; None for a subject, whose name stands in `text`.
    """

    kind: Kind
    text: str
    entries: tuple[LedgerEntry, ...]
    image: str | None


def resolve_target(ws: Workspace, text: str) -> Target:
    """What `text` means in this workspace; see FORMS.

    Raises UserError for a target that is not known, with what was tried and the nearest names, and for a prefix that
    several things begin with.
    """
    text = text.strip()
    if text.startswith(SUBJECT):
        return _image(ws, text, None, holdings_of_subject(ws, text.removeprefix(SUBJECT)))
    name, _, version = text.partition("@")
    if AssetId.parse(name).asset in GRAPH:
        return _asset(ws, text, name, version)
    if Path(text).expanduser().is_file():
        return _file(ws, text)
    if _MODEL.fullmatch(text):
        return _model(ws, text)
    return _digest(ws, text)


def images_of(ws: Workspace, target: Target) -> list[Holding]:
    """Every place of the images that a target of kind "image" names, under whichever hash a set knows them."""
    if target.kind != "image":
        return []
    if target.image is None:
        return holdings_of_subject(ws, target.text.removeprefix(SUBJECT))
    return linked_holdings(ws, (target.image,))


def linked_holdings(ws: Workspace, keys: Iterable[str]) -> list[Holding]:
    """The same images by every hash that links them: photograph, stored picture, crop."""
    known: frozenset[str] = frozenset()
    wanted = frozenset(keys)
    found: list[Holding] = []
    while wanted != known:
        known, found = wanted, holdings(ws, wanted)
        linked = {key for one in found for key in (one.sha256, one.parent, one.source_sha256) if key}
        wanted = known | linked
    return found


def _file(ws: Workspace, text: str) -> Target:
    sha256 = hashlib.sha256(Path(text).expanduser().read_bytes()).hexdigest()
    found = linked_holdings(ws, (sha256,))
    if not found:
        raise UserError(
            f"{text} (sha256 {sha256[:SHOWN_DIGITS]}…) is in no image set of this ledger.",
            "Neither as a photograph, nor as a stored image or a crop: its very bytes count." + _gaps(ws),
        )
    return _image(ws, text, sha256, found)


def _image(ws: Workspace, text: str, sha256: str | None, found: Sequence[Holding]) -> Target:
    if not found:
        hint = "Subjects are named as in the manifest, such as renderer:10000007." + _gaps(ws)
        raise UserError(f"{text} shows in no image set of this ledger.", hint)
    entries = {holding.entry.seq: holding.entry for holding in found}
    return Target("image", text, tuple(entries[seq] for seq in sorted(entries)), sha256)


def _gaps(ws: Workspace) -> str:
    """Which image sets could not be looked into."""
    gone = [f"{entry.subject}@{str(entry.body['data_version'])[:SHOWN_DIGITS]}" for entry in unreadable(ws)]
    return (
        f" Not looked into, for their manifests are not here (try `editloom pull`): {', '.join(gone)}." if gone else ""
    )


def _asset(ws: Workspace, text: str, subject: str, version: str) -> Target:
    asset = GRAPH[AssetId.parse(subject).asset]
    known = edges.subjects(ws.root)
    if subject not in known:
        others = [one for one in known if AssetId.parse(one).asset == asset.name]
        hint = f"Of {asset.name} there are: {', '.join(others)}." if others else "See `editloom plan`, then run it."
        several = others and subject == asset.name
        raise UserError(f"{subject} {'means several assets' if several else 'was never made'}.", hint)
    if not version:
        last = ledger.last_entry(ws.root, asset.name, AssetId.parse(subject).partition)
        return Target("artifact", text, (last,) if last else (), None)
    made = [one for one in edges.made_of(ws.root, subject) if one.newest and one.data_version.startswith(version)]
    if len(made) != 1:
        raise _of_many(text, [one.data_version for one in made or edges.made_of(ws.root, subject)], bool(made))
    return Target("artifact", text, tuple(edges.entries_at(ws.root, [made[0].seq])), None)


def _of_many(text: str, versions: Sequence[str], several: bool) -> UserError:
    known = ", ".join(dict.fromkeys(version[:SHOWN_DIGITS] for version in reversed(versions)))
    if several:
        return UserError(f"`{text}` means several versions.", f"Give more digits; they are: {known}.")
    return UserError(f"`{text}`: there is no such version.", f"The ledger has, newest first: {known}.")


def _model(ws: Workspace, text: str) -> Target:
    """The release that a registered version is, by the tags with which it was registered."""
    from orchestration.tracking import open_tracker
    from orchestration.tracking.model_spec import find_version, parse_spec

    model = find_version(open_tracker(ws), parse_spec(text))
    made = ledger.makers(ws.root, model.tags.get("editloom.asset", ""), model.tags.get("editloom.release", ""))
    if not made:
        raise UserError(
            f"This workspace's ledger has no entry for {model.name} version {model.version}.",
            "It was released from another workspace: audit it there, or fetch that ledger with `editloom pull`.",
        )
    own = [entry for entry in made if entry.body["mlflow_run"] == model.run_id]
    return Target("model", text, ((own or made)[-1],), None)


def _digest(ws: Workspace, text: str) -> Target:
    wanted = text.lower().removesuffix(".dir")
    found = _candidates(ws, wanted) if _PREFIX.fullmatch(wanted) else {}
    if len(found) > 1:
        named = "; ".join(f"{_TRIED[kind]} {value} ({_subjects(made)})" for (kind, value), made in found.items())
        raise UserError(f"`{text}` means several things.", f"Give more digits; it begins: {named}.")
    for (kind, _), made in found.items():
        return Target(kind, text, tuple(made), None)
    if _DIGEST.fullmatch(wanted):
        images = linked_holdings(ws, (wanted,))
        if images:
            return _image(ws, text, wanted, images)
    raise _unknown(ws, text)


def _candidates(ws: Workspace, prefix: str) -> dict[tuple[Kind, str], list[LedgerEntry]]:
    """What begins with a prefix: (kind, whole value) → entries, of equal versions the newest of each id."""
    found: dict[tuple[Kind, str], dict[str, LedgerEntry]] = {}
    for column, kind in _COLUMNS.items():
        for entry in ledger.found_by(ws.root, column, prefix):
            found.setdefault((kind, str(entry.body[column])), {})[entry.subject] = entry
    for entry in ledger.entries_of_hash(ws.root, prefix):
        if entry.kind == ledger.MATERIALIZATION:
            found.setdefault(("artifact", str(entry.body["data_version"])), {})[entry.subject] = entry
    return {name: sorted(made.values(), key=lambda entry: entry.seq) for name, made in found.items()}


def _subjects(made: Sequence[LedgerEntry]) -> str:
    return made[0].subject if len(made) == 1 else f"{len(made)} entries"


def _unknown(ws: Workspace, text: str) -> UserError:
    names = [*GRAPH, *edges.subjects(ws.root)]
    names += [entry.subject for entry in ledger.entries(ws.root, kind=ledger.RELEASE)]
    close = difflib.get_close_matches(text, sorted(set(names)), n=3, cutoff=0.5)
    nearest = f"Did you mean {' or '.join(close)}? " if close else ""
    if _PREFIX.fullmatch(text.lower().removesuffix(".dir")):
        tried = "no data version, DVC md5, ledger entry, Dagster run or MLflow run begins with it"
        tried += ", and no image set holds it" if _DIGEST.fullmatch(text.lower()) else ""
    elif "/" in text or Path(text).suffix:
        tried = "it is no file here, no asset and no registered model"
    else:
        tried = f"it is no asset, no registered model, and no digest of at least {MIN_PREFIX} digits"
    return UserError(f"`{text}` is not known here: {tried}.", nearest + FORMS)
