"""A GAN's training over several devices: what the first process leaves for the others, and what they do.

`python -m training.gan_rank FOLDER RANK` is started by `gan_ranks` alone.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from data.whole_file import written_whole
from training.checkpoint_io import SafetensorsCheckpointIO
from training.distributed.callbacks import Alike
from training.distributed.group import Member, joined, leading, member_of
from training.distributed.ranks import Ranks
from training.fitting import fit
from training.gan_callbacks import CleanStop
from training.gan_config import GanTrainingConfig
from training.gan_module import GanModule
from training.stylegan2 import DiscriminatorConfig, GeneratorConfig
from training.weights_io import GanWeights

JOB, STATE, IMAGES = "job.json", "state.safetensors", "images.npy"


class GanRankJob(BaseModel):
    """What another process makes the same module from; its state stands beside this, and the images do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: GanTrainingConfig
    generator: GeneratorConfig
    discriminator: DiscriminatorConfig
    freeze_mapping: bool


@contextmanager
def gan_ranks(
    module: GanModule, images: NDArray[np.uint8], folder: Path, accelerator: str, cards: tuple[str, ...]
) -> Iterator[None]:
    """While the context lasts the other ranks train beside this one, from the state of `module`; alone, do nothing.

    `cards` are CUDA's names of the devices, this process's first. Raises RankDiedError where one of them ended.
    """
    if module.ranks.count == 1:
        yield
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    generator, discriminator = module.shapes
    job = GanRankJob(
        config=module.config, generator=generator, discriminator=discriminator, freeze_mapping=module.freeze_mapping
    )
    (folder / JOB).write_text(job.model_dump_json())
    SafetensorsCheckpointIO().save_checkpoint(module.true_state(), folder / STATE)
    with written_whole(folder / IMAGES, "the images for the other processes") as part, part.open("wb") as file:
        np.save(file, images)
    with leading("training.gan_rank", Member(folder, module.ranks, accelerator, cards)):
        yield
    shutil.rmtree(folder)


def main() -> None:
    """Train beside the first process until it is through."""
    member = member_of(sys.argv[1:])
    job = GanRankJob.model_validate_json((member.folder / JOB).read_text())
    images: NDArray[np.uint8] = np.load(member.folder / IMAGES, mmap_mode="r")
    module = _module(job, member.folder, member.ranks)
    with joined(member):
        callbacks = [Alike(module.ranks), CleanStop(None, module.ranks)]
        fit(module, module.batches(images), callbacks, member.accelerator, job.config.threads, module.ranks)


def _module(job: GanRankJob, folder: Path, ranks: Ranks) -> GanModule:
    state = SafetensorsCheckpointIO().load_checkpoint(folder / STATE)
    networks = (state["generator"], state["generator_ema"], state["discriminator"])
    weights = GanWeights(job.generator, job.discriminator, *networks)
    module = GanModule(job.config, weights, job.freeze_mapping, ranks)
    module.restore(state)
    return module


if __name__ == "__main__":
    main()
