"""What an asset asks of the machine, as params.yaml says."""

from __future__ import annotations

import difflib

from data.errors import UserError
from orchestration.compute_sections import DeviceRequest
from orchestration.graph import GRAPH
from orchestration.params import Params

TRAINED_OVER_SEVERAL = ("original_network", "feature_network", "attribute_editor")
"""The assets that use more than one device when they ask for more: by DDP."""


def request_of(params: Params, asset: str) -> DeviceRequest:
    """The request of an asset, its memory in GB filled in.

    Raises UserError for a request of something that is no asset, none that takes devices, or not more than one.
    """
    _check(params)
    asked = params.compute.requests.get(asset, DeviceRequest())
    memory_gb = params.compute.memory_gb if asked.memory_gb is None else asked.memory_gb
    return asked.model_copy(update={"memory_gb": memory_gb})


def _check(params: Params) -> None:
    takes_devices = [name for name, asset in GRAPH.items() if asset.device]
    for name, asked in params.compute.requests.items():
        if name not in takes_devices:
            close = difflib.get_close_matches(name, takes_devices, n=1, cutoff=0.5)
            hint = f"The nearest that does is `{close[0]}`." if close else f"Those that do: {', '.join(takes_devices)}."
            raise UserError(f"params.yaml: compute.requests: `{name}` is no asset that takes devices.", hint)
        if asked.devices > 1 and name not in TRAINED_OVER_SEVERAL:
            raise UserError(
                f"params.yaml: compute.requests: `{name}` asks for {asked.devices} devices and uses one.",
                f"Those that train over several: {', '.join(TRAINED_OVER_SEVERAL)}.",
            )
