"""A folder or a glob of photographs to an image set: decoded, asked for consent, split, stored anew as PNG."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from data.consent import Withheld
from data.counting import CountFn, uncounted
from data.decoding import decode_image
from data.errors import UserError
from data.image_set import ImageSetSummary, ImageSetWriter
from data.manifest import ImageRow, SplitFractions, split_of
from data.parallel import ordered
from data.photo_files import PhotoFiles, find_photos
from data.png import encode_png
from data.quarantine import BadImageError, Reason, Rejection
from data.sidecar import SidecarRow, read_sidecars

MAX_FILE_BYTES = 1 << 30


@dataclass(frozen=True)
class IngestConfig:
    """Where the photographs are, and what is known of their consent when no sidecar row says.

    `source` is a folder (with its subfolders), one file, or a glob. `sidecar` speaks for all of it; beside it a
    `sidecar.csv` in a subfolder for what lies there. `consent_default` granted needs `attested_by`.
    """

    source: str
    sidecar: Path | None = None
    consent_default: Literal["granted", "withdrawn"] = "withdrawn"
    attested_by: str | None = None
    min_size_px: int = 64
    max_pixels: int = 100_000_000
    licence_default: str = "unknown"
    category_default: str = "human"

    def __post_init__(self) -> None:
        if self.consent_default == "granted" and not (self.attested_by or "").strip():
            raise UserError(
                "consent_default is granted, but nobody attests it.",
                "Set ingest.attested_by to the name of the person who vouches for the consent of all these photos.",
            )


@dataclass(frozen=True)
class _Photo:
    """One file to decode."""

    path: str
    name: str
    max_pixels: int
    min_size_px: int


@dataclass(frozen=True)
class _Decoded:
    name: str
    source_sha256: str
    png: bytes
    width: int
    height: int


def ingest_photos(
    config: IngestConfig,
    out: Path,
    split: SplitFractions = SplitFractions(),  # noqa: B008 – frozen
    processes: int = 1,
    progress: CountFn = uncounted,
    attributes: tuple[str, ...] = (),
    withheld: Withheld = Withheld(),  # noqa: B008 – frozen
) -> ImageSetSummary:
    """Writes the image set of a folder of photographs into `out`; bad ones go to quarantine, the rest goes on.

    `attributes` are given to every image (a folder of its own for an attribute); what is `withheld` goes to quarantine,
    whatever the sidecar says. Raises UserError when there is no file, no image is left, the sidecar is wrong, or nobody
    has consented.
    """
    found = _found(config)
    files, sidecar = found.photos, read_sidecars(config.sidecar, found)
    _require_consent(config, sidecar)
    with ImageSetWriter(out, "images", withheld) as writer:
        withdrawn = _reject_withdrawn(writer, files, sidecar, config)
        photos = [
            _Photo(path, name, config.max_pixels, config.min_size_px)
            for name, path in files.items()
            if _consent(name, sidecar, config) == "granted"
        ]
        for done, result in enumerate(ordered(_decode, photos, processes), start=1):
            _take(writer, result, withdrawn, _row_maker(config, sidecar, split, attributes))
            progress(done, len(photos))
        return writer.finish(_facts(config, len(files), sidecar))


def _found(config: IngestConfig) -> PhotoFiles:
    found = find_photos(config.source, config.sidecar)
    if not found.photos:
        raise UserError(f"There is no file in {config.source}.", "Put photographs there, or correct ingest.path.")
    return found


def _consent(name: str, sidecar: Mapping[str, SidecarRow], config: IngestConfig) -> str:
    """granted, withdrawn, or unknown when neither the sidecar nor an attested default speaks."""
    stated = sidecar[name].consent if name in sidecar else None
    return stated or ("granted" if config.consent_default == "granted" else "unknown")


def _require_consent(config: IngestConfig, sidecar: Mapping[str, SidecarRow]) -> None:
    if config.consent_default != "granted" and not any(row.consent == "granted" for row in sidecar.values()):
        raise UserError(
            f"No photograph of {config.source} has consent.",
            "Write `granted` in the sidecar's consent column, or set ingest.consent_default and ingest.attested_by.",
        )


def _reject_withdrawn(
    writer: ImageSetWriter, files: Mapping[str, str], sidecar: Mapping[str, SidecarRow], config: IngestConfig
) -> set[str]:
    """Quarantines what has no consent, undecoded; returns the hashes of the withdrawn files."""
    withdrawn = set()
    for name, path in files.items():
        consent = _consent(name, sidecar, config)
        if consent == "granted":
            continue
        try:
            sha256 = _read(Path(path))[1]
        except BadImageError as bad:
            writer.reject(Rejection(name, None, bad.reason, bad.expected))
            continue
        if consent == "withdrawn":
            withdrawn.add(sha256)
        writer.reject(_without_consent(name, sha256, consent, sidecar.get(name)))
    return withdrawn


def _without_consent(name: str, sha256: str, consent: str, row: SidecarRow | None) -> Rejection:
    said = [part for part in (row.consent_reason, row.consent_time) if part] if row else []
    reason: Reason = "withdrawn" if consent == "withdrawn" else "no_consent"
    stated = f"consent is {consent}" + (f" ({', '.join(said)})" if said else "")
    return Rejection(name, sha256, reason, f"consent granted; {stated}")


def _read(path: Path) -> tuple[bytes, str]:
    """The file's bytes and their sha256."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadImageError("too_many_pixels", f"a file of at most {MAX_FILE_BYTES} bytes")
        payload = path.read_bytes()
    except OSError as error:
        raise BadImageError("unreadable", f"a readable file; {error.strerror}") from error
    return payload, hashlib.sha256(payload).hexdigest()


