"""The few forms that everything is drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.render.canvas import Field

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Egg:
    """An egg: different upper and lower half, from elliptic (square 0) to boxy (square 1), lower half tapered."""

    u: float
    v: float
    width: float
    up: float
    down: float
    square_up: float = 0.0
    square_down: float = 0.0
    taper: float = 0.0
    lean: float = 0.0
    """How far the lower end lies to the right of the middle."""


@dataclass(frozen=True)
class EggField:
    """An egg over a canvas.

    inside: signed distance, positive within; fill: the implicit function (1 in the middle, 0 at the edge);
    q: place across, [-1, 1]; t_up, t_down: places above and below the middle, [0, 1]; height: of the inflated egg.
    """

    inside: Field
    fill: Field
    q: Field
    t_up: Field
    t_down: Field
    height: Field

    def normal(self, flat: float = 0.0) -> tuple[Field, Field, Field]:
        """A normal (of any length) of the inflated egg; `flat` in [0, 1] flattens its middle."""
        q = self.q if flat == 0.0 else self.q * ((1.0 - flat) + flat * self.q * self.q)
        return q, (self.t_down - self.t_up) * (1.0 - 0.45 * flat), self.height


def egg_field(egg: Egg, u: Field, v: Field, notch: Field | float = 0.0) -> EggField:
    """Evaluate an egg; `notch` is added to its implicit function (positive values eat into it)."""
    dv = v - egg.v
    t_down = np.maximum(dv, 0.0) * (1.0 / egg.down)
    t_up = np.maximum(-dv, 0.0) * (1.0 / egg.up)
    down2, up2 = t_down * t_down, t_up * t_up
    width = egg.width * (1.0 - egg.taper * np.minimum(down2, 1.5))
    du = u - egg.u
    if egg.lean != 0.0:
        du = du - egg.lean * np.minimum(t_down, 1.0)
    q = du / width
    rise = down2 * ((1.0 - egg.square_down) + egg.square_down * down2) + up2 * (
        (1.0 - egg.square_up) + egg.square_up * up2
    )
    q2 = q * q
    fill = 1.0 - (q2 + rise + notch)
    slope_q = 2.0 * q / width
    slope_v = t_down * (((1.0 - egg.square_down) * 2.0 + 4.0 * egg.square_down * down2) * (1.0 / egg.down))
    slope_v += t_up * (((1.0 - egg.square_up) * 2.0 + 4.0 * egg.square_up * up2) * (1.0 / egg.up))
    slope = np.sqrt(slope_q * slope_q + slope_v * slope_v + 0.05)
    return EggField(fill / slope, fill, q, t_up, t_down, np.sqrt(np.maximum(fill, 0.0)))


def blob(u: Field, v: Field, centre_u: float, centre_v: float, radius_u: float, radius_v: float) -> Field:
    """A soft round spot: 1 in its centre, 0 outside its radii, smooth between."""
    du, dv = (u - centre_u) * (1.0 / radius_u), (v - centre_v) * (1.0 / radius_v)
    rest = np.maximum(1.0 - du * du - dv * dv, 0.0)
    return rest * rest


def wave(phase: Field) -> Field:
    """A smooth periodic wave in [-1, 1] with period 1, from parabolas (no transcendental function)."""
    place = (phase - np.floor(phase)) * 2.0 - 1.0
    return 4.0 * place * (1.0 - np.abs(place))


def ramp(value: Field, low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, a smooth step between."""
    t = np.minimum(np.maximum((value - low) * (1.0 / (high - low)), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


def lambert(nx: Field, ny: Field, nz: Field, towards: Vector, wrap: float = 0.3) -> Field:
    """How much light arrives at a surface; `wrap` lets it reach around the edge. The normal may have any length."""
    norm = np.sqrt(nx * nx + ny * ny + nz * nz + 1e-6)
    facing = (nx * towards[0] + ny * towards[1] + nz * towards[2]) / norm
    arrives: Field = np.maximum((facing + wrap) * (1.0 / (1.0 + wrap)), 0.0)
    return arrives
