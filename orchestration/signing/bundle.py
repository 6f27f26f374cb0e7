"""`editloom release bundle`: a model with all that proves where it comes from, for somebody who has only Python."""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import UserError
from data.merkle_proof import MerkleProof
from orchestration.graph import AssetId
from orchestration.lineage import payload_file
from orchestration.signing.excerpt import Excerpt, excerpt_document, excerpt_of, signing_keys
from orchestration.signing.payload_listing import sha256s, version_files
from orchestration.store.ledger import LedgerEntry
from orchestration.tracking import Tracker, open_tracker
from orchestration.tracking.model_spec import fetched, find_version, parse_spec
from orchestration.tracking.registry import ModelVersion
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from orchestration.audit.image_index import Holding

CARD, DATASET = "card.md", "dataset.json"
RELEASE_FILE = "release.json"
SUFFIX = ".zip"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every file in a bundle: the same bundle twice is the same bytes."""
README = """\
This is a model released by Editloom, with its signature and the part of the ledger that shows what it was made from.
Run `python verify.py --key PUBLIC.pem` here with the releaser's public key, got from the releaser and not from this
file (it needs Python 3.9 or newer and the package `cryptography`), and read what it says of each thing.
In keys/ stand the public keys that signed, in proofs.json the data sets' roots and the proofs that were asked for.
"""


@dataclass(frozen=True)
class BundleFacts:
    """What a bundle holds: the version, and how many entries, image sets and proofs about images."""

    model: ModelVersion
    path: Path
    entries: int
    datasets: int
    proofs: int


def write_bundle(ws: Workspace, spec: str, out: Path, prove: Sequence[str] = ()) -> BundleFacts:
    """Write the zip of the version that `spec` means; `prove` are sha256 of images, to be shown in or not in each set.

    Raises UserError for an unknown version, one whose signature does not hold or that this ledger did not register, a
    place that cannot be written, and an image set whose manifest is not at hand when a proof is asked for.
    """
    _check(out, prove)
    tracker = open_tracker(ws)
    model = find_version(tracker, parse_spec(spec))
    files = {f"model/{path.name}": path.read_bytes() for path in sorted(fetched(ws, tracker, model).iterdir())}
    excerpt = excerpt_of(ws, model)
    proofs = _proofs(ws, excerpt, prove)
    files |= {
        "ledger.json": _json(excerpt_document(ws.root, excerpt, _payloads(ws, excerpt))),
        "proofs.json": _json(proofs),
        "verify.py": (resources.files("orchestration") / "signing" / "bundle_verifier.py").read_bytes(),
        "README.txt": README.encode(),
        **{f"keys/{keyid}.pem": pem for keyid, pem in signing_keys(ws.root, excerpt.entries).items()},
        **_card(tracker, model),
    }
    _write(out, files)
    return BundleFacts(model, out, len(excerpt.entries), len(proofs["datasets"]), len(proofs["images"]))


def _check(out: Path, prove: Sequence[str]) -> None:
    if out.suffix.lower() != SUFFIX or out.is_dir():
        raise UserError(f"{out} is no name for a bundle.", f"End it in {SUFFIX}.")
    if not out.parent.is_dir():
        raise UserError(f"The folder {out.parent} does not exist.", "Make it, or name another file.")
    for image in prove:
        if not re.fullmatch("[0-9a-f]{64}", image):
            raise UserError(f"`{image}` is no sha256 of an image.", "Expected 64 digits 0-9 and a-f: see `sha256sum`.")


def _payloads(ws: Workspace, excerpt: Excerpt) -> dict[str, list[str]]:
    """File names by the asset whose payload they are: the release's own, and the model's."""
    release = excerpt.release
    text = payload_file(ws.root, release, RELEASE_FILE)
    if text is None:
        raise _gone(release)
    asset = AssetId(json.loads(text.read_text())["asset"], AssetId.parse(release.subject).partition)
    version = release.body["wanted"]["inputs"][str(asset)]
    model = next(e for e in excerpt.lineage if (e.subject, e.body["data_version"]) == (str(asset), version))
    found = {}
    for entry in (release, model):
        names = version_files(ws.root, entry)
        if names is None:
            raise _gone(entry)
        found[entry.subject] = sorted(names)
    return found


def _proofs(ws: Workspace, excerpt: Excerpt, prove: Sequence[str]) -> dict[str, Any]:
    """What shows that the image sets are those of the ledger, and which images they hold."""
    datasets: list[dict[str, Any]] = []
    absent, images = [], []
    for entry in excerpt.image_sets:
        files = version_files(ws.root, entry)
        if files is None:
            absent.append(entry.subject)
            continue
        text = files[DATASET].read_text(encoding="utf-8")
        datasets.append({"seq": entry.seq, "subject": entry.subject, "dataset": text, "files": sha256s(files)})
        images += _image_proofs(ws, entry, files, prove)
    if absent and prove:
        raise UserError(
            f"No proof can be given about {', '.join(absent)}: its files are neither in place nor in DVC's cache.",
            "Bring them here first: `editloom pull`.",
        )
    return {"datasets": datasets, "absent": absent, "images": images}


def _image_proofs(
    ws: Workspace, entry: LedgerEntry, files: Mapping[str, Path], prove: Sequence[str]
) -> list[dict[str, Any]]:
    """A proof for each image that the set holds it, under its own hash or that of what was made of it, or does not."""
    if not prove:
        return []
    import pyarrow.parquet as pq

    from data.manifest import MANIFEST, dataset_proofs
    from orchestration.audit.image_index import holdings

    known = pq.read_table(files[MANIFEST], columns=["sha256"])["sha256"].to_pylist()
    version = entry.body["data_version"]
    pairs: list[tuple[str, str]] = []
    for image in prove:
        held = [one for one in holdings(ws, [image]) if _is_of(one, entry.subject, version)]
        pairs += [(image, one.sha256) for one in held] or [(image, image)]
    proofs: list[MerkleProof] = dataset_proofs(known, [sha256 for _, sha256 in pairs])
    return [
        {"image": image, "held_as": sha256, "seq": entry.seq, "proof": proof.record()}
        for (image, sha256), proof in zip(pairs, proofs, strict=True)
    ]


def _is_of(holding: Holding, subject: str, version: str) -> bool:
    return (holding.entry.subject, holding.entry.body["data_version"]) == (subject, version)


def _card(tracker: Tracker, model: ModelVersion) -> dict[str, bytes]:
    """The version's card, if the tracking server has one."""
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as place:
        try:
            return {CARD: Path(tracker.client.download_artifacts(model.run_id, CARD, place)).read_bytes()}
        except (MlflowException, OSError):
            return {}


def _write(out: Path, files: Mapping[str, bytes]) -> None:
    """The zip, whole or not at all."""
    arriving = out.with_name(f".{out.name}.new")
    try:
        with zipfile.ZipFile(arriving, "w") as archive:
            for name, content in sorted(files.items()):
                known = zipfile.ZipInfo(name, EPOCH)
                known.external_attr = 0o644 << 16
                archive.writestr(known, content, zipfile.ZIP_DEFLATED)
        arriving.replace(out)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror}.", "Name another file.") from None
    finally:
        arriving.unlink(missing_ok=True)


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _gone(entry: LedgerEntry) -> UserError:
    said = f"The files of {entry.subject} {entry.body['data_version'][:12]} are neither in place nor in DVC's cache."
    return UserError(said, "Bring them here first: `editloom pull`.")
