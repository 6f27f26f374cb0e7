"""The tracking server from the outside: whether it answers, and how long anybody waits for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from data.errors import UserError
from orchestration.workspace import Workspace

EMBEDDED = "embedded"
"""The SQLite database in the workspace: it goes where the workspace goes."""
WAIT_S = 1.5
"""The longest that a step waits for a server, when it ends."""
EMBEDDED_WAIT_S = 60.0
"""The same for a database of this machine: it is no server that could be away, only slow or locked."""
PROBE_S = 1.5
# MLflow's own are 7 retries and 120 s each: minutes until somebody is told that a server is away.
PATIENCE: Mapping[str, str] = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


class TrackingAwayError(UserError):
    """The tracking server does not answer; nothing that was told to it is lost."""

    def __init__(self, uri: str, reason: str) -> None:
        super().__init__(
            f"The tracking server {shown(uri)} does not answer: {reason}",
            "What steps tell it is kept in .editloom/spool: the next `editloom run` sends it, "
            "or `editloom track replay`.",
        )


def be_patient() -> None:
    """Bound how long MLflow's client tries; what the environment says already, stays."""
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)


def is_server(uri: str) -> bool:
    """Whether a tracking URI is a server's, and no database's."""
    return urlsplit(uri).scheme in {"http", "https"}


def identity(ws: Workspace) -> str:
    """Which server a workspace tells: its address without credentials, or `embedded`."""
    own = f"sqlite:///{ws.state / 'mlflow.db'}"
    return EMBEDDED if ws.mlflow_uri == own else shown(ws.mlflow_uri)


def shown(uri: str) -> str:
    """A tracking URI without credentials."""
    found = urlsplit(uri)
    return uri if "@" not in found.netloc else found._replace(netloc=found.netloc.rpartition("@")[2]).geturl()


def wait_s(ws: Workspace) -> float:
    """The longest that a step waits for what it told to arrive."""
    return WAIT_S if is_server(ws.mlflow_uri) else EMBEDDED_WAIT_S


def require_answer(uri: str) -> None:
    """Ask a server whether it is there, once and briefly; raises TrackingAwayError when it is not."""
    if not is_server(uri):
        return
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        known = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
        http_request(known, "/health", "GET", max_retries=0, timeout=PROBE_S)  # type: ignore[no-untyped-call]
    except (MlflowException, OSError) as error:
        raise TrackingAwayError(uri, reason(error)) from None


def reason(error: BaseException) -> str:
    """The first line of what an error says, the innermost cause where MLflow wraps it."""
    inner = error
    while (cause := inner.__cause__ or inner.__context__) is not None:
        inner = cause
    first = (str(inner).splitlines() or [""])[0].strip() or type(inner).__name__
    return first.rpartition(": ")[2] if first.startswith("<") or "urllib3" in first else first
