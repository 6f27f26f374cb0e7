"""The seconds and memory of a Fréchet distance of 2048 features: beside SciPy's root and torch-fidelity."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import sqrtm
from threadpoolctl import threadpool_limits

from evaluation.metrics.frechet import moments_of, trace_of_root
from orchestration.results import Bar, Figure
from tests.bench.peak_memory import measured_apart

WIDTH, VECTORS, BLOCK = 2048, 50_000, 5000
HERE = Path(__file__).parent
MATRICES_MB = 2 * WIDTH**2 * 8 / 1e6
Write = Callable[..., None]


def _block(rows: int, seed: int, mixing: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, WIDTH), dtype=np.float32) @ mixing


def _mixing(seed: int) -> np.ndarray:
    """Features of a network are far from independent: their spreads fall off, and all of them are mixed."""
    rng = np.random.default_rng(seed)
    spreads = np.geomspace(1.0, 0.03, WIDTH, dtype=np.float32)
    return spreads[:, None] * rng.standard_normal((WIDTH, WIDTH), dtype=np.float32) / np.sqrt(WIDTH, dtype=np.float32)


def _write(path: Path, seed: int) -> Path:
    """A .npy file of `VECTORS` × 2048, block by block."""
    file, mixing = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(VECTORS, WIDTH)), _mixing(seed)
    for start in range(0, VECTORS, BLOCK):
        rows = min(BLOCK, VECTORS - start)
        file[start : start + rows] = _block(rows, seed + start, mixing)
    file.flush()
    return path


def _seconds(run: Callable[[], float]) -> tuple[float, float]:
    started = time.perf_counter()
    value = run()
    return value, time.perf_counter() - started


@pytest.mark.bench
def test_trace_of_the_matrix_root(evaluation_measured: Write) -> None:
    a, b = (moments_of([_block(2 * BLOCK, seed, _mixing(seed))], WIDTH).covariance for seed in (1, 2))
    with threadpool_limits(1):
        ours, our_s = min((_seconds(lambda: trace_of_root(a, b)) for _ in range(3)), key=lambda run: run[1])
        theirs, their_s = _seconds(lambda: float(np.trace(sqrtm(a @ b)).real))
    assert ours == pytest.approx(theirs, rel=1e-6)
    name = f"trace of the matrix root, {WIDTH} dimensions"
    note = f"1 thread; {our_s:.2f} s, best of 3, against {their_s:.2f} s, once; from given covariances"
    evaluation_measured(
        Figure(f"{name}: times SciPy's sqrtm", their_s / our_s, "ratio", bar=Bar(at_least=5), note=note)
    )


@pytest.mark.bench
def test_distance_from_disk(evaluation_measured: Write, tmp_path: Path) -> None:
    files = [str(_write(tmp_path / f"{seed}.npy", seed)) for seed in (1, 2)]
    ours, theirs = (measured_apart(HERE / f"{way}_from_disk.py", *files) for way in ("frechet", "fidelity"))
    assert ours["distance"] == pytest.approx(theirs["distance"], rel=1e-6)
    name = f"distance of two sets of {VECTORS} × {WIDTH} features on disk"
    note, held = "1 thread, float32 files just written", "peak of the process, less imports and two covariances"
    beyond_mb, their_mb = (one["peak_mb"] - one["imported_mb"] - MATRICES_MB for one in (ours, theirs))
    evaluation_measured(
        Figure(f"{name}: ours", ours["seconds"], "s", note=note),
        Figure(f"{name}: torch-fidelity", theirs["seconds"], "s", note=note),
        Figure(f"{name}: memory, ours", beyond_mb, "MB", bar=Bar(at_most=300), note=held),
        Figure(f"{name}: memory, torch-fidelity", their_mb, "MB", note=held),
    )
