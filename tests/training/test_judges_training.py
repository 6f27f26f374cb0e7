"""Training the judges: whom they see, that a run can be repeated and resumed, that labels move with the pixels."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F

from data.categories import VEHICLE
from data.errors import UserError
from data.render import ATTRIBUTES
from training.judges import JudgeImagesConfig, JudgeTrainingConfig, load_judges, read_judges_manifest
from training.judges.images import DATASET, MANIFEST, judge_images
from training.judges.interface import to_judge_size
from training.judges.jitter import jitter, to_float
from training.judges.pools import Pool, pool_of, render_pool
from training.judges.scores import attribute_scores, colour_histogram_rank1, pose_scores, rank1
from training.judges.train import train_judges

TINY = JudgeImagesConfig(
    subjects=3, single_subjects=3, images_per_subject=2, held_out_subjects=3, held_out_images=2, render_size_px=64
)
SHORT = JudgeTrainingConfig(
    identity_kimg=0.008,
    attribute_kimg=0.008,
    parser_kimg=0.008,
    pose_kimg=0.008,
    features_kimg=0.008,
    clip_kimg=0.016,  # its batches are twice as large
    batch_size=4,
)


@pytest.fixture(scope="module")
def images_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("judge_images")
    judge_images(TINY, out)
    return out


@pytest.fixture(scope="module")
def trained(images_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A payload and the working directory that made it."""
    root = tmp_path_factory.mktemp("trained")
    train_judges(images_dir, root / "out", SHORT, workdir=root / "work")
    return root / "out", root / "work"


