"""StyleGAN2 and its training as the paper writes them, with a kernel of its own for each image, convolved in groups.

This is what the product is timed against. Layers, parameters (by name, so that weights are shared), losses and the lazy
penalty are the product's; the fully connected layers and the resampling filter are its code.
Source: arXiv 1912.04958, §2, §4 and appendix B.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.gan_batches import GanBatch
from training.gan_config import GanTrainingConfig
from training.gan_losses import discriminator_loss, generator_loss, r1_penalty
from training.stylegan2 import DiscriminatorConfig, GeneratorConfig, Mapping, layer_sizes
from training.stylegan2.architecture import sizes
from training.stylegan2.discriminator import minibatch_deviation
from training.stylegan2.layers import EqualLinear, blur_kernel, depthwise, upsample
from training.weights_io import GanWeights

SLOPE, GAIN, BETA2 = 0.2, math.sqrt(2.0), 0.99


def activated(x: Tensor, bias: Tensor) -> Tensor:
    """Bias, leaky ReLU and the gain that keeps the variance; N×C×H×W."""
    return F.leaky_relu(x + bias[None, :, None, None].to(x.dtype), SLOPE) * GAIN


def convolved(x: Tensor, kernels: Tensor, *, up: bool = False) -> Tensor:
    """Each image with its own kernel, as one convolution in N groups: N×in×H×W, N×out×in×k×k → N×out×H×W.

    With `up` kernels are N×in×out×k×k and the result is N×out×(2H+1)×(2W+1).
    """
    n, _, height, width = x.shape
    together = x.reshape(1, -1, height, width)  # N×in×H×W → 1×N·in×H×W
    flat = kernels.to(x.dtype).flatten(0, 1)
    if up:
        y = F.conv_transpose2d(together, flat, stride=2, groups=n)
    else:
        y = F.conv2d(together, flat, padding=kernels.shape[-1] // 2, groups=n)
    return y.reshape(n, -1, *y.shape[2:])


class GroupedLayer(nn.Module):
    """Modulated 3×3 convolution, noise, bias, leaky ReLU; doubles the size first where `up`."""

    kernel: Tensor

    def __init__(self, inputs: int, outputs: int, w_dim: int, *, up: bool) -> None:
        super().__init__()
        self.up, self.weight_gain = up, 1 / math.sqrt(inputs * 9)
        self.affine = EqualLinear(w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn((inputs, outputs, 3, 3) if up else (outputs, inputs, 3, 3)))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("kernel", blur_kernel(), persistent=False)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """N×in×h×w, N×w_dim, N×1×H×W → N×out×H×W, H = 2h where `up`, else h."""
        y = convolved(x, self._kernels(self.affine(w)), up=self.up)
        if self.up:
            y = depthwise(y, 4 * self.kernel, padding=1)
        return activated(y + (noise * self.noise_strength).to(y.dtype), self.bias)

    def _kernels(self, style: Tensor) -> Tensor:
        """Modulated and demodulated kernels of styles N×in (eq. 1 and 3)."""
        over = style[:, :, None, None, None] if self.up else style[:, None, :, None, None]
        modulated = (self.weight * self.weight_gain)[None] * over
        inputs = 1 if self.up else 2
        energy = modulated.square().sum(dim=(inputs, 3, 4), keepdim=True)
        return modulated * torch.rsqrt(energy + 1e-8)


class GroupedToRGB(nn.Module):
    """Modulated 1×1 convolution to three channels, without demodulation; the result is float32."""

    def __init__(self, inputs: int, w_dim: int) -> None:
        super().__init__()
        self.weight_gain = 1 / math.sqrt(inputs)
        self.affine = EqualLinear(w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(3, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """N×in×h×w, N×w_dim → N×3×h×w."""
        kernels = (self.weight * self.weight_gain)[None] * self.affine(w)[:, None, :, None, None]
        return convolved(x, kernels).float() + self.bias[None, :, None, None]


class GroupedSynthesis(nn.Module):
    """The synthesis network with skip RGB outputs."""

    kernel: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        inputs = config.channels[4]
        self.const = nn.Parameter(torch.randn(inputs, 4, 4))
        self.convs, self.to_rgb = nn.ModuleDict(), nn.ModuleDict()
        for name, size in layer_sizes(config.size_px).items():
            up = name.endswith("/1") and size > 4
            self.convs[name] = GroupedLayer(inputs, config.channels[size], config.w_dim, up=up)
            inputs = config.channels[size]
        for size in sizes(config.size_px):
            self.to_rgb[str(size)] = GroupedToRGB(config.channels[size], config.w_dim)
        self.register_buffer("kernel", blur_kernel(), persistent=False)

    def forward(self, w: Tensor, noise: dict[str, Tensor], dtype: torch.dtype) -> Tensor:
        """Images N×3×S×S of w N×w_dim; features are computed in `dtype`."""
        x = self.const.to(dtype).expand(len(w), *self.const.shape)
        rgb = torch.zeros((), device=w.device)
        for name, layer in self.convs.items():
            x = layer(x, w, noise[name])
            size, number = name.split("/")
            if name == "4/1":
                rgb = self.to_rgb[size](x, w)
            elif number == "2":
                rgb = upsample(rgb, self.kernel) + self.to_rgb[size](x, w)
        return rgb


class GroupedGenerator(nn.Module):
    """Mapping and grouped synthesis."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.mapping, self.synthesis = Mapping(config), GroupedSynthesis(config)


