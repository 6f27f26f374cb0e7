"""What two versions of one file say differently: by tensor, pixel, column or value, not by byte."""

from __future__ import annotations

import io
import json
import math
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestration.reproduction.tolerances import IMAGES, NUMBERS, WEIGHTS

Array = NDArray[Any]
_DIGEST = re.compile(r"[0-9a-f]{12,64}")


@dataclass(frozen=True)
class FileDifference:
    """How a file differs from its recorded version.

    `max_abs` and `max_rel` are of the numbers in it (pixels: levels of 255), None where it holds none. `within` says
    whether every one is within its tolerance; words other than digests, shapes and counts have none.
    """

    file: str
    what: str
    max_abs: float | None = None
    max_rel: float | None = None
    within: bool = False


@dataclass(frozen=True)
class _Gap:
    """One thing that differs: a sentence, the largest differences, and whether its tolerance allows it."""

    what: str
    max_abs: float | None = None
    max_rel: float | None = None
    within: bool = False


def compare_content(name: str, recorded: bytes, made: bytes) -> FileDifference:
    """How two files of one name differ, which they do; a page (HTML, Markdown) only shows what others hold."""
    suffix = PurePosixPath(name).suffix
    if suffix in (".html", ".md"):
        return FileDifference(name, "the page differs; what it shows is compared where it stands", within=True)
    gaps = list(_READERS[suffix](recorded, made)) if suffix in _READERS else [_Gap("its bytes differ")]
    if not gaps:
        return FileDifference(name, "the same values in other bytes", 0.0, 0.0, within=True)
    first = next((gap for gap in gaps if not gap.within), gaps[0])
    more = f", and {len(gaps) - 1} more" if len(gaps) > 1 else ""
    largest = _largest(gap.max_abs for gap in gaps), _largest(gap.max_rel for gap in gaps)
    return FileDifference(name, f"{first.what}{more}", *largest, within=all(gap.within for gap in gaps))