def payload(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def test_training_and_evaluation_judges_share_no_subject(trained: tuple[Path, Path]) -> None:
    records = read_judges_manifest(trained[0]).judges
    ranges = {name: set(range(*record.training_subjects)) for name, record in records.items()}
    for name, record in records.items():
        assert not ranges[name] & set(range(*record.held_out_subjects))
        for other, its in records.items():
            if record.role != its.role:
                assert not ranges[name] & ranges[other], (name, other)


def test_manifest_rows_stay_in_the_recorded_ranges(images_dir: Path) -> None:
    rows = pq.read_table(images_dir / MANIFEST).to_pylist()
    ranges = json.loads((images_dir / DATASET).read_text())["subject_ranges"]
    assert len(rows) == 4 * 3 * 2 + 3 * 2
    assert all(ranges[row["pool"]][0] <= row["subject_seed"] < ranges[row["pool"]][1] for row in rows)
    assert not any(row["turned"] for row in rows if row["split"] == "held_out")
    assert any(row["turned"] for row in rows)


def test_judge_images_are_the_same_bytes_again(images_dir: Path, tmp_path: Path) -> None:
    judge_images(TINY, tmp_path)
    assert payload(tmp_path) == payload(images_dir)


def test_training_again_gives_the_same_bytes(images_dir: Path, trained: tuple[Path, Path], tmp_path: Path) -> None:
    train_judges(images_dir, tmp_path / "out", SHORT, workdir=tmp_path / "work")
    assert payload(tmp_path / "out") == payload(trained[0])


def test_interrupted_training_keeps_its_finished_judges(
    images_dir: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:

    work = tmp_path / "work"
    for kept in (trained[1] / "weights").glob("*_train-*"):
        (work / "weights").mkdir(parents=True, exist_ok=True)
        (work / "weights" / kept.name).write_bytes(kept.read_bytes())
    before = {path.name: path.stat().st_mtime_ns for path in (work / "weights").iterdir()}
    assert len(before) == 5
    train_judges(images_dir, tmp_path / "out", SHORT, workdir=work)
    after = {path.name: path.stat().st_mtime_ns for path in (work / "weights").iterdir()}
    assert {name: after[name] for name in before} == before
    assert len(after) == 11
    assert payload(tmp_path / "out") == payload(trained[0])


def test_trained_set_loads_and_judges(trained: tuple[Path, Path]) -> None:
    judges = load_judges(trained[0])
    assert judges.identity_eval.vectors(torch.zeros(2, 3, 64, 64)).shape == (2, 128)
    assert judges.identity_train.digest != judges.identity_eval.digest
    assert "| identity_eval | eval |" in judges.manifest.card


def test_trained_clips_know_their_words_and_their_own_pool(trained: tuple[Path, Path]) -> None:
    judges = load_judges(trained[0])
    ours, theirs = judges.clip_train, judges.clip_eval
    assert ours.text_vectors(["a face with a beard"]).shape == ours.image_vectors(torch.zeros(1, 3, 64, 64)).shape
    assert ours.unknown_words("a face with a purple beard") == ("purple",)
    assert ours.digest != theirs.digest and ours.net.mean != theirs.net.mean
    records = judges.manifest.judges
    assert {"zero_shot_accuracy_mean", "zero_shot_accuracy_beard"} <= records["clip_eval"].scores.keys()
    assert "| clip_eval | eval |" in judges.manifest.card


def test_vehicles_train_judges_of_their_own(trained: tuple[Path, Path], tmp_path: Path) -> None:
    judge_images(TINY.model_copy(update={"category": "vehicle"}), tmp_path / "images")
    train_judges(tmp_path / "images", tmp_path / "out", SHORT)
    judges, faces = load_judges(tmp_path / "out"), load_judges(trained[0])
    assert (judges.category, judges.attributes, judges.regions) == ("vehicle", VEHICLE.attributes, VEHICLE.regions)
    assert judges.attribute_train.probability(torch.zeros(2, 3, 32, 32), "roof_box").shape == (2,)
    assert "accuracy_roof_box" in judges.manifest.judges["attribute_eval"].scores
    assert "rendered vehicles" in judges.manifest.card and "rendered faces" in faces.manifest.card
    theirs = {subject for record in judges.manifest.judges.values() for subject in range(*record.training_subjects)}
    assert theirs.isdisjoint(s for r in faces.manifest.judges.values() for s in range(*r.training_subjects))


def test_set_that_names_no_category_is_of_faces(trained: tuple[Path, Path], tmp_path: Path) -> None:
    record = json.loads((trained[0] / "judges.json").read_text())
    del record["category"]
    (tmp_path / "judges.json").write_text(json.dumps(record))
    assert load_judges(tmp_path).category == "face"


def test_smaller_crop_is_enlarged_as_the_judges_enlarge_what_they_see(images_dir: Path) -> None:
    rows = pq.read_table(images_dir / MANIFEST).slice(0, 2)
    sharp, soft = render_pool(rows, TINY), render_pool(rows, TINY.model_copy(update={"crop_size_px": 32}))
    assert soft.images.shape == sharp.images.shape and np.array_equal(soft.regions, sharp.regions)
    # What 32 px can hold comes back from half the size, up to rounding and the borders; the sharp crop does not.
    seen = to_judge_size(F.avg_pool2d(to_float(torch.from_numpy(soft.images)), 2))
    error = [float((to_float(torch.from_numpy(one.images)) - seen).abs().mean()) for one in (soft, sharp)]
    assert error[0] < 0.6 * error[1]


def test_seeds_of_another_renderer_are_refused(images_dir: Path, tmp_path: Path) -> None:
    record = json.loads((images_dir / DATASET).read_text())
    (tmp_path / DATASET).write_text(json.dumps({**record, "renderer_digest": "0" * 64}))
    (tmp_path / MANIFEST).write_bytes((images_dir / MANIFEST).read_bytes())
    with pytest.raises(UserError, match="another version of the renderer"):
        train_judges(tmp_path, tmp_path / "out", SHORT)


def test_missing_judge_images_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="judge_images"):
        train_judges(tmp_path, tmp_path / "out", SHORT)


def test_turned_scenes_differ_in_the_attribute_named(images_dir: Path) -> None:
    rows = pq.read_table(images_dir / MANIFEST).filter(
        pq.read_table(images_dir / MANIFEST)["pool"].to_numpy() == "train"
    )
    plain = rows.set_column(rows.schema.get_field_index("turned"), "turned", [[""] * rows.num_rows])
    turned, before = render_pool(rows, TINY), render_pool(plain, TINY)

    for i, name in enumerate(rows["turned"].to_pylist()):
        if name:
            column = ATTRIBUTES.index(name)
            assert turned.attributes[i, column] != before.attributes[i, column]
        else:
            assert np.array_equal(turned.images[i], before.images[i])


def test_crop_pose_leaves_little_roll(images_dir: Path) -> None:
    """Aligned eyes are level: what is left of the roll comes from yaw and pitch alone. A wrong sign would double it."""
    pool = render_pool(pq.read_table(images_dir / MANIFEST), TINY.model_copy(update={"render_size_px": 96}))
    assert float(np.abs(pool.pose_deg[:, 2]).mean()) < 2.0


def test_jitter_moves_labels_with_the_pixels() -> None:
    """A picture of its own labels: after the jitter the two still agree, up to blur, noise and brightness."""
    labels = np.zeros((8, 64, 64), np.uint8)
    labels[:, 20:40, 10:30] = 1
    images = np.repeat(labels[..., None] * 255, 3, axis=3)
    moved = jitter(torch.from_numpy(images), torch.from_numpy(labels), torch.Generator().manual_seed(3))
    bright = moved.images.mean(dim=1) > 0
    assert float((bright == (moved.regions > 0)).float().mean()) > 0.99  # edges are blurred: 80 of 4,096 pixels
    assert not torch.equal(moved.regions, torch.from_numpy(labels).long())
    still = moved.turn_deg == 0
    assert 0 < int(still.sum()) < 8
    assert torch.equal(moved.regions[still], torch.from_numpy(labels).long()[still])


def test_jitter_turns_clockwise_by_what_it_reports() -> None:
    """A bar from the centre to the right goes down when the turn is positive (y points down)."""
    labels = np.zeros((16, 64, 64), np.uint8)
    labels[:, 30:34, 32:64] = 1
    images = np.zeros((16, 64, 64, 3), np.uint8)
    moved = jitter(torch.from_numpy(images), torch.from_numpy(labels), torch.Generator().manual_seed(5))
    for region, turn_deg in zip(moved.regions.numpy(), moved.turn_deg.numpy(), strict=True):
        near = np.nonzero(region[:, 36])[0].mean()
        far = np.nonzero(region[:, 58])[0].mean()
        found_deg = np.degrees(np.arctan2(far - near, 58 - 36))
        assert abs(found_deg - turn_deg) < 2.0  # rows are whole pixels: half a pixel at each end of 22


def test_rank1_counts_probes_nearest_to_their_own_gallery_image() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.9, 0.1], [0.8, 0.2], [0.1, 0.9]], np.float32)
    assert rank1(vectors, np.array([0, 1, 0, 1, 1])) == pytest.approx(2 / 3)


