"""Layers with an equalised learning rate, and the [1, 3, 3, 1] resampling (arXiv 1912.04958, §2 and appendix B).

Parameters are kept as N(0, 1) and scaled when used. Layers compute in the type of their input; parameters stay float32.
The gain √2 of the leaky ReLU is folded into weight and bias: lrelu(√2·x) = √2·lrelu(x).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2
LRELU_GAIN = math.sqrt(2.0)


def blur_kernel() -> Tensor:
    """The 4×4 low-pass filter, outer product of [1, 3, 3, 1] with itself, sum 1."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / taps.sum().square()


def depthwise(x: Tensor, kernel: Tensor, *, padding: int) -> Tensor:
    """Filter every channel of x (N×C×H×W) by one kernel (k×k), zeros beyond the border."""
    channels = x.shape[1]
    weight = kernel.to(x.dtype).expand(channels, 1, *kernel.shape)
    return F.conv2d(x, weight, padding=padding, groups=channels)


def upsample(x: Tensor, kernel: Tensor) -> Tensor:
    """Double the size of x: N×C×H×W → N×C×2H×2W, zeros beyond the border."""
    channels = x.shape[1]
    weight = (4.0 * kernel).to(x.dtype).expand(channels, 1, *kernel.shape)
    return F.conv_transpose2d(x, weight, stride=2, padding=1, groups=channels)


class EqualLinear(nn.Module):
    """Fully connected layer with an equalised learning rate; N×in → N×out."""

    def __init__(
        self, inputs: int, outputs: int, *, activate: bool = False, bias_init: float = 0.0, lr_multiplier: float = 1.0
    ) -> None:
        super().__init__()
        self.activate = activate
        self.bias_gain = lr_multiplier
        self.weight_gain = lr_multiplier / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias_init / lr_multiplier))

    def forward(self, x: Tensor) -> Tensor:
        gain = LRELU_GAIN if self.activate else 1.0
        y = F.linear(x, self.weight * (self.weight_gain * gain), self.bias * (self.bias_gain * gain))
        return F.leaky_relu(y, SLOPE, inplace=True) if self.activate else y


class EqualConv(nn.Module):
    """Convolution with an equalised learning rate, by option blurred and strided by 2, by option with leaky ReLU."""

    kernel: Tensor

    def __init__(
        self, inputs: int, outputs: int, size: int, *, down: bool = False, activate: bool = True, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.size, self.down, self.activate = size, down, activate
        self.gain = gain * (LRELU_GAIN if activate else 1.0)
        self.weight_gain = 1.0 / math.sqrt(inputs * size * size)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if activate else None
        self.register_buffer("kernel", blur_kernel(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """N×in×H×W → N×out×H×W, or half the size with `down`."""
        weight = (self.weight * (self.weight_gain * self.gain)).to(x.dtype)
        bias = None if self.bias is None else (self.bias * self.gain).to(x.dtype)
        y = self._convolve(x, weight, bias)
        return F.leaky_relu(y, SLOPE, inplace=True) if self.activate else y

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not self.down:
            return F.conv2d(x, weight, bias, padding=self.size // 2)
        return F.conv2d(depthwise(x, self.kernel, padding=2), weight, bias, stride=2)
