"""FD∞: the Fréchet distance of infinitely many images, by a straight line in 1/N (Chong and Forsyth, 1911.07023)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.metrics.frechet import (
    MOST_DIMENSIONS,
    Moments,
    TooFewVectorsError,
    frechet_distance,
    frechet_protocol,
    moments_of,
)
from evaluation.metrics.metric import Interval, Judge, Metric, not_measured

Floats = NDArray[np.float64]
NAME = "fd_infinity"
SIZES = 10
ORDERS = 20
SMALLEST_SHARE = 0.3
METHOD = "percentiles of the line's value at 1/N = 0 over {orders} seeded orders of the images; not of other images"


def fd_infinity_metric(features: ArrayLike, reference: ArrayLike, judge: Judge, seed: int = 0) -> Metric:
    """Return the line's value at 1/N = 0 of n×F vectors against m×F reference vectors, its mean over seeded orders.

    The reference stays whole, so that only the bias of the measured images goes. Without a value for too few images;
    of one order, without an interval, where distances of F features take seconds each.
    """
    one, two = np.asarray(features, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    base, width = frechet_protocol(judge), one.shape[1]
    orders = ORDERS if width <= MOST_DIMENSIONS else 1
    text = f"{base.name}, {base.text}, fitted in 1/N over {SIZES} sizes up to {len(one)}; {len(two)} reference images"
    try:
        fixed = moments_of([two], width)
        ends = np.array([extrapolated(one, fixed, seed + order) for order in range(orders)])
    except TooFewVectorsError as error:
        return not_measured(NAME, base.unit, judge, text, str(error), len(one))
    low, high = np.quantile(ends, [0.025, 0.975])
    interval = Interval(float(low), float(high), 0.95, METHOD.format(orders=orders)) if orders > 1 else None
    return Metric(NAME, float(ends.mean()), len(one), interval, base.unit, judge.name, judge.digest, text, False)


def extrapolated(features: Floats, reference: Moments, seed: int) -> float:
    """Return the line's value at 1/N = 0 for one seeded order of n×F vectors; TooFewVectorsError for too few."""
    n, width = features.shape
    order = np.random.Generator(np.random.PCG64(seed)).permutation(n)
    smallest = max(round(n * SMALLEST_SHARE), 2 * width)  # nearer to F the distance is no straight line in 1/N
    if n <= smallest:
        raise TooFewVectorsError(f"A line in 1/N needs more than {smallest} images, but there are {n}.")
    sizes = np.linspace(smallest, n, SIZES).round().astype(int)
    distances = [frechet_distance(moments_of([features[order[:size]]], width), reference) for size in sizes]
    return float(np.polyfit(1.0 / sizes, distances, 1)[1])