def _largest(values: Iterator[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _tensors(recorded: bytes, made: bytes) -> Iterator[_Gap]:
    before, after = _read_tensors(recorded), _read_tensors(made)
    yield from _names("tensor", before, after)
    both = sorted(before.keys() & after.keys())
    reshaped = [name for name in both if before[name].shape != after[name].shape]
    yield from (_Gap(f"{n} has the shape {after[n].shape}, recorded {before[n].shape}") for n in reshaped)
    pairs = [(before[name].ravel(), after[name].ravel()) for name in both if name not in reshaped]
    changed = sum(not np.array_equal(one, other, equal_nan=True) for one, other in pairs)
    if changed:
        one, other = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        gap, norm = float(np.linalg.norm(other - one)), float(np.linalg.norm(one))
        what = f"{changed} of {len(pairs)} tensors, together by {gap / max(norm, 1e-12):.2g} of their norm"
        yield _Gap(what, *_sizes(one, other), within=WEIGHTS.allows(gap, norm))


def _read_tensors(data: bytes) -> dict[str, Array]:
    """Tensors as float64, bfloat16 among them, which NumPy does not know."""
    from safetensors import deserialize

    found = {}
    for name, tensor in deserialize(data):  # type: ignore[no-untyped-call]
        raw, shape = tensor["data"], tensor["shape"]
        if tensor["dtype"] == "BF16":
            values = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
        else:
            values = np.frombuffer(raw, _NUMPY_TYPES[tensor["dtype"]])
        found[name] = values.astype(np.float64).reshape(shape)
    return found


_NUMPY_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1",
    "U16": "<u2", "U32": "<u4", "U64": "<u8", "BOOL": "?",
}  # fmt: skip


def _pixels(recorded: bytes, made: bytes, name: str = "the picture") -> Iterator[_Gap]:
    from PIL import Image

    one, other = (np.asarray(Image.open(io.BytesIO(data))).astype(np.float64) for data in (recorded, made))
    if one.shape != other.shape:
        yield _Gap(f"{name} has the shape {other.shape}, recorded {one.shape}")
    elif not np.array_equal(one, other):
        mean = float(np.abs(one - other).mean())
        share = float((one != other).mean())
        what = f"{name}: {share:.1%} of the values, {mean:.3g} levels on average"
        yield _Gap(what, *_sizes(one, other), within=IMAGES.allows(mean, 0.0))


def _members(recorded: bytes, made: bytes) -> Iterator[_Gap]:
    """Shards: images named by their hashes are paired by their place."""
    before, after = _read_members(recorded), _read_members(made)
    if len(before) != len(after):
        yield _Gap(f"{len(after)} files in it, recorded {len(before)}")
        return
    for (name, one), (_, other) in zip(before, after, strict=True):
        if one == other:
            continue
        reader = _READERS.get(PurePosixPath(name).suffix)
        if reader is _pixels:
            yield from _pixels(one, other, name)
        else:
            yield from reader(one, other) if reader else [_Gap(f"{name} differs")]


def _read_members(data: bytes) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = [(one, archive.extractfile(one)) for one in archive.getmembers() if one.isfile()]
        return [(one.name, stream.read()) for one, stream in files if stream is not None]


def _columns(recorded: bytes, made: bytes) -> Iterator[_Gap]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    before, after = (pq.read_table(pa.BufferReader(data)) for data in (recorded, made))
    yield from _names("column", dict.fromkeys(before.column_names), dict.fromkeys(after.column_names))
    if before.num_rows != after.num_rows:
        yield _Gap(f"{after.num_rows} rows, recorded {before.num_rows}")
        return
    for name in before.column_names:
        if name in after.column_names and not before[name].equals(after[name]):
            yield from _values(before[name].to_pylist(), after[name].to_pylist(), f"column {name}")


def _values(recorded: Any, made: Any, where: str) -> Iterator[_Gap]:
    """Two JSON values: numbers by size, digests not at all, everything else by equality."""
    numbers: list[tuple[float, float]] = []
    words: list[str] = []
    _walk(recorded, made, where, numbers, words)
    for words_differ in words[:1]:
        more = f" ({len(words)} such places)" if len(words) > 1 else ""
        yield _Gap(f"{words_differ}{more}")
    if numbers:
        one, other = np.array(numbers).T
        within = all(NUMBERS.allows(abs(b - a), a) for a, b in numbers)
        yield _Gap(f"{where}: {len(numbers)} numbers", *_sizes(one, other), within=within)


def _walk(recorded: Any, made: Any, where: str, numbers: list[tuple[float, float]], words: list[str]) -> None:
    if _number(recorded) and _number(made):
        if recorded != made and not (math.isnan(recorded) and math.isnan(made)):
            numbers.append((float(recorded), float(made)))
    elif isinstance(recorded, Mapping) and isinstance(made, Mapping) and recorded.keys() == made.keys():
        for key in recorded:
            _walk(recorded[key], made[key], f"{where}.{key}", numbers, words)
    elif isinstance(recorded, list) and isinstance(made, list) and len(recorded) == len(made):
        for one, other in zip(recorded, made, strict=True):
            _walk(one, other, where, numbers, words)
    elif recorded != made and not (_digest(recorded) and _digest(made)):
        words.append(f"{where} is {str(made)[:40]!r}, recorded {str(recorded)[:40]!r}")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _digest(value: Any) -> bool:
    """A hash names bytes that are compared where they stand."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _document(recorded: bytes, made: bytes) -> Iterator[_Gap]:
    return _values(json.loads(recorded), json.loads(made), "its values")


def _names(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[_Gap]:
    for name in sorted(before.keys() ^ after.keys()):
        yield _Gap(f"{what} {name} is {'missing' if name in before else 'new'}")


def _sizes(one: Array, other: Array) -> tuple[float, float]:
    """The largest difference, and the largest against the recorded value."""
    gap = np.abs(other - one)
    return float(gap.max(initial=0.0)), float((gap / np.maximum(np.abs(one), 1e-12)).max(initial=0.0))


_Reader = Callable[[bytes, bytes], Iterator[_Gap]]
_READERS: Mapping[str, _Reader] = {
    ".safetensors": _tensors,
    ".png": _pixels,
    ".tar": _members,
    ".parquet": _columns,
    ".json": _document,
}
