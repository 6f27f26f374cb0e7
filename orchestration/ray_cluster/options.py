"""Where bulk steps run: here, or on a Ray cluster. Told by `editloom run --executor`, or by the environment."""

from __future__ import annotations

import os
import socket
from contextlib import closing

from data.errors import UserError
from orchestration.graph import node
from orchestration.params import Params
from orchestration.store.records import Wanted

EXECUTOR_VARIABLE, ADDRESS_VARIABLE = "EDITLOOM_EXECUTOR", "EDITLOOM_RAY_ADDRESS"
LOCAL, RAY = "local", "ray"
AUTO = "auto"
"""Ray's own word for the cluster that this machine is a node of."""
REACH_S = 5.0
TOKEN_HINT = (
    "Start one with `ray start --head`, join this machine to it with `ray start --address=HOST:PORT`, and give "
    "both the same token: RAY_AUTH_MODE=token, RAY_AUTH_TOKEN or _TOKEN_PATH (`ray get-auth-token --generate`)."
)


def choose(executor: str | None, address: str | None) -> None:
    """Set, for this process and those it starts, where bulk steps run; None leaves what the environment says.

    Raises UserError for an unknown executor, an address that is none or is given to the local one, and a cluster away.
    """
    chosen = executor or os.environ.get(EXECUTOR_VARIABLE) or LOCAL
    if chosen not in (LOCAL, RAY):
        raise UserError(f"There is no executor '{chosen}'.", f"Expected `{LOCAL}` or `{RAY}`.")
    if address is not None and chosen != RAY:
        raise UserError(f"--address {address} is of no use to the local executor.", "Add --executor ray.")
    os.environ[EXECUTOR_VARIABLE] = chosen
    if address is not None:
        os.environ[ADDRESS_VARIABLE] = address
    if chosen == RAY:
        check_answers(ray_address())


def ray_address() -> str:
    """The cluster's address: as told, or RAY_ADDRESS, or `auto`."""
    return os.environ.get(ADDRESS_VARIABLE) or os.environ.get("RAY_ADDRESS") or AUTO


def check_answers(address: str) -> None:
    """Raise UserError for what is neither `auto` nor HOST:PORT, and where nobody answers: Ray takes long to say so."""
    host, _, port = address.rpartition(":")
    if address == AUTO:
        return
    if not (host and port.isdecimal() and "/" not in host):
        hint = "It is HOST:PORT of the cluster's head, or `auto` on a machine that is a node of it."
        raise UserError(f"'{address}' is no address of a Ray cluster.", f"{hint} This machine has to be a node too.")
    try:
        with closing(socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S)):
            return
    except (OSError, OverflowError) as error:
        raise UserError(f"No Ray cluster answers at {address}: {error}.", TOKEN_HINT) from None


def runs_on_ray(asset: str) -> bool:
    """Whether the builds of `asset` go to the cluster: bulk steps do, unless a gate asks registry and ledger first."""
    found = node(asset)
    return os.environ.get(EXECUTOR_VARIABLE) == RAY and found.device and not found.gated


def check_here(params: Params, wanted: Wanted) -> None:
    """Raise UserError for a bulk step that would run here and is wanted on the class of Ray's nodes."""
    if params.compute.ray.device_class is None or not node(wanted.asset).device:
        return
    from orchestration.plan import own_device_class

    mine, asked = own_device_class(params, wanted.asset), wanted.device_class
    if mine != asked:
        hint = "Add --executor ray, or unset compute.ray.device_class: what is made here then counts as of this class."
        raise UserError(f"{wanted.id} is wanted on the device class {asked}; this machine is {mine}.", hint)