def _decode(photo: _Photo) -> _Decoded | Rejection:
    sha256 = None
    try:
        payload, sha256 = _read(Path(photo.path))
        image = decode_image(payload, photo.max_pixels, photo.min_size_px)
    except BadImageError as bad:
        return Rejection(photo.name, sha256, bad.reason, bad.expected)
    return _Decoded(photo.name, sha256, encode_png(image), image.shape[1], image.shape[0])


def _take(writer: ImageSetWriter, result: _Decoded | Rejection, withdrawn: set[str], maker: _RowMaker) -> None:
    if isinstance(result, Rejection):
        writer.reject(result)
    elif result.source_sha256 in withdrawn:
        expected = "consent granted; the same bytes are withdrawn under another name"
        writer.reject(Rejection(result.name, result.source_sha256, "withdrawn", expected))
    else:
        writer.add(result.png, maker.row(result))


@dataclass(frozen=True)
class _RowMaker:
    """Puts a manifest row together from the defaults and the sidecar."""

    defaults: SidecarRow
    sidecar: Mapping[str, SidecarRow]
    split: SplitFractions
    attributes: tuple[str, ...]

    def row(self, photo: _Decoded) -> ImageRow:
        """The row of a decoded photo; an unknown subject is one subject per image."""
        said = self.sidecar.get(photo.name, replace(self.defaults, file=photo.name))
        subject = said.subject or f"image:{photo.source_sha256}"
        return ImageRow(
            photo.name, subject, said.licence or self.defaults.licence or "unknown", "granted",
            said.category or self.defaults.category or "human",
            tuple(sorted({*said.attributes, *self.attributes})), photo.width, photo.height,
            split_of(subject, self.split), source_sha256=photo.source_sha256,
            consent_reason=said.consent_reason or (None if said.consent else self.defaults.consent_reason),
            consent_time=said.consent_time,
        )  # fmt: skip


def _row_maker(
    config: IngestConfig, sidecar: Mapping[str, SidecarRow], split: SplitFractions, attributes: Sequence[str]
) -> _RowMaker:
    reason = f"attested by {config.attested_by}" if config.consent_default == "granted" else None
    defaults = SidecarRow(
        "", licence=config.licence_default, category=config.category_default, consent_reason=reason
    )  # fmt: skip
    return _RowMaker(defaults, sidecar, split, tuple(attributes))


def _facts(config: IngestConfig, files: int, sidecar: Mapping[str, SidecarRow]) -> dict[str, object]:
    by_row = sum(row.consent == "granted" for row in sidecar.values())
    attested = config.attested_by if config.consent_default == "granted" else None
    return {
        "sources": {"folder": {"files": files, "sidecar_rows": len(sidecar)}},
        "consent": {"default": config.consent_default, "attested_by": attested, "granted_by_sidecar": by_row},
    }
