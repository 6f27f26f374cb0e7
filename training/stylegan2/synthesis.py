"""The synthesis network, addressable by layer, so that a run can be paused, fused and continued (METHODS A5, A6)."""

import math
from collections.abc import Mapping as ReadOnly
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.stylegan2.architecture import FIRST_SIZE_PX, GeneratorConfig, layer_names, layer_sizes, sizes
from training.stylegan2.layers import LRELU_GAIN, SLOPE, EqualLinear, blur_kernel, depthwise, upsample

Noise = ReadOnly[str, Tensor]


@dataclass(frozen=True)
class SynthesisState:
    """A paused run: f_k and the running RGB image after layer k, and the index of the layer that runs next."""

    features: Tensor  # N×C×h×w, the type the run computes in
    rgb_running: Tensor  # N×3×h'×w', float32; h' = h once a resolution's last layer has run, else h/2
    next_layer: int


class SynthesisLayer(nn.Module):
    """Modulated 3×3 convolution, noise, bias, leaky ReLU; doubles the size first where `up` (eq. 1–3 of the paper).

    Modulation scales the input, demodulation the output: the function of scaled kernels without grouped convolutions.
    """

    kernel: Tensor

    def __init__(self, inputs: int, outputs: int, w_dim: int, *, up: bool) -> None:
        super().__init__()
        self.up = up
        self.weight_gain = 1.0 / math.sqrt(inputs * 9)
        self.affine = EqualLinear(w_dim, inputs, bias_init=1.0)
        shape = (inputs, outputs, 3, 3) if up else (outputs, inputs, 3, 3)
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("kernel", blur_kernel(), persistent=False)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """N×in×h×w, N×w_dim, N×1×H×W → N×out×H×W, H = 2h where `up`, else h."""
        style = self.affine(w)  # N×in
        weight = self.weight * self.weight_gain
        scale = LRELU_GAIN * self._demodulation(style, weight)  # N×out
        y = self._convolve(x * _per_channel(style, x), weight.to(x.dtype)) * _per_channel(scale, x)
        if noise is not None:
            y = y + (noise * (self.noise_strength * LRELU_GAIN)).to(x.dtype)
        y = y + _per_channel(self.bias[None] * LRELU_GAIN, x)
        return F.leaky_relu(y, SLOPE, inplace=True)

    def _demodulation(self, style: Tensor, weight: Tensor) -> Tensor:
        energy = weight.square().sum(dim=(2, 3))  # in×out where `up`, else out×in
        return torch.rsqrt(style.square() @ (energy if self.up else energy.T) + 1e-8)

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        if not self.up:
            return F.conv2d(x, weight, padding=1)
        wide = F.conv_transpose2d(x, weight, stride=2)  # N×out×(2h+1)×(2w+1)
        return depthwise(wide, 4.0 * self.kernel, padding=1)


