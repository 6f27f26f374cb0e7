"""How a computation that was asked to stop says that it did."""

from __future__ import annotations


class Interrupted(Exception):  # noqa: N818 – not an error: the state is saved
    """The computation saved its state and left; the same call goes on from there."""
