"""The adversarial training as a LightningModule: phases D, R1, G and the moving average, one after the other."""

from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.augment import adapted_p, augment, draw_augmentation
from training.distributed.ranks import SOLO, Ranks
from training.gan_batches import GanBatch, GanBatches
from training.gan_config import GanTrainingConfig
from training.gan_losses import discriminator_loss, generator_loss, r1_penalty
from training.stylegan2 import Discriminator, Generator
from training.weights_io import GanWeights, state_of

BETA2 = 0.99


class GanModule(lightning.LightningModule):
    """G, its moving average and D, their optimizers, ADA's p and our own iteration: the whole true state.

    With `freeze_mapping` (the feature network, METHODS A3) the mapping is left out of optimizer and average. Over
    several devices each of `ranks` holds the same state: what it computes on its rows is averaged before each step.
    """

    def __init__(
        self, config: GanTrainingConfig, weights: GanWeights, freeze_mapping: bool, ranks: Ranks = SOLO
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.config, self.shapes = config, (weights.generator_config, weights.discriminator_config)
        self.freeze_mapping, self.ranks = freeze_mapping, ranks
        self.g, self.g_ema = Generator(self.shapes[0]), Generator(self.shapes[0])
        self.d = Discriminator(self.shapes[1])
        self.dtype_parameters = torch.float64 if config.precision == "fp64" else torch.float32
        self.dtype_features = torch.bfloat16 if config.precision == "bf16" else self.dtype_parameters
        self.to(self.dtype_parameters)
        self.g.load_state_dict(weights.generator)
        self.g_ema.load_state_dict(weights.generator_ema)
        self.d.load_state_dict(weights.discriminator)
        self.g_ema.requires_grad_(False)
        self.g.mapping.requires_grad_(not freeze_mapping)
        self.optimizer_g = self._adam(self.g, regularised_every=None)
        self.optimizer_d = self._adam(self.d, regularised_every=config.r1_interval)
        self.iteration = 0
        self.ada_p = 1.0 if config.augment == "diffaugment" else 0.0
        self.losses: dict[str, Tensor] = {}

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [self.optimizer_g, self.optimizer_d]

    def batches(self, images: NDArray[np.uint8]) -> GanBatches:
        """What is left of the training on `images` (N×H×W×3)."""
        return GanBatches(self.config, self.shapes[0], images, self.iteration, self.ranks, self.dtype_parameters)

    def training_step(self, batch: GanBatch, batch_index: int) -> None:
        """One iteration: D on real and generated images, its gradient penalty where due, then G through the new D."""
        self._set_learning_rate(batch.iteration)
        real = batch.images.to(self.dtype_parameters) / 127.5 - 1.0
        fake = self.generate(batch)
        self._step_d(real, fake.detach(), batch.iteration)
        if self.config.r1_gamma > 0 and batch.iteration % self.config.r1_interval == 0:
            self._step_r1(real, batch.iteration)
        self._step_g(fake, batch.iteration)
        self._average(batch.iteration)
        self.iteration = batch.iteration + 1

    def generate(self, batch: GanBatch) -> Tensor:
        """The iteration's generated images, N×3×H×W; tracks the mean of w unless the mapping is frozen."""
        w = self.g.mapping(batch.z)
        if not self.freeze_mapping:
            self.g.mapping.track(self.ranks.gathered(w))
        if self.config.style_mixing > 0:
            w = self._mix(w, self.g.mapping(batch.z_mixed), batch.mixed_from)
        image: Tensor = self.g.synthesis(w, batch.noise, self.dtype_features)
        return image

    def discriminate(self, images: Tensor, iteration: int, dtype: torch.dtype) -> Tensor:
        """Logits of the (augmented) images; real and generated images of an iteration share their draws."""
        if self.config.augment != "none":
            count = self.config.batch_size
            whole = draw_augmentation(self.config.seed, iteration, count, images.shape[2], self.ada_p)
            draws = whole.rows(self.ranks.part(count))
            images = torch.cat([augment(part, draws) for part in images.chunk(len(images) // len(draws))])
        logits: Tensor = self.d(images, dtype)
        return logits

    def true_state(self) -> dict[str, Any]:
        """Everything that the next iteration depends on."""
        return {
            "iteration": self.iteration,
            "ada_p": self.ada_p,
            "generator": state_of(self.g),
            "generator_ema": state_of(self.g_ema),
            "discriminator": state_of(self.d),
            "optimizer_g": self.optimizer_g.state_dict(),
            "optimizer_d": self.optimizer_d.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up the state that `true_state` gave."""
        self.iteration, self.ada_p = int(state["iteration"]), float(state["ada_p"])
        self.g.load_state_dict(state["generator"])
        self.g_ema.load_state_dict(state["generator_ema"])
        self.d.load_state_dict(state["discriminator"])
        self.optimizer_g.load_state_dict(state["optimizer_g"])
        self.optimizer_d.load_state_dict(state["optimizer_d"])

    def weights(self) -> GanWeights:
        """The networks as they stand."""
        return GanWeights(*self.shapes, state_of(self.g), state_of(self.g_ema), state_of(self.d))

    def _step_d(self, real: Tensor, fake: Tensor, iteration: int) -> None:
        logits = self.discriminate(torch.cat([real, fake]), iteration, self.dtype_features)
        real_logits, fake_logits = logits.chunk(2)
        loss = discriminator_loss(real_logits, fake_logits)
        self._update(self.optimizer_d, loss)
        if self.config.augment == "ada":
            step = self.config.batch_size / (self.config.ada_kimg * 1000)
            self.ada_p = adapted_p(self.ada_p, self.ranks.gathered(real_logits), self.config.ada_target, step)
        self._note(loss_d=loss, logit_real=real_logits.mean(), logit_fake=fake_logits.mean())

    def _step_r1(self, real: Tensor, iteration: int) -> None:
        """The lazy gradient penalty, in the parameters' type: a step of its own, weighted by the interval.

        Source: arXiv 1912.04958, appendix B.
        """
        images = real.detach().requires_grad_(True)
        penalty = r1_penalty(self.discriminate(images, iteration, self.dtype_parameters), images)
        self._update(self.optimizer_d, penalty * (self.config.r1_gamma / 2 * self.config.r1_interval))
        self._note(r1=penalty)

    def _step_g(self, fake: Tensor, iteration: int) -> None:
        loss = generator_loss(self.discriminate(fake, iteration, self.dtype_features))
        self._update(self.optimizer_g, loss)
        self._note(loss_g=loss)

    def _update(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.manual_backward(loss, inputs=parameters)
        self.ranks.average_gradients(parameters)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _adam(self, network: nn.Module, regularised_every: int | None) -> torch.optim.Adam:
        """Adam with β1 = 0; the lazy penalty's extra steps are made up for in lr and β2 (arXiv 1912.04958, B)."""
        ratio = 1.0 if regularised_every is None else regularised_every / (regularised_every + 1)
        trained = [p for p in network.parameters() if p.requires_grad]
        return torch.optim.Adam(trained, lr=self.config.lr * ratio, betas=(0.0, BETA2**ratio), fused=True)

    def _set_learning_rate(self, iteration: int) -> None:
        warmup_images = self.config.warmup_kimg * 1000
        shown = (iteration + 1) * self.config.batch_size
        rise = min(1.0, shown / warmup_images) if warmup_images else 1.0
        for optimizer in (self.optimizer_g, self.optimizer_d):
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("full_lr", group["lr"]) * rise

    @torch.no_grad()
    def _average(self, iteration: int) -> None:
        """Moving average of G with a half-life in images, shorter at the beginning."""
        half_life = self.config.ema_kimg * 1000
        if self.config.ema_rampup is not None:
            half_life = min(half_life, (iteration + 1) * self.config.batch_size * self.config.ema_rampup)
        kept = 0.5 ** (self.config.batch_size / max(half_life, 1e-8))
        names = ("synthesis",) if self.freeze_mapping else ("mapping", "synthesis")
        for name in names:
            source, average = self.g.get_submodule(name), self.g_ema.get_submodule(name)
            for p, p_ema in zip(source.parameters(), average.parameters(), strict=True):
                p_ema.lerp_(p, 1.0 - kept)
            for b, b_ema in zip(source.buffers(), average.buffers(), strict=True):
                b_ema.copy_(b)

    def _mix(self, w: Tensor, other: Tensor, first: Tensor) -> Tensor:
        layers = torch.arange(len(self.g.synthesis.layer_names), device=w.device)
        takes_other = (layers[None] >= first[:, None])[:, :, None]  # N×layers×1
        return torch.where(takes_other, other[:, None], w[:, None])  # N×layers×w_dim

    def _note(self, **losses: Tensor) -> None:
        self.losses |= self.ranks.means({name: value.detach() for name, value in losses.items()})
