"""What the storage of pairs must hold."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.errors import UserError
from training import pair_store
from training.pair_store import PairMeasures, StoredPair, encode_pair, load_pairs, read_chunk, write_chunk, write_pairs

SIZE_PX = 16


def pixels(index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    rng = np.random.default_rng(index)
    original, target = (rng.integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8) for _ in range(2))
    return original, target, rng.integers(0, 256, (SIZE_PX, SIZE_PX), dtype=np.uint8)


def stored(indices: list[int]) -> list[StoredPair]:
    return [encode_pair(*pixels(i), PairMeasures(i, 0.1, 0.2, 0.01, 0.05, 0.95, 1 / 3)) for i in indices]


def digest(directory: Path) -> str:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


def test_pairs_come_back_pixel_for_pixel_over_several_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_store, "PAIRS_PER_SHARD", 3)
    write_pairs(tmp_path, stored([4, 5, 9, 11, 20]))
    assert sorted(path.name for path in (tmp_path / "shards").iterdir()) == ["0000.tar", "0001.tar"]
    pairs = load_pairs(tmp_path)
    assert len(pairs) == 5
    for row, index in enumerate([4, 5, 9, 11, 20]):
        original, target, mask = pixels(index)
        assert np.array_equal(pairs.originals[row], original)
        assert np.array_equal(pairs.targets[row], target)
        assert np.array_equal(pairs.masks[row], mask)


def test_same_pairs_are_the_same_bytes(tmp_path: Path) -> None:
    write_pairs(tmp_path / "a", stored([1, 2, 3]))
    write_pairs(tmp_path / "b", iter(stored([1, 2, 3])))
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_a_chunk_comes_back_whole(tmp_path: Path) -> None:
    write_chunk(tmp_path / "000000.tar", stored([7, 8]), {"had": 3})
    assert read_chunk(tmp_path / "000000.tar") == (stored([7, 8]), {"had": 3})
    assert [path.name for path in tmp_path.iterdir()] == ["000000.tar"]


def test_missing_or_empty_pairs_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pairs\.parquet"):
        load_pairs(tmp_path)
    write_pairs(tmp_path, [])
    with pytest.raises(UserError, match="no pair"):
        load_pairs(tmp_path)
