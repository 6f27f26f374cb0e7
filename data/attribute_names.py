"""Names of attributes: one (`beard`), or several of different types at once (`beard+slicked_back_hair`)."""

from __future__ import annotations

from collections.abc import Iterable

from data.errors import UserError

SEPARATOR = "+"


def parts_of(attribute: str) -> tuple[str, ...]:
    """The single attributes of a name: (`beard`, `slicked_back_hair`) of `beard+slicked_back_hair`.

    Raises UserError for an empty part, for one given twice, and for parts that are not in order: `a+b` and `b+a` are
    one attribute and so have one name.
    """
    parts = tuple(attribute.split(SEPARATOR))
    right = SEPARATOR.join(sorted(set(parts) - {""}))
    if right != attribute:
        raise UserError(
            f"{attribute!r} is no attribute's name: its parts stand in order of the alphabet, each once.",
            f"Write {right!r}." if right else "Name at least one attribute.",
        )
    return parts


def has_all(attribute: str, names: Iterable[str]) -> bool:
    """Whether an image with these labels carries every part of the attribute."""
    return set(parts_of(attribute)) <= set(names)


def has_any(attribute: str, names: Iterable[str]) -> bool:
    """Whether an image with these labels carries at least one part of the attribute."""
    return not set(parts_of(attribute)).isdisjoint(names)
