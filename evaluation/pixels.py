"""Between the images people see (uint8) and those networks see (float in [-1, 1])."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Images = NDArray[np.uint8]
ImageFunction = Callable[[Tensor], Tensor]
CPU = torch.device("cpu")


def to_tensor(images: Images, device: torch.device = CPU) -> Tensor:
    """Return N×H×W×3 uint8 images as N×3×H×W float32 in [-1, 1] on `device`."""
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return torch.from_numpy(planes).to(device, torch.float32) / 127.5 - 1.0


def to_images(tensor: Tensor) -> Images:
    """Return N×3×H×W floats in [-1, 1] as N×H×W×3 uint8, rounded and clipped."""
    levels = ((tensor.detach().float() + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())


def batches(count: int, size: int) -> Iterator[slice]:
    """Yield slices of at most `size` that cover `count` items in order."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


@torch.inference_mode()
def apply_in_batches(function: ImageFunction, images: Images, batch_size: int, device: torch.device = CPU) -> Images:
    """Return what `function` (N×3×H×W in [-1, 1] → the same) makes of N×H×W×3 uint8 images, as uint8.

    Raises ValueError when the function changes the shape.
    """
    outputs = [to_images(function(to_tensor(images[part], device))) for part in batches(len(images), batch_size)]
    result = np.concatenate(outputs) if outputs else images
    if result.shape != images.shape:
        raise ValueError(f"the editor turned images of shape {images.shape} into {result.shape}")
    return result
