"""The editor's training as a LightningModule: the editor's phase, the discriminator's, the moving average."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from training.distributed.ranks import SOLO, Ranks
from training.draws import Purpose, draw
from training.editor.augment import PairBatch, augment, view
from training.editor.batches import EditorBatch, EditorBatches
from training.editor.config import EditorTrainingConfig
from training.editor.judging import AskJudge, TrainingJudges
from training.editor.losses import (
    alpha_supervision,
    attribute_absence,
    discriminator_hinge,
    editor_hinge,
    held_target,
    identity_drift,
    masked_l1,
)
from training.editor.network import EditorNetwork, EditorOutput
from training.editor.patch_discriminator import MultiScaleDiscriminator
from training.pair_store import PairReader

FINAL_RATE = 0.05
GRADIENT_NORM = 1.0  # a rare batch with a far-off colour would otherwise throw the editor out of its way
EMA_RAMPUP = 0.05

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class EditorModule(lightning.LightningModule):
    """Editor, its moving average, discriminator, both optimizers and our own iteration: the whole true state.

    The judges are no part of it. `device_type` is where it will train ("cpu", "cuda"): fp16 scales the losses there.
    Over several devices each of `ranks` holds the same state: what it computes on its rows is averaged before a step.
    """

    def __init__(
        self,
        config: EditorTrainingConfig,
        network: EditorNetwork,
        judges: TrainingJudges,
        device_type: str = "cpu",
        ranks: Ranks = SOLO,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.config = config
        self.judges, self.ranks = judges, ranks
        self.editor = network
        self.average = EditorNetwork(network.config).requires_grad_(False)
        self.average.load_state_dict(network.state_dict())
        self.discriminator = MultiScaleDiscriminator(config.scales_at(network.config.size_px))
        self.dtype_parameters = torch.float64 if config.precision == "fp64" else torch.float32
        self.to(self.dtype_parameters)
        # β1 = 0.5 as in pix2pix for the adversary; the editor's main loss is a regression and takes the usual 0.9.
        self.optimizer = torch.optim.Adam(self.editor.parameters(), lr=config.lr, betas=(0.9, 0.99), fused=True)
        self.optimizer_d = torch.optim.Adam(
            self.discriminator.parameters(), lr=config.discriminator_lr, betas=(0.5, 0.99), fused=True
        )
        # Small gradients vanish in fp16's range. One scale for each loss; switched off they change nothing.
        scaled = config.precision == "fp16"
        self.scaler = torch.amp.GradScaler(device_type, enabled=scaled)
        self.scaler_d = torch.amp.GradScaler(device_type, enabled=scaled)
        if config.compile:
            self.editor.compile(dynamic=False)
        self.iteration = 0
        self.losses: dict[str, Tensor] = {}

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [self.optimizer, self.optimizer_d]

    def batches(self, pairs: PairReader) -> EditorBatches:
        """What is left of the training on `pairs`."""
        return EditorBatches(self.config, pairs, self.iteration, self.ranks)

    def training_step(self, batch: EditorBatch, batch_index: int) -> None:
        """One iteration: the editor on augmented pairs, then the discriminator once it has joined."""
        iteration = int(batch.iteration)
        pair = self._pair(batch, iteration)
        adversarial = iteration >= self.config.adversarial_start
        output = self._editor_phase(pair, iteration, adversarial)
        if adversarial:
            self._discriminator_phase(pair, output.images.detach())
        self._average(iteration)
        self.iteration = iteration + 1

    def true_state(self) -> dict[str, Any]:
        """Everything that the next iteration depends on."""
        networks = {"editor": self.editor, "average": self.average, "discriminator": self.discriminator}
        return {
            "iteration": self.iteration,
            **{name: dict(network.state_dict()) for name, network in networks.items()},
            "optimizer": self.optimizer.state_dict(),
            "optimizer_d": self.optimizer_d.state_dict(),
            "scaler": self.scaler.state_dict(),
            "scaler_d": self.scaler_d.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up the state that `true_state` gave."""
        self.iteration = int(state["iteration"])
        self.editor.load_state_dict(state["editor"])
        self.average.load_state_dict(state["average"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.optimizer_d.load_state_dict(state["optimizer_d"])
        self.scaler.load_state_dict(state["scaler"])
        self.scaler_d.load_state_dict(state["scaler_d"])

    def _pair(self, batch: EditorBatch, iteration: int) -> PairBatch:
        """The iteration's pair, augmented; its target holds outside the mask."""
        rng = self.ranks.draws(draw(self.config.seed, Purpose.AUGMENTATION, iteration))
        images = (batch.original / 127.5 - 1, batch.target / 127.5 - 1, batch.mask / 255.0)
        plain = PairBatch(*(image.to(self.dtype_parameters) for image in images))
        pair = augment(plain, self.config.augment, rng)
        original = pair.original.contiguous(memory_format=torch.channels_last)
        return PairBatch(original, held_target(original, pair.target, pair.mask), pair.mask)

    def _editor_phase(self, pair: PairBatch, iteration: int, adversarial: bool) -> EditorOutput:
        self._set_learning_rate(iteration)
        with self._autocast():
            output: EditorOutput = self.editor(pair.original)
        loss = self._reconstruction(pair, output)
        if adversarial:
            loss = loss + self.config.adversarial_weight * self._deception(pair, output)
        loss = loss + self._judgement(pair, output, iteration)
        self._update(self.optimizer, self.scaler, self.editor, loss)
        return output

    def _reconstruction(self, pair: PairBatch, output: EditorOutput) -> Tensor:
        config = self.config
        inside = masked_l1(output.images, pair.target, pair.mask, self._area(pair.mask))
        outside = masked_l1(output.images, pair.original, 1 - pair.mask, self._area(1 - pair.mask))
        self._note(inside=inside, outside=outside)
        loss = config.inside_weight * inside + config.outside_weight * outside
        if not config.blend:
            return loss
        alpha = alpha_supervision(output.alpha_logits, pair.mask, config.alpha_inside)
        self._note(alpha=alpha)
        return loss + config.alpha_weight * alpha

    def _area(self, weight: Tensor) -> Tensor:
        """What a weight covers of the whole batch, a rank's share of it."""
        return self.ranks.total(weight.sum()).clamp_min(1.0) / self.ranks.count

    def _deception(self, pair: PairBatch, output: EditorOutput) -> Tensor:
        with self._autocast():
            loss = editor_hinge(self.discriminator(pair.original, output.images))
        self._note(deception=loss)
        return loss

    def _judgement(self, pair: PairBatch, output: EditorOutput, iteration: int) -> Tensor:
        """What the training judges hold against the edit, weighted; 0 where none is asked."""
        loss = output.images.new_zeros(())
        if self.judges.probability is not None:
            rng = self.ranks.draws(draw(self.config.seed, Purpose.JUDGED_VIEW, iteration))
            seen = view(output.images, self.config.augment, rng)
            absence = attribute_absence(self._ask(self.judges.probability, seen))
            self._note(attribute=absence)
            loss = loss + self.config.attribute_weight * absence
        if self.judges.identity is not None:
            with torch.no_grad():
                before = self._ask(self.judges.identity, pair.original)
            drift = identity_drift(self._ask(self.judges.identity, output.images), before)
            self._note(identity=drift)
            loss = loss + self.config.identity_weight * drift
        return loss

    def _ask(self, judge: AskJudge, images: Tensor) -> Tensor:
        with self._autocast():
            return judge(images).to(images.dtype)

    def _discriminator_phase(self, pair: PairBatch, edited: Tensor) -> None:
        with self._autocast():
            loss = discriminator_hinge(
                self.discriminator(pair.original, pair.target), self.discriminator(pair.original, edited)
            )
        self._update(self.optimizer_d, self.scaler_d, self.discriminator, loss)
        self._note(discriminator=loss)

    def _update(
        self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, network: nn.Module, loss: Tensor
    ) -> None:
        parameters = list(network.parameters())
        self.manual_backward(scaler.scale(loss), inputs=parameters)
        self.ranks.average_gradients(parameters)  # before the scaler looks for overflows: all must see the same
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)

    def _set_learning_rate(self, iteration: int) -> None:
        """Linear rise, then a half cosine down to 5 %: a function of the iteration alone."""
        done = (iteration + 1) / self.config.iterations
        rise = min(1.0, done / self.config.warmup) if self.config.warmup else 1.0
        fall = FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * done))
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * min(rise, fall)

    @torch.no_grad()
    def _average(self, iteration: int) -> None:
        """Moving average of the editor with a half-life in pairs, shorter at the beginning."""
        shown = (iteration + 1) * self.config.batch_size
        half_life = min(self.config.ema_kimg * 1000, shown * EMA_RAMPUP)
        kept = 0.5 ** (self.config.batch_size / max(half_life, 1e-8))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.editor.parameters()), 1.0 - kept)

    def _autocast(self) -> torch.autocast:
        dtype = AUTOCAST.get(self.config.precision)
        return torch.autocast(self.device.type, dtype, enabled=dtype is not None)

    def _note(self, **losses: Tensor) -> None:
        self.losses |= self.ranks.means({name: value.detach() for name, value in losses.items()})