class ToRGB(nn.Module):
    """Modulated 1×1 convolution to three channels, without demodulation; the result is of the parameters' type."""

    def __init__(self, inputs: int, w_dim: int) -> None:
        super().__init__()
        self.affine = EqualLinear(w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(3, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.weight_gain = 1.0 / math.sqrt(inputs)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """N×in×h×w, N×w_dim → N×3×h×w."""
        style = self.affine(w) * self.weight_gain
        rgb = F.conv2d(x * _per_channel(style, x), self.weight.to(x.dtype))
        return rgb.to(self.bias.dtype) + self.bias[None, :, None, None]


class Synthesis(nn.Module):
    """Layers by name, skip RGB outputs: the image is the sum of all resolutions' RGB outputs, each upsampled."""

    kernel: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.layer_names = layer_names(config.size_px)
        self.layer_sizes = layer_sizes(config.size_px)
        self.const = nn.Parameter(torch.randn(config.channels[FIRST_SIZE_PX], FIRST_SIZE_PX, FIRST_SIZE_PX))
        self.convs = nn.ModuleDict()
        inputs = config.channels[FIRST_SIZE_PX]
        for name, size in self.layer_sizes.items():
            outputs = config.channels[size]
            up = name.endswith("/1") and size > FIRST_SIZE_PX
            self.convs[name] = SynthesisLayer(inputs, outputs, config.w_dim, up=up)
            inputs = outputs
        self.to_rgb = nn.ModuleDict(
            {str(size): ToRGB(config.channels[size], config.w_dim) for size in sizes(config.size_px)}
        )
        self.register_buffer("kernel", blur_kernel(), persistent=False)

    def forward(self, ws: Tensor, noise: Noise | None, dtype: torch.dtype = torch.float32) -> Tensor:
        """The image of ws: N×w_dim or N×layers×w_dim → N×3×size×size, about [-1, 1]; `noise` by layer, None = none."""
        return self.finish(self.start(ws, noise, dtype), ws, noise)

    def start(self, ws: Tensor, noise: Noise | None, dtype: torch.dtype = torch.float32) -> SynthesisState:
        """Run the first layer, `4/1`; `dtype` is what this run's features are computed in."""
        w = self.w_plus(ws)[:, 0]
        const = self.const.to(dtype).expand(w.shape[0], *self.const.shape)
        x = const.contiguous(memory_format=torch.channels_last)
        features = self.convs[self.layer_names[0]](x, w, _of_layer(noise, self.layer_names[0]))
        return SynthesisState(features, self.to_rgb[str(FIRST_SIZE_PX)](features, w), next_layer=1)

    def advance(self, state: SynthesisState, ws: Tensor, noise: Noise | None, until: str) -> SynthesisState:
        """Run on up to and including the layer `until`; raises ValueError where that layer is unknown or behind."""
        last = self.layer_index(until)
        if last < state.next_layer - 1:
            raise ValueError(f"layer {until} lies before layer {self.layer_names[state.next_layer - 1]}, already run")
        w_plus = self.w_plus(ws)
        for index in range(state.next_layer, last + 1):
            state = self._step(state, w_plus[:, index], noise)
        return state

    def finish(self, state: SynthesisState, ws: Tensor, noise: Noise | None) -> Tensor:
        """Run the remaining layers and return the image, N×3×size×size."""
        return self.advance(state, ws, noise, self.layer_names[-1]).rgb_running

    def layer_index(self, name: str) -> int:
        """Place of a layer in the order they run; raises ValueError with the known names."""
        if name not in self.layer_sizes:
            raise ValueError(f"unknown layer {name!r}, expected one of {', '.join(self.layer_names)}")
        return self.layer_names.index(name)

    def w_plus(self, ws: Tensor) -> Tensor:
        """One w per layer: N×w_dim is repeated, N×layers×w_dim is taken as it is → N×layers×w_dim."""
        if ws.ndim == 2:
            return ws[:, None].expand(-1, len(self.layer_names), -1)
        if ws.ndim != 3 or ws.shape[1] != len(self.layer_names):
            raise ValueError(f"ws has the shape {tuple(ws.shape)}, expected N×w_dim or N×{len(self.layer_names)}×w_dim")
        return ws

    def _step(self, state: SynthesisState, w: Tensor, noise: Noise | None) -> SynthesisState:
        name = self.layer_names[state.next_layer]
        features = self.convs[name](state.features, w, _of_layer(noise, name))
        rgb = state.rgb_running
        if name.endswith("/2"):  # a resolution's last layer: its RGB output joins the running image
            rgb = upsample(rgb, self.kernel) + self.to_rgb[str(self.layer_sizes[name])](features, w)
        return SynthesisState(features, rgb, state.next_layer + 1)


def _per_channel(scale: Tensor, like: Tensor) -> Tensor:
    return scale[:, :, None, None].to(like.dtype)  # N×C → N×C×1×1


def _of_layer(noise: Noise | None, name: str) -> Tensor | None:
    return None if noise is None else noise[name]
