"""What params.yaml asks for an asset: memory filled in, nonsense refused with the key named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from data.errors import UserError
from orchestration.compute.requests import request_of
from orchestration.workspace import Workspace


def test_unnamed_asset_asks_for_one_device_and_the_common_memory(workspace: Workspace) -> None:
    asked = request_of(workspace.params(), "edit_pairs")
    assert (asked.devices, asked.memory_gb, asked.priority) == (1, workspace.params().compute.memory_gb, 0)


def test_named_asset_gets_what_it_asks_for(workspace: Workspace, change_params: Callable[..., None]) -> None:
    change_params(workspace, {"compute.requests": {"original_network": {"devices": 2, "memory_gb": 7, "priority": 3}}})
    asked = request_of(workspace.params(), "original_network")
    assert (asked.devices, asked.memory_gb, asked.priority) == (2, 7, 3)


@pytest.mark.parametrize(
    ("asset", "request_", "complaint"),
    [
        ("orignal_network", {}, "compute.requests: `orignal_network` is no asset that takes devices"),
        ("images", {}, "compute.requests: `images` is no asset that takes devices"),
        ("edit_pairs", {"devices": 2}, "compute.requests: `edit_pairs` asks for 2 devices and uses one"),
    ],
)
def test_request_that_cannot_be_met_is_refused(
    workspace: Workspace, change_params: Callable[..., None], asset: str, request_: dict[str, int], complaint: str
) -> None:
    change_params(workspace, {"compute.requests": {asset: request_}})
    with pytest.raises(UserError, match=complaint):
        request_of(workspace.params(), "original_network")
