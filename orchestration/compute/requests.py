"""What an asset asks of the machine, as params.yaml says."""

from __future__ import annotations

import difflib

from data.errors import UserError
from orchestration.compute_sections import DeviceRequest
from orchestration.graph import GRAPH
from orchestration.params import Params


def request_of(params: Params, asset: str) -> DeviceRequest:
    """The request of an asset, its memory in GB filled in.

    Raises UserError for a request of something that is no asset, or none that takes devices.
    """
    _check(params)
    asked = params.compute.requests.get(asset, DeviceRequest())
    memory_gb = params.compute.memory_gb if asked.memory_gb is None else asked.memory_gb
    return asked.model_copy(update={"memory_gb": memory_gb})


def _check(params: Params) -> None:
    takes_devices = [name for name, asset in GRAPH.items() if asset.device]
    for name in params.compute.requests:
        if name not in takes_devices:
            close = difflib.get_close_matches(name, takes_devices, n=1, cutoff=0.5)
            hint = f"The nearest that does is `{close[0]}`." if close else f"Those that do: {', '.join(takes_devices)}."
            raise UserError(f"params.yaml: compute.requests: `{name}` is no asset that takes devices.", hint)
