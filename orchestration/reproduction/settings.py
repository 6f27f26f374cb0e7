"""params.yaml as it was when entries were made: rebuilt from what the ledger recorded."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from orchestration.store.environment import PORTABLE
from orchestration.store.ledger import LedgerEntry

Document = dict[str, Any]
_THREADS = re.compile(r"threads=(\d+)")


def rebuilt(base: Mapping[str, Any], entries: Sequence[LedgerEntry], *, portable: bool) -> Document:
    """`base` (a parsed params.yaml) with everything that the entries recorded put in its place.

    A partition's overrides come merged into its sections, as its assets read them. What no entry read stays as it is.
    `portable` asks for `compute.portable`; it is kept as well where the entries were made so.
    """
    document = copy.deepcopy(dict(base))
    for entry in entries:
        wanted = entry.materialization.wanted
        for dotted, value in wanted.params.items():
            _put(document, dotted, value)
        if wanted.seed is not None:
            document["seed"] = wanted.seed
    _put_compute(document, {entry.materialization.wanted.device_class for entry in entries}, portable)
    return document


def own_files(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Paths of photographs, side files and reference images that a params.yaml names; `*` stands in a glob."""
    attributes = [one.get("attribute_images") for one in (document.get("attributes") or {}).values() if one]
    images = document.get("images") or {}
    first = images.get("ingest") if images.get("source") == "folder" else None
    named = [section.get(key) for section in (first, *attributes) if section for key in ("path", "sidecar")]
    reference = (document.get("aligned_images") or {}).get("reference")
    return tuple(str(path) for path in (*named, reference) if path)


def _put(document: Document, dotted: str, value: Any) -> None:
    *path, last = dotted.split(".")
    section = document
    for key in path:
        if not isinstance(section.get(key), dict):
            section[key] = {}
        section = section[key]
    section[last] = copy.deepcopy(value)


def _put_compute(document: Document, classes: set[str], portable: bool) -> None:
    """Threads and accelerator belong to the device class, which no entry's params name."""
    compute = document.setdefault("compute", {})
    threads = [int(found[1]) for found in map(_THREADS.search, sorted(classes)) if found]
    if threads:
        compute["threads_per_device"] = threads[0]
    if any(name.startswith("cpu/") for name in classes):
        compute["accelerator"] = "cpu"
    if any(name.startswith("cuda/") for name in classes):
        compute["accelerator"] = "auto"
    if portable or any(f"/{PORTABLE}/" in name for name in classes):
        compute["portable"] = True
