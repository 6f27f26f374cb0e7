"""Shapes of the two networks as data: frozen, checked, and written to JSON as they stand."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FIRST_SIZE_PX = 4
_DEFAULT_CHANNELS = {4: 64, 8: 64, 16: 64, 32: 48, 64: 24, 128: 16, 256: 16, 512: 16, 1024: 16}


def sizes(size_px: int) -> tuple[int, ...]:
    """Resolutions of a network, 4 first, `size_px` last; px."""
    return tuple(1 << power for power in range(2, size_px.bit_length()))


def layer_names(size_px: int) -> tuple[str, ...]:
    """Names of the convolutions in the order they run: `4/1`, `8/1`, `8/2`, `16/1`, … (METHODS, notation)."""
    later = [f"{size}/{conv}" for size in sizes(size_px)[1:] for conv in (1, 2)]
    return (f"{FIRST_SIZE_PX}/1", *later)


def layer_sizes(size_px: int) -> dict[str, int]:
    """Side of each layer's features in px, by the layer's name, in the order they run."""
    return {name: int(name.split("/")[0]) for name in layer_names(size_px)}


def default_channels(size_px: int) -> dict[int, int]:
    """Channels per resolution of the small network that trains on a CPU: about half a million parameters with D."""
    return {size: _DEFAULT_CHANNELS[size] for size in sizes(size_px)}


class _NetworkConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    size_px: int = Field(default=64, ge=8, le=1024, description="side of the square image in px, a power of two")
    channels: dict[int, int] = Field(default_factory=dict, description="channels per resolution; empty = the default")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.size_px & (self.size_px - 1):
            raise ValueError(f"size_px is {self.size_px}, expected a power of two")
        if not self.channels:
            object.__setattr__(self, "channels", default_channels(self.size_px))
        if tuple(sorted(self.channels)) != sizes(self.size_px):
            raise ValueError(f"channels has the sizes {sorted(self.channels)}, expected {list(sizes(self.size_px))}")
        if min(self.channels.values()) < 1:
            raise ValueError("channels holds a number below 1")
        return self


class GeneratorConfig(_NetworkConfig):
    """Shape of mapping and synthesis."""

    z_dim: int = Field(default=64, ge=1, description="length of the latent z")
    w_dim: int = Field(default=64, ge=1, description="length of the latent w")
    mapping_layers: int = Field(default=4, ge=1, le=16, description="fully connected layers of the mapping")


class DiscriminatorConfig(_NetworkConfig):
    """Shape of the residual discriminator."""

    group_size: int = Field(default=4, ge=1, description="images per group of the minibatch standard deviation")
