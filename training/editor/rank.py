"""An editor's training over several devices: what the first process leaves for the others, and what they do.

`python -m training.editor.rank FOLDER RANK` is started by `editor_ranks` alone.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from training.checkpoint_io import SafetensorsCheckpointIO
from training.distributed.callbacks import Alike
from training.distributed.group import Member, joined, leading, member_of
from training.editor.config import EditorTrainingConfig
from training.editor.judging import training_judges
from training.editor.module import EditorModule
from training.editor.network import EditorConfig, EditorNetwork
from training.fitting import fit
from training.gan_callbacks import CleanStop
from training.judges import JudgeSet, load_judges
from training.pair_store import PairReader, open_pairs

JOB, STATE = "job.json", "state.safetensors"


class EditorRankJob(BaseModel):
    """What another process makes the same module from; its state stands beside this."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: EditorTrainingConfig
    network: EditorConfig
    pairs: Path
    judges: Path | None


@contextmanager
def editor_ranks(
    module: EditorModule,
    pairs: PairReader,
    judges: JudgeSet | None,
    folder: Path,
    accelerator: str,
    cards: tuple[str, ...],
) -> Iterator[None]:
    """While the context lasts the other ranks train beside this one, from the state of `module`; alone, do nothing.

    `cards` are CUDA's names of the devices, this process's first. Raises RankDiedError where one of them ended.
    """
    if module.ranks.count == 1:
        yield
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    job = EditorRankJob(
        config=module.config,
        network=module.editor.config,
        pairs=pairs.directory.resolve(),
        judges=None if judges is None else judges.directory.resolve(),
    )
    (folder / JOB).write_text(job.model_dump_json())
    SafetensorsCheckpointIO().save_checkpoint(module.true_state(), folder / STATE)
    with leading("training.editor.rank", Member(folder, module.ranks, accelerator, cards)):
        yield
    shutil.rmtree(folder)


def main() -> None:
    """Train beside the first process until it is through."""
    member = member_of(sys.argv[1:])
    job = EditorRankJob.model_validate_json((member.folder / JOB).read_text())
    pairs, module = open_pairs(job.pairs), _module(job, member)
    with joined(member):
        callbacks = [Alike(module.ranks), CleanStop(None, module.ranks)]
        fit(module, module.batches(pairs), callbacks, member.accelerator, job.config.threads, module.ranks)


def _module(job: EditorRankJob, member: Member) -> EditorModule:
    judges = None if job.judges is None else load_judges(job.judges, member.device)
    asked = training_judges(job.config, judges)
    module = EditorModule(job.config, EditorNetwork(job.network), asked, member.device.type, member.ranks)
    module.restore(SafetensorsCheckpointIO().load_checkpoint(member.folder / STATE))
    return module


if __name__ == "__main__":
    main()
