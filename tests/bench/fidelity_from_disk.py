"""torch-fidelity's Fréchet distance of two feature files, in a process of its own: seconds and most memory, as JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from peak_memory import peak_mb
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric


def main(first: Path, second: Path) -> None:
    """Print the distance, its seconds, the peak of this process and what it held after its imports, in MB."""
    imported_mb, started = peak_mb(), time.perf_counter()
    statistics = [fid_features_to_statistics(torch.from_numpy(np.load(path))) for path in (first, second)]
    distance = fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]
    seconds = time.perf_counter() - started
    print(json.dumps({"distance": distance, "seconds": seconds, "peak_mb": peak_mb(), "imported_mb": imported_mb}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
