"""Make many pairs in this process and print its peak memory: `many_pairs.py COUNT FOLDER`.

The real `make_pairs` on 64 px images, as large as the demo's; thin networks and closed-form judges make it fast.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from demo_networks import two_generators
from peak_memory import peak_mb
from torch import Tensor

from training.pairs import PairJudges, PairsConfig, make_pairs
from training.stylegan2 import GeneratorConfig

SIZE_PX, CHANNELS = 64, 8


def box(images: Tensor) -> Tensor:
    """A mask in the middle of the image."""
    mask = images.new_zeros(len(images), 1, SIZE_PX, SIZE_PX)
    mask[..., 16:48, 16:48] = 1
    return mask


def nothing(images: Tensor) -> Tensor:
    """A probability of 0 for each image; the filters ask for none."""
    return images.new_zeros(len(images))


def direction(images: Tensor) -> Tensor:
    """The mean colour as a unit vector."""
    return torch.nn.functional.normalize(images.mean(dim=(2, 3)), dim=1)


def main(count: int, folder: Path) -> None:
    """Make `count` pairs below `folder`."""
    torch.set_num_threads(1)
    channels = {4 << power: CHANNELS for power in range(5)}
    original, feature = two_generators(GeneratorConfig(size_px=SIZE_PX, channels=channels, z_dim=8, w_dim=8))
    judges = PairJudges(box, box, nothing, direction, "closed forms")
    config = PairsConfig(
        attribute="beard", count=count, min_probability=0, max_change_outside=1, min_mask_area=0, batch_size=32
    )
    started = time.perf_counter()
    result = make_pairs(original, feature, judges, config, folder / "out", folder / "work")
    print(json.dumps({"kept": result.kept, "seconds": time.perf_counter() - started, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
