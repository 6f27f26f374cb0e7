"""Whose consent was withdrawn after ingest: what no image set may hold from then on."""

from __future__ import annotations

from dataclasses import dataclass

WITHDRAWN_LATER = "consent granted; it was withdrawn after ingest"


@dataclass(frozen=True)
class Withheld:
    """Images by sha256 (of a photograph's file, of stored pixels, of what a crop was cut from), and subjects."""

    images: frozenset[str] = frozenset()
    subjects: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.images or self.subjects)

    def holds(self, subject: str, *hashes: str | None) -> bool:
        """Whether an image is withheld that shows `subject` and is known by these hashes (None: it has no such)."""
        return subject in self.subjects or self.named(*hashes) is not None

    def named(self, *hashes: str | None) -> str | None:
        """The first of the hashes by which an image is withheld; None where only its subject is, or nothing."""
        return next((one for one in hashes if one is not None and one in self.images), None)
