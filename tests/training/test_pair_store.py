"""What the storage of pairs must hold."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from data.errors import UserError
from data.png import decode_png
from training import pair_store
from training.pair_chunks import read_pairs, read_rows, write_chunk
from training.pair_store import PairMeasures, StoredPair, encode_pair, open_pairs, write_pairs

SIZE_PX = 16


def pixels(index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    rng = np.random.default_rng(index)
    original, target = (rng.integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8) for _ in range(2))
    return original, target, rng.integers(0, 256, (SIZE_PX, SIZE_PX), dtype=np.uint8)


def stored(indices: list[int]) -> list[StoredPair]:
    return [encode_pair(*pixels(i), PairMeasures(5, i, 0.1, 0.2, 0.01, 35, 0.05, 0.95, i / 3)) for i in indices]


def digest(directory: Path) -> str:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


def test_pairs_come_back_pixel_for_pixel_over_several_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_store, "PAIRS_PER_SHARD", 3)
    write_pairs(tmp_path, stored([4, 5, 9, 11, 20]))
    assert sorted(path.name for path in (tmp_path / "shards").iterdir()) == ["0000.tar", "0001.tar"]
    pairs = open_pairs(tmp_path).batch(np.arange(5))
    assert len(pairs) == 5
    for row, index in enumerate([4, 5, 9, 11, 20]):
        original, target, mask = pixels(index)
        assert np.array_equal(pairs.originals[row], original)
        assert np.array_equal(pairs.targets[row], target)
        assert np.array_equal(pairs.masks[row], mask)


@pytest.mark.parametrize("memory_limit_bytes", [0, 10**9])
def test_rows_come_in_any_order_and_repeatedly(tmp_path: Path, memory_limit_bytes: int) -> None:
    """Whether decoded pairs are kept or not; what was handed out may be written into."""
    write_pairs(tmp_path, stored([4, 5, 9]))
    reader = open_pairs(tmp_path, memory_limit_bytes)
    assert (len(reader), reader.size_px, reader.indices.tolist()) == (3, SIZE_PX, [4, 5, 9])
    for _ in range(2):
        batch = reader.batch(np.array([2, 0, 2]))
        for row, index in enumerate([9, 4, 9]):
            assert np.array_equal(batch.originals[row], pixels(index)[0])
            assert np.array_equal(batch.targets[row], pixels(index)[1])
            assert np.array_equal(batch.masks[row], pixels(index)[2])
        batch.originals[:], batch.masks[:] = 0, 0


def test_kept_pairs_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the limit only; 3 pairs of 16 px are 5,376 bytes."""
    write_pairs(tmp_path, stored([1, 2, 3]))
    decoded: list[int] = []

    def counting(payload: bytes) -> NDArray[np.uint8]:
        decoded.append(len(payload))
        return decode_png(payload)

    monkeypatch.setattr(pair_store, "decode_png", counting)
    for limit, per_batch in ((5376, [9, 0]), (5375, [9, 9])):
        reader = open_pairs(tmp_path, limit)
        assert reader.size_px == SIZE_PX
        for expected in per_batch:
            decoded.clear()
            reader.batch(np.arange(3))
            assert len(decoded) == expected


def test_digest_names_the_pairs(tmp_path: Path) -> None:
    for name, indices in (("a", [1, 2]), ("b", [1, 2]), ("c", [1, 3])):
        write_pairs(tmp_path / name, stored(indices))
    digests = {name: open_pairs(tmp_path / name).digest for name in "abc"}
    assert digests["a"] == digests["b"] != digests["c"]
    shard = tmp_path / "b" / "shards" / "0000.tar"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    assert open_pairs(tmp_path / "b").digest != digests["a"]


def test_means_are_those_of_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_store, "PAIRS_PER_SHARD", 2)
    written = write_pairs(tmp_path, stored([3, 6, 9]))
    rows = pq.read_table(tmp_path / "pairs.parquet")
    assert written.count == rows.num_rows == 3
    assert rows["shard"].to_pylist() == ["shards/0000.tar", "shards/0000.tar", "shards/0001.tar"]
    for name, mean in written.means.items():
        assert mean == pytest.approx(np.mean(rows[name].to_numpy()))
    assert written.means["identity_cosine"] == pytest.approx(2.0)


def test_same_pairs_are_the_same_bytes(tmp_path: Path) -> None:
    write_pairs(tmp_path / "a", stored([1, 2, 3]))
    write_pairs(tmp_path / "b", iter(stored([1, 2, 3])))
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_a_chunk_comes_back_whole(tmp_path: Path) -> None:
    write_chunk(tmp_path / "000000.tar", stored([7, 8]), {"had": 3})
    rows = read_rows(tmp_path / "000000.tar")
    assert (len(rows), rows.counts) == (2, {"had": 3})
    assert list(read_pairs(tmp_path / "000000.tar")) == stored([7, 8])
    assert list(read_pairs(tmp_path / "000000.tar", 1)) == stored([7])
    assert [path.name for path in tmp_path.iterdir()] == ["000000.tar"]


def test_missing_or_empty_pairs_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pairs\.parquet"):
        open_pairs(tmp_path)
    write_pairs(tmp_path, [])
    with pytest.raises(UserError, match="no pair"):
        open_pairs(tmp_path)
