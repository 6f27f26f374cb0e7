"""Which image or subject a person means: all hashes under which an image is known, and whom it shows."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError
from orchestration.audit.image_index import Holding, holdings, holdings_of_subject, unreadable
from orchestration.consent.registry import consent_entries, consent_states
from orchestration.workspace import Workspace

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHOWN_DIGITS = 12


@dataclass(frozen=True)
class Named:
    """An image, by `image` and every other hash it is known by, or a subject with all of its images; where they lie."""

    image: str | None
    subject: str | None
    hashes: tuple[str, ...]
    holdings: tuple[Holding, ...]

    @property
    def text(self) -> str:
        """How a person reads it."""
        return f"image {self.image[:_SHOWN_DIGITS]}" if self.image else f"subject {self.subject}"


def image_sha256(text: str) -> str:
    """A sha256 as it is, or that of the file's bytes; raises UserError for what is neither."""
    if _SHA256.fullmatch(text.strip().lower()):
        return text.strip().lower()
    path = Path(text).expanduser()
    if not path.is_file():
        hint = "Give the sha256 of a photograph's file, of a stored image or of a crop (64 digits), or a file."
        raise UserError(f"`{text}` is neither a sha256 nor a file.", hint)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def named_images(ws: Workspace, sha256s: Sequence[str]) -> list[Named]:
    """The image of each sha256, with what manifests and earlier entries link to it; nothing needs to know it.

    A photograph, what was stored of it and the crops cut from that are one image.
    """
    before = [set(state.change.images) for state in consent_entries(ws.root) if state.change.subject is None]
    links = _links(before)
    found = _closure(ws, {one for sha256 in sha256s for one in _reached(links, sha256)})
    links = _links([*before, *(set(_hashes(holding)) for holding in found)])
    made = []
    for sha256 in sha256s:
        own = _reached(links, sha256)
        lies = tuple(holding for holding in found if holding.sha256 in own)
        made.append(Named(sha256, None, (sha256, *sorted(own - {sha256})), lies))
    return made


def named_subject(ws: Workspace, subject: str) -> Named:
    """A subject, with its images in every image set that the ledger knows of, and those that an earlier entry names."""
    found = holdings_of_subject(ws, subject)
    known = consent_states(ws.root).subjects.get(subject)
    hashes = {one for holding in found for one in _hashes(holding)} | set(known.change.images if known else ())
    linked = _closure(ws, hashes)
    hashes |= {one for holding in linked for one in _hashes(holding)}
    return Named(None, subject, tuple(sorted(hashes)), tuple(linked))


def named(ws: Workspace, image: str | None, subject: str | None) -> Named:
    """The one of both that was given; raises UserError for both or neither, and for what nothing here knows."""
    if (image is None) == (subject is None):
        raise UserError("Say who or what: exactly one of --image and --subject.", "See `editloom consent --help`.")
    known = named_images(ws, [image_sha256(image)])[0] if image is not None else named_subject(ws, str(subject))
    if not known.holdings and not _spoken_of(ws, known):
        raise _unknown(ws, known)
    return known


def _spoken_of(ws: Workspace, known: Named) -> bool:
    """Whether an entry of the ledger changed its consent before."""
    states = consent_states(ws.root)
    return known.subject in states.subjects or not states.images.keys().isdisjoint(known.hashes)


def _closure(ws: Workspace, start: Iterable[str]) -> list[Holding]:
    """Follow photograph → stored image → crop and back until no hash is new."""
    hashes, open_ = set(start), set(start)
    found: dict[tuple[int, str], Holding] = {}
    while open_:
        fresh = holdings(ws, sorted(open_))
        found |= {(holding.entry.seq, holding.sha256): holding for holding in fresh}
        open_ = {one for holding in fresh for one in _hashes(holding)} - hashes
        hashes |= open_
    return [found[key] for key in sorted(found)]


def _links(groups: Iterable[set[str]]) -> Mapping[str, set[str]]:
    links: dict[str, set[str]] = defaultdict(set)
    for group in groups:
        for one in group:
            links[one] |= group
    return links


def _reached(links: Mapping[str, set[str]], start: str) -> set[str]:
    """Every hash that is linked to `start`, directly or not."""
    seen, open_ = {start}, [start]
    while open_:
        fresh = links.get(open_.pop(), set()) - seen
        seen |= fresh
        open_.extend(fresh)
    return seen


def _hashes(holding: Holding) -> Sequence[str]:
    return [one for one in (holding.sha256, holding.parent, holding.source_sha256) if one is not None]


def _unknown(ws: Workspace, known: Named) -> UserError:
    away = sorted({entry.subject for entry in unreadable(ws)})
    hint = "Nothing was changed. `editloom consent import` also takes images that are not here yet."
    if away:
        hint = f"Of some versions of {', '.join(away)} the manifests are not here: `editloom pull` may help. {hint}"
    return UserError(f"No image set in the ledger holds {known.text}.", hint)