class PlainConv(nn.Module):
    """Convolution with an equalised learning rate, by option blurred and strided by 2, by option with leaky ReLU."""

    kernel: Tensor

    def __init__(self, inputs: int, outputs: int, size: int, *, down: bool = False, activate: bool = True) -> None:
        super().__init__()
        self.down, self.padding, self.weight_gain = down, size // 2, 1 / math.sqrt(inputs * size * size)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if activate else None
        self.register_buffer("kernel", blur_kernel(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """N×in×H×W → N×out×H×W, or half the size with `down`."""
        weight = (self.weight * self.weight_gain).to(x.dtype)
        if self.down:
            y = F.conv2d(depthwise(x, self.kernel, padding=2), weight, stride=2)
        else:
            y = F.conv2d(x, weight, padding=self.padding)
        return y if self.bias is None else activated(y, self.bias)


class PlainBlock(nn.Module):
    """Residual block of the discriminator, half the size; the bypass is halved by 2×2 means, as the product's is."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = PlainConv(inputs, inputs, 3)
        self.conv2 = PlainConv(inputs, outputs, 3, down=True)
        self.bypass = PlainConv(inputs, outputs, 1, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        """N×in×H×W → N×out×H/2×W/2."""
        y: Tensor = (self.conv2(self.conv1(x)) + self.bypass(F.avg_pool2d(x, 2))) * math.sqrt(0.5)
        return y


class PlainDiscriminator(nn.Module):
    """The residual discriminator with minibatch standard deviation."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.group_size = config.group_size
        descending = sizes(config.size_px)[::-1]
        channels = [config.channels[size] for size in descending]
        last = channels[-1]
        self.from_rgb = PlainConv(3, channels[0], 1)
        steps = zip(descending, pairwise(channels), strict=False)  # one block fewer than sizes
        self.blocks = nn.ModuleDict({str(size): PlainBlock(a, b) for size, (a, b) in steps})
        self.final_conv = PlainConv(last + 1, last, 3)
        self.hidden = EqualLinear(last * 16, last, activate=True)
        self.logit = EqualLinear(last, 1)

    def forward(self, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Logits N of images N×3×H×W; the blocks compute in `dtype`."""
        x = self.from_rgb(images.to(dtype))
        for block in self.blocks.values():
            x = block(x)
        x = self.final_conv(minibatch_deviation(x.float(), self.group_size))
        logits: Tensor = self.logit(self.hidden(x.flatten(1)))  # N×C×4×4 → N×C·16 → N×1
        return logits.squeeze(1)


class GroupedTraining:
    """One iteration after another: D, the lazy penalty, G, the moving average.

    With `own_latents` D's images are drawn anew, without a graph, as the paper's phases do; else both phases share the
    iteration's images, as the product's do.
    """

    def __init__(self, config: GanTrainingConfig, weights: GanWeights, *, own_latents: bool) -> None:
        self.config, self.own_latents = config, own_latents
        self.g, self.g_ema = (GroupedGenerator(weights.generator_config) for _ in range(2))
        self.d = PlainDiscriminator(weights.discriminator_config)
        self.g.load_state_dict(weights.generator)
        self.g_ema.load_state_dict(weights.generator_ema)
        self.d.load_state_dict(weights.discriminator)
        lazy = config.r1_interval / (config.r1_interval + 1)
        self.optimizer_g = torch.optim.Adam(self.g.parameters(), config.lr, betas=(0.0, BETA2), fused=True)
        self.optimizer_d = torch.optim.Adam(self.d.parameters(), config.lr * lazy, betas=(0.0, BETA2**lazy), fused=True)
        self.dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
        self.losses: dict[str, Tensor] = {}

    def step(self, batch: GanBatch) -> None:
        """Train on one batch."""
        real = batch.images.float() / 127.5 - 1
        shared = None if self.own_latents else self._generate(batch)
        self._step_d(real, self._images_for_d(batch) if shared is None else shared.detach())
        if batch.iteration % self.config.r1_interval == 0:
            self._step_r1(real)
        self._step_g(self._generate(batch) if shared is None else shared)
        self._average()

    def _generate(self, batch: GanBatch) -> Tensor:
        w = self.g.mapping(batch.z)
        self.g.mapping.track(w)
        images: Tensor = self.g.synthesis(w, batch.noise, self.dtype)
        return images

    @torch.no_grad()
    def _images_for_d(self, batch: GanBatch) -> Tensor:
        images: Tensor = self.g.synthesis(self.g.mapping(batch.z_mixed), batch.noise, self.dtype)
        return images

    def _step_d(self, real: Tensor, fake: Tensor) -> None:
        real_logits, fake_logits = self.d(torch.cat([real, fake]), self.dtype).chunk(2)
        self._update(self.optimizer_d, "loss_d", discriminator_loss(real_logits, fake_logits))

    def _step_r1(self, real: Tensor) -> None:
        images = real.requires_grad_(True)
        penalty = r1_penalty(self.d(images), images)
        self._update(self.optimizer_d, "r1", penalty, self.config.r1_gamma / 2 * self.config.r1_interval)

    def _step_g(self, fake: Tensor) -> None:
        self._update(self.optimizer_g, "loss_g", generator_loss(self.d(fake, self.dtype)))

    def _update(self, optimizer: torch.optim.Optimizer, name: str, loss: Tensor, weight: float = 1.0) -> None:
        self.losses[name] = loss.detach()
        (loss * weight).backward(inputs=[p for group in optimizer.param_groups for p in group["params"]])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def _average(self) -> None:
        kept = 0.5 ** (self.config.batch_size / (self.config.ema_kimg * 1000))
        for p, p_ema in zip(self.g.parameters(), self.g_ema.parameters(), strict=True):
            p_ema.lerp_(p, 1 - kept)
