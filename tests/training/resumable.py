"""The assets that train or generate in bulk, at sizes of a second: each works in a folder and goes on there.

As a program it starts some of them, each in a process of its own that is killed in the middle:
`python tests/training/resumable.py FOLDER NAME:CALL …` kills NAME at the CALL-th question whether to stop.
"""

from __future__ import annotations

import copy
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from training.editor.config import EditorTrainingConfig
from training.editor.train import train_editor
from training.fusion_schedule import FusionConfig, LayerSpec
from training.gan_config import GanTrainingConfig
from training.gan_training import GanResult, load_snapshot, train_gan
from training.interruption import Interrupted
from training.judges import JudgeImagesConfig, JudgeTrainingConfig
from training.judges.images import judge_images
from training.judges.train import train_judges
from training.pair_batch import PairJudges, PairsConfig
from training.pair_store import PairMeasures, encode_pair, write_pairs
from training.pairs import make_pairs
from training.snapshot_choice import ChoiceJudges, SnapshotChoiceConfig, choose, score_snapshots, write_curve
from training.stylegan2 import DiscriminatorConfig, Generator, GeneratorConfig
from training.weights_io import initial_weights, save_gan, save_generator

Stop = Callable[[], bool]
Train = Callable[[Path, Stop], None]

SHAPE = GeneratorConfig(size_px=16, channels={4: 8, 8: 8, 16: 8}, z_dim=8, w_dim=8, mapping_layers=2)
SEEN_BY = DiscriminatorConfig(size_px=16, channels={4: 8, 8: 8, 16: 8})
# A checkpoint after every iteration: a kill may then come at any of them.
GAN = GanTrainingConfig(
    kimg=0.024, batch_size=4, r1_interval=2, augment="ada", ada_kimg=0.05, style_mixing=0.5, mirror=True, threads=1,
    snapshot_kimg=0.008, checkpoint_every_s=0.0, generator=SHAPE, discriminator=SEEN_BY,
)  # fmt: skip
EDITOR = EditorTrainingConfig(
    attribute="red", kimg=0.048, batch_size=8, channels=(12, 16, 16), detail_channels=8, adversarial_from=0.3,
    threads=1, checkpoint_every_s=1e-6,
)  # fmt: skip
JUDGED = JudgeImagesConfig(
    subjects=3, single_subjects=3, images_per_subject=2, held_out_subjects=3, held_out_images=2, render_size_px=64
)
JUDGES = JudgeTrainingConfig(
    identity_kimg=0.012, attribute_kimg=0.012, parser_kimg=0.012, pose_kimg=0.012, features_kimg=0.012,
    clip_kimg=0.024, batch_size=4,
)  # fmt: skip
PAIRS = PairsConfig(
    attribute="red", count=20, fusion=FusionConfig(layers=(LayerSpec(layer="8/2", a=0.0),)), min_probability=0.7,
    max_probability=0.5, max_change_outside=1.0, batch_size=8, chunk_size=16,
)  # fmt: skip
BOX = (slice(None), slice(None), slice(4, 12), slice(4, 12))


def never() -> bool:
    return False


def original_network(folder: Path, stop: Stop) -> None:
    """The original network, from nothing."""
    result = _finished(train_gan(GAN, _images(16), folder / "work", stop=stop))
    save_gan(folder / "out", result.weights)


def feature_network(folder: Path, stop: Stop) -> None:
    """Fine-tuned with its mapping frozen, then the best of its snapshots by closed forms in the judges' place."""
    config, start = GAN.model_copy(update={"seed": 1}), initial_weights(SHAPE, SEEN_BY, seed=5)
    result = _finished(train_gan(config, _images(16), folder / "work", start=start, freeze_mapping=True, stop=stop))
    choice = SnapshotChoiceConfig(codes=10, batch_size=4, seed=3)
    snapshots = ((one.kimg, load_snapshot(one, SHAPE)) for one in result.snapshots)
    curve = []
    for point in score_snapshots(start.build_generator(), snapshots, _choice_judges(), choice):
        curve.append(point)
        if stop():
            raise Interrupted("stopped while choosing a snapshot")
    best = choose(curve)
    save_generator(folder / "out", load_snapshot(next(s for s in result.snapshots if s.kimg == best.kimg), SHAPE))
    write_curve(folder / "out", curve, choice)


