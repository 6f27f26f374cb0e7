"""Make the shipped original network: render subjects of its own, train for long, write weights and card.

    python -m training.shipped.make_original --workdir WORK --kimg 200

The same command again goes on where it stopped; `--kimg` may grow and `--threads` may change between calls.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from data.alignment import Template, align, similarity
from data.parallel import chunks, ordered
from data.png import encode_png
from data.render import draw_scene, draw_subject, render
from data.render.seeds import SHIPPED_WEIGHTS
from training.gan_config import GanTrainingConfig
from training.gan_training import GanResult, train_gan
from training.progress import Progress
from training.sampling import latents, layer_noise
from training.shipped.original import CARD, ORIGINAL_DIR
from training.stylegan2 import Generator
from training.weights_io import save_gan

SIZE_PX, RENDER_PX, CHUNK = 64, 96, 200
IMAGES, IMAGES_PER_SUBJECT = 32_000, 2
GRID_ROWS, GRID_COLUMNS = 8, 10
SUBJECTS_FILE = "subjects.json"


def training_config(kimg: float, threads: int) -> GanTrainingConfig:
    """The settings of the long training."""
    return GanTrainingConfig(
        kimg=kimg,
        batch_size=16,
        seed=1,
        lr=2.5e-3,
        r1_gamma=0.2,
        ema_kimg=10.0,
        ema_rampup=0.05,
        precision="bf16",
        threads=threads,
        snapshot_kimg=5.0,
        checkpoint_every_s=120.0,
    )


def training_images(path: Path, count: int, processes: int) -> NDArray[np.uint8]:
    """Aligned faces N×64×64×3 of the subjects that belong to the shipped weights; kept at `path` once rendered."""
    if not path.exists():
        starts = list(range(0, count, CHUNK))
        parts = [part for part in ordered(_chunks, chunks(starts, 1), processes)]
        np.save(path.with_suffix(".part.npy"), np.concatenate(parts))
        path.with_suffix(".part.npy").replace(path)
    images: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return images[:count]


def _chunks(starts: Sequence[int]) -> NDArray[np.uint8]:
    return np.concatenate([_chunk(start) for start in starts])


def _chunk(first: int) -> NDArray[np.uint8]:
    """CHUNK faces: the scene's seed is the image's index, two scenes a subject."""
    seeds = range(first, first + CHUNK)
    subjects = (draw_subject(SHIPPED_WEIGHTS.start + seed // IMAGES_PER_SUBJECT) for seed in seeds)
    drawn = render([draw_scene(seed, subject) for seed, subject in zip(seeds, subjects, strict=True)], RENDER_PX)
    placed = zip(drawn.images, drawn.landmarks, strict=True)
    return np.stack([align(image, similarity(points, Template(), SIZE_PX), SIZE_PX) for image, points in placed])


def make(workdir: Path, out: Path, kimg: float, threads: int, processes: int) -> None:
    """Train to `kimg` and write weights, subjects and card to `out`."""
    workdir.mkdir(parents=True, exist_ok=True)
    images = training_images(workdir / "images.npy", IMAGES, processes)
    config = training_config(kimg, threads)
    clock = _Clock(workdir / "seconds.json")
    result = train_gan(config, images, workdir, progress=clock, on_snapshot=_Grids(workdir / "grids"))
    if result.finished:
        save_gan(out, result.weights)
        _write_card(out, result, config, clock.total_s)


class _Clock:
    """Adds up the seconds of training over resumptions, and prints progress."""

    def __init__(self, path: Path) -> None:
        self.path, self.began = path, time.monotonic()
        self.before_s = float(json.loads(path.read_text())) if path.exists() else 0.0

    @property
    def total_s(self) -> float:
        return self.before_s + time.monotonic() - self.began

    def __call__(self, progress: Progress) -> None:
        self.path.write_text(json.dumps(self.total_s))
        numbers = {name: round(value, 3) for name, value in progress.metrics.items()}
        print(f"{progress.step / 1000:.1f} kimg, {progress.rate:.0f} images/s, {numbers}", flush=True)


class _Grids:
    """A picture of the same 80 faces at every snapshot."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def __call__(self, kimg: float, generator: Generator) -> None:
        rows = torch.arange(GRID_ROWS * GRID_COLUMNS)
        with torch.inference_mode():
            noise = layer_noise(0, rows, generator.synthesis.layer_sizes)
            drawn = generator(latents(0, rows, generator.config.z_dim), noise, 1.0)
        levels = ((drawn.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()  # N×3×H×W → N×H×W×3
        side = levels.shape[1]
        tiled = levels.reshape(GRID_ROWS, GRID_COLUMNS, side, side, 3).transpose(0, 2, 1, 3, 4)
        sheet = np.ascontiguousarray(tiled.reshape(GRID_ROWS * side, GRID_COLUMNS * side, 3))
        (self.folder / f"{kimg:06.1f}.png").write_bytes(encode_png(sheet))


def _write_card(out: Path, result: GanResult, config: GanTrainingConfig, seconds: float) -> None:
    """What the files are and how they came to be; their digests are what the loader checks."""
    first, last = SHIPPED_WEIGHTS.start, SHIPPED_WEIGHTS.start + IMAGES // IMAGES_PER_SUBJECT - 1
    subjects = {
        "first_subject": first,
        "last_subject": last,
        "images_per_subject": IMAGES_PER_SUBJECT,
        "images": IMAGES,
    }
    (out / SUBJECTS_FILE).write_text(json.dumps(subjects, indent=2) + "\n")
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.iterdir()) if p.name != CARD}
    card: dict[str, Any] = {
        "what": "Original network: a StyleGAN2 of rendered faces at 64 px, its average and its discriminator.",
        "command": f"python -m training.shipped.make_original --workdir WORK --kimg {config.kimg:g}",
        "config": config.model_dump(mode="json"),
        "kimg": round(result.kimg, 3),
        "training_s": round(seconds),
        "hardware": f"{platform.machine()} CPU, {config.threads} of 2 cores, torch {torch.__version__}",
        "date": datetime.now(UTC).date().isoformat(),
        "subjects": subjects,
        "files": files,
    }
    (out / CARD).write_text(json.dumps(card, indent=2, sort_keys=True) + "\n")


def main() -> None:
    """Read the command line and make the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=Path, required=True, help="checkpoints, images and grids")
    parser.add_argument("--out", type=Path, default=ORIGINAL_DIR, help="where weights and card go")
    parser.add_argument("--kimg", type=float, default=200.0, help="thousand images to train to")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    make(given.workdir, given.out, given.kimg, given.threads, given.processes)


if __name__ == "__main__":
    main()
