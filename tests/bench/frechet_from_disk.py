"""The whole distance of two feature files, in a process of its own: its seconds and its most memory, as JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from peak_memory import peak_mb

from evaluation.metrics.frechet import frechet_distance, moments_of_file


def main(first: Path, second: Path) -> None:
    """Print the distance, its seconds, the peak of this process and what it held after its imports, in MB."""
    imported_mb, started = peak_mb(), time.perf_counter()
    distance = frechet_distance(moments_of_file(first), moments_of_file(second))
    seconds = time.perf_counter() - started
    print(json.dumps({"distance": distance, "seconds": seconds, "peak_mb": peak_mb(), "imported_mb": imported_mb}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