def attribute_editor(folder: Path, stop: Stop) -> None:
    """The editor, on pairs whose targets are redder."""
    if not (folder / "pairs").exists():
        _store_pairs(folder / "pairs")
    train_editor(EDITOR, folder / "pairs", None, folder / "out", folder / "work", stop=stop)


def judges(folder: Path, stop: Stop) -> None:
    """All eleven judges, three iterations each."""
    judge_images(JUDGED, folder / "images")
    train_judges(folder / "images", folder / "out", JUDGES, None, folder / "work", stop, checkpoint_every_s=0.0)


def edit_pairs(folder: Path, stop: Stop) -> None:
    """Pairs by closed forms in the judges' place."""
    original = Generator(SHAPE)
    original.load_state_dict(initial_weights(SHAPE, SEEN_BY, seed=0).generator)
    original.requires_grad_(False)
    for name, parameter in original.synthesis.to_rgb.named_parameters():
        if name.endswith(".weight") and parameter.ndim == 4:
            parameter.mul_(0.2)  # about [-1, 1]
    feature = copy.deepcopy(original)
    feature.synthesis.to_rgb.get_parameter("8.bias").add_(torch.tensor([0.6, 0.0, -0.6]))
    seen_by = PairJudges(_in_box, _in_box, _redness, _directions, "closed forms")
    make_pairs(original, feature, seen_by, PAIRS, folder / "out", folder / "work", None, stop)


TRAININGS: Mapping[str, Train] = {
    "original_network": original_network,
    "feature_network": feature_network,
    "attribute_editor": attribute_editor,
    "judges": judges,
    "edit_pairs": edit_pairs,
}


def payload(folder: Path) -> dict[str, bytes]:
    """What a training left, by path."""
    out = folder / "out"
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


class AtCall:
    """Asked whether to stop for the `number`-th time, it does something to this process instead."""

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        self.left, self.act = number, act

    def __call__(self) -> bool:
        self.left -= 1
        if self.left == 0:
            self.act()
        return False


def kill_at(folder: Path, name: str, call: int) -> int:
    """Train in a forked process that is killed at a call; returns how it ended, as `waitpid` says it."""
    child = os.fork()
    if child == 0:
        TRAININGS[name](folder, AtCall(call, lambda: os.kill(os.getpid(), signal.SIGKILL)))
        os._exit(0)
    return os.waitpid(child, 0)[1]


def _finished(result: GanResult) -> GanResult:
    if not result.finished:
        raise Interrupted(f"stopped at iteration {result.iterations}")
    return result


def _images(size_px: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (10, size_px, size_px, 3), dtype=np.uint8)


def _store_pairs(folder: Path) -> None:
    originals = np.random.default_rng(2).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
    masks = np.zeros((24, 32, 32), np.uint8)
    masks[:, 8:24, 8:24] = 255
    targets = np.where(masks[..., None] > 0, np.uint8(200), originals)
    measures = {field.name: 0 for field in fields(PairMeasures)}
    rows = enumerate(zip(originals, targets, masks, strict=True))
    write_pairs(folder, (encode_pair(*row, PairMeasures(**measures | {"index": index})) for index, row in rows))


def _choice_judges() -> ChoiceJudges:
    return ChoiceJudges(
        probability=lambda images: torch.sigmoid(images.mean(dim=(1, 2, 3))),
        identity=_directions,
        angles_deg=lambda images: images[:, :, 0, :].mean(dim=2) * 30,
    )


def _directions(images: Tensor) -> Tensor:
    return F.normalize(images.flatten(1), dim=1)


def _in_box(images: Tensor) -> Tensor:
    mask = torch.zeros(len(images), 1, *images.shape[2:])
    mask[BOX] = 1
    return mask


def _redness(images: Tensor) -> Tensor:
    box = images[BOX]
    return torch.sigmoid(5 * (box[:, 0] - box[:, 2]).mean(dim=(1, 2)))


def main() -> None:
    """See above; ends with 1 where one was not killed."""
    torch.set_num_threads(1)
    root = Path(sys.argv[1])
    ended = [kill_at(root / name, name, int(call)) for name, _, call in (word.partition(":") for word in sys.argv[2:])]
    sys.exit(0 if all(os.WIFSIGNALED(end) and os.WTERMSIG(end) == signal.SIGKILL for end in ended) else 1)


if __name__ == "__main__":
    main()