def test_colour_histogram_finds_subjects_that_are_coloured_alike() -> None:
    shades = np.array([10, 200, 12, 202], np.uint8)
    images = np.broadcast_to(shades[:, None, None, None], (4, 8, 8, 3))
    assert colour_histogram_rank1(images, np.array([0, 1, 0, 1])) == 1.0
    assert colour_histogram_rank1(images, np.array([0, 1, 1, 0])) == 0.0


def test_scores_are_the_definitions() -> None:

    truth = np.zeros((4, len(ATTRIBUTES)), np.bool_)
    found = truth.copy()
    found[0, 0] = True
    scores = attribute_scores(found, truth, ATTRIBUTES)
    assert scores["accuracy_min"] == scores[f"accuracy_{ATTRIBUTES[0]}"] == 0.75
    angles = pose_scores(np.array([[3, 4, 0]], np.float32), np.zeros((1, 3), np.float32))
    assert angles["error_deg"] == 5.0 and angles["yaw_error_deg"] == 3.0


def test_pool_fields_are_what_the_folder_keeps(images_dir: Path, tmp_path: Path) -> None:

    rows = pq.read_table(images_dir / MANIFEST)
    first, again = (pool_of("pose", rows, TINY, tmp_path / "pool") for _ in range(2))
    for field in dataclasses.fields(Pool):
        assert np.array_equal(getattr(first, field.name), getattr(again, field.name))
