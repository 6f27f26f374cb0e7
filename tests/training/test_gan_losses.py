"""Losses against their closed forms."""

import math

import torch
from torch import Tensor

from training.gan_losses import discriminator_loss, generator_loss, r1_penalty
from training.stylegan2 import Discriminator, DiscriminatorConfig


def test_logistic_losses_at_known_logits() -> None:
    real, fake = torch.tensor([2.0]), torch.tensor([-1.0])
    sigmoid = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731 - the formula
    assert math.isclose(float(generator_loss(fake)), -math.log(sigmoid(-1.0)), rel_tol=1e-6)
    expected = -math.log(sigmoid(2.0)) - math.log(1 - sigmoid(-1.0))
    assert math.isclose(float(discriminator_loss(real, fake)), expected, rel_tol=1e-6)


def test_r1_of_a_linear_critic_is_its_squared_norm() -> None:
    images, weight = torch.randn(5, 3, 4, 4, requires_grad=True), torch.randn(3, 4, 4)
    logits = (images * weight).sum(dim=(1, 2, 3))
    torch.testing.assert_close(r1_penalty(logits, images), weight.square().sum())


def test_r1_reaches_the_weights_through_the_whole_discriminator() -> None:
    torch.manual_seed(0)
    network = Discriminator(DiscriminatorConfig(size_px=8, channels={4: 4, 8: 4})).double()
    network.forward = _in_double(network)  # type: ignore[method-assign]
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    weight = network.blocks["8"].conv1.weight

    def penalty() -> Tensor:
        x = images.clone().requires_grad_(True)
        return r1_penalty(network(x), x)

    (gradient,) = torch.autograd.grad(penalty(), weight)
    direction, step = torch.randn_like(weight), 1e-6
    with torch.no_grad():
        weight += step * direction
    above = penalty()
    with torch.no_grad():
        weight -= 2 * step * direction
    slope = (above - penalty()) / (2 * step)
    # central differences in float64: error of order step² + 1e-16/step, far below 1e-5
    torch.testing.assert_close((gradient * direction).sum(), slope.detach(), rtol=1e-5, atol=1e-8)


def _in_double(network: Discriminator):  # type: ignore[no-untyped-def]
    """The same layers without the casts to float32 that the training's mixed precision needs."""

    def forward(images: Tensor) -> Tensor:
        from training.stylegan2.discriminator import minibatch_deviation

        x = network.features(images, torch.float64)[-1]
        x = network.final_conv(minibatch_deviation(x, network.config.group_size))
        logits: Tensor = network.logit(network.hidden(x.flatten(1)))
        return logits.squeeze(1)

    return forward
