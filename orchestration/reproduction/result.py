"""What a reproduction found: each asset beside its record, and the first one that came out different."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from orchestration.reproduction.content import FileDifference
from orchestration.reproduction.tolerances import TOLERANCES

Verdict = Literal["identical", "within tolerance", "differs", "not made"]


@dataclass(frozen=True)
class AssetComparison:
    """One asset made again. `causes` are sentences: what that is recorded of it was not as it had been."""

    key: str
    entry: str
    recorded_version: str
    version: str | None
    recorded_class: str
    device_class: str
    verdict: Verdict
    files: tuple[FileDifference, ...] = ()
    causes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reproduction:
    """How a reproduction ended. `compared` is in the order of making; `folder` is None once it is gone."""

    target: str
    entry: str
    asset_only: bool
    portable: bool
    compared: tuple[AssetComparison, ...]
    notes: tuple[str, ...]
    seconds: float
    folder: str | None

    @property
    def first(self) -> AssetComparison | None:
        """The first asset that did not come out bit for bit, or None."""
        return next((one for one in self.compared if one.verdict != "identical"), None)

    @property
    def reproduced(self) -> bool:
        """Whether every asset came out as recorded, or within the tolerance of another class of device."""
        return all(one.verdict in ("identical", "within tolerance") for one in self.compared)

    @property
    def identical(self) -> bool:
        """Whether every byte came out as recorded."""
        return self.first is None

    def document(self) -> dict[str, Any]:
        """All of it for a JSON file, with the tolerances that were applied."""
        first = self.first.key if self.first else None
        told = {"reproduced": self.reproduced, "identical": self.identical, "first_difference": first}
        return {**asdict(self), **told, "tolerances": [asdict(one) for one in TOLERANCES]}
