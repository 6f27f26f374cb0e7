"""Sends OpenLineage events to a server that takes them over HTTP, such as Marquez."""

from __future__ import annotations

import json
import os

from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport, TokenProvider
from requests.exceptions import RequestException

from data.errors import UserError

API_KEY_VARIABLE = "OPENLINEAGE_API_KEY"
TIMEOUT_S = 10.0
RETRY = {"total": 2, "backoff_factor": 0.2, "status_forcelist": [502, 503, 504], "allowed_methods": ["POST"]}


def send(lines: str, url: str) -> int:
    """Post each line, an event, to `api/v1/lineage` at `url`; returns how many.

    OPENLINEAGE_API_KEY is the bearer token where the server wants one. Raises UserError when the server is down or
    refuses an event; what it took until then it takes again without harm, for run ids follow from the ledger.
    """
    events = [json.loads(line) for line in lines.splitlines()]
    transport = HttpTransport(_config(url))
    try:
        for number, event in enumerate(events):
            try:
                transport.emit(event)
            except RequestException as error:
                raise _told(url, number, len(events), error) from None
    finally:
        transport.close()
    return len(events)


def _config(url: str) -> HttpConfig:
    if not url.startswith(("http://", "https://")):
        raise UserError(f"'{url}' is no address of an OpenLineage server.", "Expected one such as http://host:5000.")
    key = os.environ.get(API_KEY_VARIABLE)
    token = ApiKeyTokenProvider({"api_key": key}) if key else TokenProvider({})
    return HttpConfig(url=url, timeout=TIMEOUT_S, auth=token, retry=RETRY)


def _told(url: str, sent: int, total: int, error: RequestException) -> UserError:
    if error.response is not None:
        said = f"answered {error.response.status_code} {error.response.reason}"
        hint = f"Is it an OpenLineage server, and is {API_KEY_VARIABLE} set if it wants a key?"
        return UserError(f"{url} {said} to event {sent + 1} of {total}.", hint)
    hint = "See that it runs, then send again: what it has is the same event, not another one."
    return UserError(f"{url} does not answer: {sent} of {total} events were sent.", hint)
