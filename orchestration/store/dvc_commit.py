"""`dvc commit -f` in this process: starting DVC's command costs three times what the commit itself does."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from data.errors import led_to

_LOGGERS = ("dvc", "dvc_data", "dvc_objects")


def commit_stages(root: Path, stages: Sequence[str]) -> tuple[bool, str]:
    """Save the stages' hashes in dvc.lock and their outs in the cache; whether DVC raised nothing, and all it said."""
    from dvc.repo import Repo

    with _errors_told() as told:
        try:
            with Repo(str(root)) as repo:
                for stage in stages:
                    repo.commit(f"{root / 'dvc.yaml'}:{stage}", force=True)
        except Exception as error:  # whatever it is, DVC's own command would tell it and exit with 255
            return False, "; ".join([*told, *map(str, led_to(error))])
    return True, "; ".join(told)


@contextmanager
def _errors_told() -> Iterator[list[str]]:
    """What DVC's libraries log as errors while the block runs, each with the exception's own words."""
    told: list[str] = []

    class Collecting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            told.append(f"{record.getMessage()}: {error}" if error else record.getMessage())

    handler = Collecting(logging.ERROR)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield told
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
