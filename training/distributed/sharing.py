"""Which batches can be shared out among several devices."""

from __future__ import annotations

from data.errors import UserError


def check_shared(batch_size: int, devices: int, group: int = 1, group_size: int = 1) -> None:
    """Raise UserError unless each of `devices` gets as many of a batch, in whole groups of `group` neighbours.

    `group_size` is how large groups are in a batch that has room for them: its multiples are what the hint names.
    """
    if devices < 1:
        raise ValueError(f"devices is {devices}, expected at least 1")
    if devices == 1 or (batch_size % devices == 0 and batch_size // devices % group == 0):
        return
    step = devices * group_size
    fitting = f"{max(batch_size // step, 1) * step} or {(batch_size // step + 1) * step}"
    groups = f" in whole groups of {group}" if group > 1 else ""
    raise UserError(
        f"batch_size is {batch_size}: {devices} devices cannot share it evenly{groups}.",
        f"Set batch_size to a multiple of {step}, such as {fitting}, or ask for another number of devices.",
    )
