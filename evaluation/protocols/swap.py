"""Face swap: whose face it is, and whether pose and surroundings are still the target's (METHODS B, measures)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from data.errors import UserError
from evaluation.edit_report import EDITOR, TRUTH, EditReport, ReportConfig, ReportRow
from evaluation.held_out import Masks
from evaluation.metrics.identity import identity_measure
from evaluation.metrics.intervals import Protocol
from evaluation.metrics.measure import Measure
from evaluation.metrics.pose import pose_measures
from evaluation.metrics.retrieval import retrieval_measure
from evaluation.metrics.sets import set_metrics
from evaluation.panel import Panel, feature_vectors, judge_of
from evaluation.pixels import Images
from evaluation.protocols.folder import ImageSize, read_column, read_masks
from evaluation.protocols.pairs_csv import Columns, Table, check_unique, read_table
from evaluation.protocols.report import Measured, report_of
from evaluation.protocols.seen import Floats, Seen, identity_vectors, see
from evaluation.protocols.settings import People, mask_judge, outside_measures, read_people, truth_measures
from evaluation.slices import photo_slices

COLUMNS = Columns(
    images=("output", "source", "target", "truth", "mask"),
    texts=("subject", "target_subject"),
    required=("output", "source", "target"),
)
COPY, PASTE = "copy_target", "paste_source"
TITLES: Mapping[str, str] = {
    EDITOR: "results",
    COPY: "copy the target",
    PASTE: "paste the source",
    TRUTH: "true swap",
}
HEADLINE = ("id_retrieval_centers", "identity_cosine_source", "pose_error")
LEAD = "The source's identity on the target's picture: pose, expression, light and background should be the target's."
READING = (
    "Copy the target returns the target: it wins pose, everything outside the mask and distances between sets, and "
    "retrieves nobody.",
    "Paste the source returns the source: it wins identity and loses the pose. Where the gallery holds the very source "
    "images, its retrieval is perfect by construction.",
    "A result without a face is a miss in both retrievals.",
    "Intervals are 95 % bootstrap intervals that resample whole subjects, the sources' people.",
)
COSINES = {
    "source": Protocol(
        "identity_cosine_source", "cosine", "mean cosine of the result's identity with the source's", True
    ),
    "target": Protocol(
        "identity_cosine_target", "cosine", "mean cosine of the result's identity with the target's", False
    ),
}


@dataclass(frozen=True)
class SwapFolder:
    """Results N×S×S×3, the sources whose identity and the targets whose everything else they should have.

    `subjects` are the sources'; `outside` (N×S×S) is where a result should be its target, `truths` the true swaps.
    """

    table: Table
    outputs: Images
    sources: Images
    targets: Images
    subjects: tuple[str, ...]
    target_subjects: tuple[str, ...]
    gallery: People
    reference: People
    outside: Masks | None
    truths: Images | None


def read_swaps(folder: Path, pairs: Path, gallery: Path | None = None, reference: Path | None = None) -> SwapFolder:
    """Read a folder of swaps; without gallery.csv the sources are the gallery, without reference.csv the targets are.

    Raises UserError that names file and row.
    """
    table = read_table(pairs, folder, COLUMNS)
    check_unique(table, "output")
    outputs = read_column(table, "output")
    size = ImageSize.of(outputs, table, "output")
    sources, targets = (read_column(table, name, size) for name in ("source", "target"))
    subjects = table.texts("subject", table.cells["source"])
    target_subjects = table.texts("target_subject", table.cells["target"])
    masks = read_masks(table, size)
    people = read_people(gallery, folder, size) if gallery else _each_once(table, "source", sources, subjects)
    _check_gallery(people, subjects, table)
    return SwapFolder(
        table, outputs, sources, targets, subjects, target_subjects, people,
        read_people(reference, folder, size) if reference else _each_once(table, "target", targets, target_subjects),
        None if masks is None else ~masks,
        read_column(table, "truth", size) if "truth" in table else None,
    )  # fmt: skip


@dataclass(frozen=True)
class _Bench:
    """What every row is measured against, seen once."""

    folder: SwapFolder
    panel: Panel
    config: ReportConfig
    sources: Seen
    targets: Seen
    gallery: Floats
    reference: Floats


def evaluate_swaps(folder: SwapFolder, panel: Panel, config: ReportConfig | None = None) -> EditReport:
    """Measure a folder of swaps, beside copies of the target and pasted sources; raises UserError for unusable ones."""
    config = config or ReportConfig()
    bench = _look(folder, panel, config)
    answers = {EDITOR: folder.outputs, COPY: folder.targets, PASTE: folder.sources}
    if folder.truths is not None:
        answers[TRUTH] = folder.truths
    seen = {key: _see(bench, key, images) for key, images in answers.items()}
    rows = tuple(_row(bench, key, images, seen[key]) for key, images in answers.items())
    return report_of(_measured(bench, rows, seen[EDITOR]), config)


def swap_measures(bench: _Bench, outputs: Images, after: Seen) -> tuple[Measure, ...]:
    """Return every measure per image of one way to answer, N each."""
    folder, panel = bench.folder, bench.panel
    identity = judge_of(panel.identity)
    retrieved = (
        retrieval_measure(
            after.identities, folder.subjects, bench.gallery, folder.gallery.subjects, mode, identity
        )
        for mode in ("centers", "spread")
    )  # fmt: skip
    cosines = (
        replace(identity_measure(before.identities, after.identities, identity), protocol=COSINES[whose])
        for whose, before in (("source", bench.sources), ("target", bench.targets))
    )
    poses = pose_measures(bench.targets.angles_deg, after.angles_deg, judge_of(panel.pose))
    outside = outside_measures(folder.targets, outputs, folder.outside, mask_judge(folder.outside))
    return (
        *retrieved,
        *cosines,
        *(_against_target(pose) for pose in poses),
        *outside,
        *truth_measures(outputs, folder.truths, folder.outside),
    )


def _check_gallery(gallery: People, subjects: tuple[str, ...], table: Table) -> None:
    """Someone who is not in the gallery can never be retrieved: a miss would be the gallery's, not the tool's."""
    for row, subject in enumerate(subjects):
        if subject not in gallery.subjects:
            raise UserError(
                f"{table.where(row)}: the gallery holds no image of the source's subject {subject!r}.",
                "Name the sources' people in the column `subject`, as the gallery does, or add them to it.",
            )


def _look(folder: SwapFolder, panel: Panel, config: ReportConfig) -> _Bench:
    size, cells = config.batch_size, folder.table.cells
    return _Bench(
        folder,
        panel,
        config,
        see(panel, folder.sources, size, cells["source"]),
        see(panel, folder.targets, size, cells["target"]),
        identity_vectors(panel, folder.gallery.images, size),
        feature_vectors(panel.features, folder.reference.images, size, panel.device),
    )


def _measured(bench: _Bench, rows: tuple[ReportRow, ...], results: Seen) -> Measured:
    folder = bench.folder
    columns = [("source", folder.sources), ("target", folder.targets), ("result", folder.outputs)]
    if folder.truths is not None:
        columns.append(("true swap", folder.truths))
    return Measured(
        "swap", "Face swap", folder.table, rows, columns, folder.targets, folder.outputs, folder.truths,
        results.features, bench.reference, results.faceless, HEADLINE, READING, LEAD,
        photo_slices(folder.targets, bench.targets.angles_deg),
    )  # fmt: skip


def _see(bench: _Bench, key: str, images: Images) -> Seen:
    known = {COPY: bench.targets, PASTE: bench.sources}
    if key in known:
        return known[key]
    names = bench.folder.table.cells["output" if key == EDITOR else "truth"]
    return see(bench.panel, images, bench.config.batch_size, names)


def _row(bench: _Bench, key: str, images: Images, seen: Seen) -> ReportRow:
    subjects, config = bench.folder.subjects, bench.config
    sets = set_metrics(seen.features, bench.reference, judge_of(bench.panel.features), subjects, config.seed)
    return ReportRow(key, TITLES[key], swap_measures(bench, images, seen), sets, subjects, config.bootstrap)


def _against_target(pose: Measure) -> Measure:
    """A change of pose between target and result is the swap's error."""
    protocol = pose.protocol
    name = protocol.name.replace("pose_change", "pose_error")
    return replace(pose, protocol=replace(protocol, name=name, text=f"{protocol.text}; before is the target"))


def _each_once(table: Table, column: str, images: Images, subjects: tuple[str, ...]) -> People:
    """The images of a column, one of each file."""
    first = list({cell: row for row, cell in reversed(list(enumerate(table.cells[column])))}.values())[::-1]
    return People(images[first], tuple(subjects[row] for row in first))
