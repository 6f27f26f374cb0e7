"""The image set that the renderer makes: subjects from the user's range, a few scenes each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.categories import FACE, category
from data.consent import Withheld
from data.counting import CountFn, uncounted
from data.errors import UserError
from data.image_set import ImageSetSummary, ImageSetWriter
from data.manifest import ImageRow, Split, SplitFractions, split_of
from data.parallel import chunks, ordered
from data.png import encode_png

_CHUNK = 64
LICENCE = "CC0-1.0"


@dataclass(frozen=True)
class RenderedConfig:
    """How many images of whom: subjects count up from `first_subject`, each in `images_per_subject` scenes."""

    count: int = 8000
    images_per_subject: int = 4
    size_px: int = 96
    seed: int = 0
    first_subject: int = FACE.seeds.user.start
    category: str = FACE.name

    def __post_init__(self) -> None:
        if self.count < 1 or self.images_per_subject < 1:
            raise UserError(f"Nothing to render: {self}.", "Give a count and images_per_subject of at least 1.")
        users, last = category(self.category).seeds.user, self.first_subject + self.subjects - 1
        if self.first_subject not in users or last not in users:
            raise UserError(
                f"Subject {last if self.first_subject in users else self.first_subject} belongs to the shipped weights "
                "or the judges, or to another category.",
                f"Choose a first_subject of at least {users.start}, all of them below {users.stop}.",
            )

    @property
    def subjects(self) -> int:
        """How many subjects are shown."""
        return -(-self.count // self.images_per_subject)


@dataclass(frozen=True)
class _Order:
    """One image to render."""

    subject: int
    index: int
    scene_seed: int
    size_px: int
    category: str

    @property
    def source(self) -> str:
        return f"renderer:{self.subject}/{self.index}?seed={self.scene_seed}&size={self.size_px}"


@dataclass(frozen=True)
class _Render:
    order: _Order
    png: bytes
    scene: str
    attributes: tuple[str, ...]
    landmarks: tuple[float, ...]


def render_images(
    config: RenderedConfig,
    out: Path,
    split: SplitFractions = SplitFractions(),  # noqa: B008 – frozen
    processes: int = 1,
    progress: CountFn = uncounted,
    withheld: Withheld = Withheld(),  # noqa: B008 – frozen
) -> ImageSetSummary:
    """Renders the image set into `out`; the bytes depend on configuration, split and what is withheld alone.

    What is withheld goes to quarantine: an image that is named by its hash is known only once it is rendered.
    """
    orders = [_order(config, index) for index in range(config.count)]
    with ImageSetWriter(out, "images", withheld) as writer:
        done = 0
        for renders in ordered(_render_chunk, chunks(orders, _CHUNK), processes):
            for made in renders:
                writer.add(made.png, _row(made, split))
            done += len(renders)
            progress(done, config.count)
        return writer.finish(_facts(config))


def scene_seed(seed: int, subject: int, index: int) -> int:
    """The seed of a subject's scene: 48 bits of a hash, so that no two subjects share a light or a pose."""
    name = f"editloom.scene/{seed}/{subject}/{index}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")


def _order(config: RenderedConfig, index: int) -> _Order:
    subject = config.first_subject + index // config.images_per_subject
    place = index % config.images_per_subject
    return _Order(subject, place, scene_seed(config.seed, subject, place), config.size_px, config.category)


def _render_chunk(orders: Sequence[_Order]) -> list[_Render]:
    kind = category(orders[0].category)
    scenes = [kind.draw_scene(order.scene_seed, kind.draw_subject(order.subject)) for order in orders]
    rendered = kind.render(scenes, orders[0].size_px)
    parts = zip(orders, scenes, rendered.images, rendered.landmarks, strict=True)
    return [
        _Render(
            order,
            encode_png(image),
            kind.scene_to_json(scene),
            _present(kind.attributes_of(scene)),
            tuple(landmarks.ravel().tolist()),
        )
        for order, scene, image, landmarks in parts
    ]


def _present(attributes: Mapping[str, bool]) -> tuple[str, ...]:
    return tuple(sorted(name for name, present in attributes.items() if present))


def _row(made: _Render, fractions: SplitFractions) -> ImageRow:
    subject = f"renderer:{made.order.subject}"
    split: Split = split_of(subject, fractions)
    size, shows = made.order.size_px, category(made.order.category).shows
    return ImageRow(
        made.order.source, subject, LICENCE, "granted", shows, made.attributes, size, size, split,
        consent_reason="procedural: shows no person", scene=made.scene, landmarks=made.landmarks,
    )  # fmt: skip


def _facts(config: RenderedConfig) -> dict[str, object]:
    drawn = {"first_subject": config.first_subject, "subjects": config.subjects, "seed": config.seed}
    return {
        "sources": {"renderer": drawn},
        "consent": {"default": "granted", "attested_by": None, "reason": "procedural: shows no person"},
    }
