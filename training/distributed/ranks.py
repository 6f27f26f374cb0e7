"""One of the processes that train together: which rows of a batch are its own, and what all of them agree on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from training.checkpoint_io import encode_state


class RanksDifferError(RuntimeError):
    """The processes of one training no longer hold the same networks."""


@dataclass(frozen=True)
class Ranks:
    """This process among `count` that train the same networks on one batch; all of them call every method alike.

    Alone, a process sends nothing and gets back what it gave, bit for bit.
    """

    rank: int = 0
    count: int = 1

    def part(self, size: int) -> slice:
        """This rank's rows of a batch of `size`: consecutive ones, so that groups of neighbours stay together."""
        each = size // self.count
        return slice(self.rank * each, (self.rank + 1) * each)

    def draws(self, source: np.random.Generator) -> RowSource:
        """This rank's rows of what `source` draws for the whole batch."""
        return source if self.count == 1 else PartialDraws(source, self)

    def gathered(self, rows: Tensor) -> Tensor:
        """The whole batch's rows in its order, from each rank's own: n×… → count·n×…, without gradients."""
        if self.count == 1:
            return rows
        own = rows.detach().contiguous()
        parts = [torch.empty_like(own) for _ in range(self.count)]
        dist.all_gather(parts, own)
        return torch.cat(parts)

    def total(self, value: Tensor) -> Tensor:
        """The sum of a tensor over the ranks, without gradients."""
        if self.count == 1:
            return value
        value = value.detach().clone()
        dist.all_reduce(value)
        return value

    def means(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The mean of each scalar over the ranks: what a loss is on the whole batch."""
        if self.count == 1:
            return dict(values)
        means = self.total(torch.stack(list(values.values()))) / self.count
        return dict(zip(values, means.unbind(), strict=True))

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its mean over the ranks: one message for all of them."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        bucket = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(bucket)
        bucket /= self.count
        for gradient, mean in zip(gradients, torch.split(bucket, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view(gradient.shape))

    def any(self, flag: bool) -> bool:
        """Whether any rank says so."""
        if self.count == 1:
            return flag
        said = torch.tensor(int(flag))  # on the CPU: no device waits for it
        dist.all_reduce(said, dist.ReduceOp.MAX)
        return bool(said)

    def check_alike(self, state: object) -> None:
        """Raise RanksDifferError unless every rank gives the same state (nested tensors and plain values)."""
        if self.count == 1:
            return
        own = torch.frombuffer(bytearray(_digest(state)), dtype=torch.int64)
        digests = self.gathered(own[None])
        if not bool((digests == digests[0]).all()):
            raise RanksDifferError(f"{self.count} processes train one network, and theirs are not the same any more")


SOLO = Ranks()


@dataclass(frozen=True)
class PartialDraws:
    """A generator whose draws have a row for each image: the whole batch's are drawn, one rank's handed out."""

    source: np.random.Generator
    ranks: Ranks

    def uniform(self, low: float, high: float, size: tuple[int, ...]) -> NDArray[np.float64]:
        """Numbers in [low, high); `size` begins with this rank's count of images."""
        return self.source.uniform(low, high, self._whole(size))[self._part(size)]

    def random(self, size: int | tuple[int, ...]) -> NDArray[np.float64]:
        """Numbers in [0, 1); `size` is or begins with this rank's count of images."""
        shape = (size,) if isinstance(size, int) else size
        return self.source.random(self._whole(shape))[self._part(shape)]

    def standard_normal(self, size: tuple[int, ...], dtype: type[np.float32]) -> NDArray[np.float32]:
        """Normal numbers; `size` begins with this rank's count of images."""
        return self.source.standard_normal(self._whole(size), dtype=dtype)[self._part(size)]

    def _whole(self, size: tuple[int, ...]) -> tuple[int, ...]:
        return (size[0] * self.ranks.count, *size[1:])

    def _part(self, size: tuple[int, ...]) -> slice:
        return self.ranks.part(size[0] * self.ranks.count)


RowSource = np.random.Generator | PartialDraws


def _digest(state: object) -> bytes:
    """sha256 of a state's tensors and plain values."""
    tensors: dict[str, Tensor] = {}
    digest = hashlib.sha256(json.dumps(encode_state(state, tensors)).encode())
    for name in sorted(tensors):
        digest.update(tensors[name].flatten().view(torch.uint8).numpy().tobytes())
    return digest.digest()
