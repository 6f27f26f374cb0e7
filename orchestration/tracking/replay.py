"""What dead processes, or an absent server, left unsent: sent again in order, with the original times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from data.errors import UserError
from orchestration.tracking.sender import settle_sender
from orchestration.tracking.server import EMBEDDED, TrackingAwayError, identity, is_server, reason
from orchestration.tracking.spool import Spool
from orchestration.tracking.spool_folder import SpoolError, folders, header_of, records_left
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from orchestration.tracking.runs import Tracker


@dataclass(frozen=True)
class Replayed:
    """What a replay sent, and what it left: `runs_left` and `left` count what is for this server, `elsewhere` the
    records for other ones by their address. `away` says why, `unreadable` names folders."""

    sent: int = 0
    left: int = 0
    runs_left: int = 0
    away: str = ""
    elsewhere: Mapping[str, int] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()


def replay(ws: Workspace) -> Replayed:
    """Send every spool that no living process sends; a server that is away is told, not raised.

    Without any spool it asks nobody.
    """
    if not folders(ws):
        return Replayed()
    settle_sender(ws)
    sent, away = 0, ""
    try:
        sent = _send_all(ws)
    except TrackingAwayError as error:
        away = error.message
    except _CutOffError as error:
        sent, away = error.sent, error.why
    left = unsent(ws)
    return Replayed(sent, left.left, left.runs_left, away, left.elsewhere, left.unreadable)


def make_ready(ws: Workspace) -> None:
    """Make the workspace's own database before several steps want it; a server needs nothing."""
    if not is_server(ws.mlflow_uri):
        from orchestration.tracking.runs import open_tracker

        open_tracker(ws)


def unsent(ws: Workspace) -> Replayed:
    """What waits in the spools; nothing is sent."""
    left, elsewhere, unreadable = [], Counter[str](), []
    for folder in folders(ws):
        try:
            header = header_of(folder)
        except SpoolError as error:
            unreadable.append(str(error))
            continue
        if header is None or not records_left(folder):
            continue
        if header.server == identity(ws):
            left.append(records_left(folder))
        else:
            elsewhere[header.server] += records_left(folder)
    return Replayed(0, sum(left), len(left), "", dict(elsewhere), tuple(unreadable))


def require_sent(ws: Workspace) -> None:
    """Send what waits; raises UserError when any of it has to wait on: pictures stand in it too."""
    found = replay(ws)
    if found.left or found.elsewhere or found.unreadable:
        raise UserError(
            f"{ws.state / 'spool'} still holds what MLflow was not told. {' '.join(_lines(found))}",
            "`editloom track replay` sends it; delete a folder there that nobody needs any more.",
        )


def tell(found: Replayed, console: Console) -> None:
    """Say what was sent and what waits; nothing when there is nothing to say."""
    for line in _lines(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


class _CutOffError(Exception):
    """The server went away, or refused to go on, in the middle of a replay."""

    def __init__(self, sent: int, why: str) -> None:
        super().__init__(why)
        self.sent, self.why = sent, why


def _send_all(ws: Workspace) -> int:
    from orchestration.tracking.runs import open_tracker

    mine = [folder for folder in folders(ws) if _is_of(ws, folder)]
    if not mine:
        return 0
    tracker, sent = open_tracker(ws), 0
    for folder in mine:
        spool = Spool.take(folder)
        if spool is not None:
            sent += _send(ws, spool, tracker, sent)
    return sent


def _send(ws: Workspace, spool: Spool, tracker: Tracker, before: int) -> int:
    from orchestration.tracking.delivery import Delivery

    delivery, sent = Delivery(ws, spool), 0
    try:
        while not spool.drained:
            sent += delivery.send(tracker)
        delivery.close(tracker)
    except Exception as error:
        spool.release()
        raise _CutOffError(before + sent, f"MLflow cannot be told: {reason(error)}") from error
    spool.remove()
    return sent


def _is_of(ws: Workspace, folder: Path) -> bool:
    try:
        header = header_of(folder)
    except SpoolError:
        return False
    return header is None or header.server == identity(ws)


def _lines(found: Replayed) -> list[str]:
    lines = [f"MLflow was told {_records(found.sent)} that had waited."] if found.sent else []
    if found.left or found.away:
        said = f" {found.away}." if found.away else ""
        lines.append(
            f"Tracking:{said} {_records(found.left)} of {found.runs_left} runs wait in .editloom/spool: "
            "the next `editloom run` sends them, or `editloom track replay`."
        )
    for server, count in found.elsewhere.items():
        where = "the workspace's own database" if server == EMBEDDED else server
        lines.append(
            f"{_records(count)} wait for {where}: set MLFLOW_TRACKING_URI to it (unset it for the workspace's own), "
            "then `editloom track replay`."
        )
    return [*lines, *found.unreadable]


def _records(count: int) -> str:
    return f"{count:,} record{'' if count == 1 else 's'}"
