"""Errors that a person can act on."""

from __future__ import annotations

from collections.abc import Iterator


class UserError(Exception):
    """A mistake in what the user gave: what is wrong, where, and what to do next.

    The command line prints both parts and exits with status 2; no traceback is shown.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


def led_to(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it was raised from or on top of."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__context__, one.__cause__]
