"""How a field of a settings file is written down: its unit, its bounds, and what it means."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

KIMG = "thousand images"
SLUG = r"^[a-z][a-z0-9_]{0,47}$"
ATTRIBUTE_SLUG = r"^[a-z][a-z0-9_]{0,47}(\+[a-z][a-z0-9_]{0,47})*$"
MAX_ATTRIBUTE_CHARS = 96  # it stands in the names of folders and of registered models

Slug = Annotated[str, StringConstraints(pattern=SLUG)]
AttributeSlug = Annotated[str, StringConstraints(pattern=ATTRIBUTE_SLUG, max_length=MAX_ATTRIBUTE_CHARS)]
LayerName = Annotated[str, StringConstraints(pattern=r"^\d+/[12]$")]


def _fraction_of_crop(point: tuple[float, float]) -> tuple[float, float]:
    if not all(0.0 < part < 1.0 for part in point):
        raise ValueError("both parts lie between 0 and 1: (x, y) in fractions of the crop")
    return point


Point = Annotated[tuple[float, float], AfterValidator(_fraction_of_crop)]
Positive = Annotated[float, Field(gt=0.0)]
Strength = Annotated[float, Field(gt=0.0, le=1.0)]
PathText = Annotated[str, StringConstraints(min_length=1)]


def number(default: float | None, unit: str, low: float, high: float, description: str) -> Any:
    """A field with its unit, its bounds (both included) and what it means."""
    return Field(default=default, ge=low, le=high, description=description, json_schema_extra={"unit": unit})


def choice(default: object, description: str) -> Any:
    """A field whose type already names what it may be."""
    return Field(default=default, description=description, json_schema_extra={"unit": "-"})


class Section(BaseModel):
    """A part of `params.yaml`: frozen, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)
