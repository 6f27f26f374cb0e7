"""Errors that a person can act on."""

from __future__ import annotations


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
