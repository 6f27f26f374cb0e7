"""A workspace whose gate can be asked: a real MLflow server, shipped weights, rendered held-out faces, a lineage."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from data.aligned import AlignmentConfig, align_images
from data.manifest import SplitFractions
from data.rendered import RenderedConfig, render_images
from evaluation.attribute_report import AttributeReportConfig, measure_attribute_answers
from evaluation.edit_report import EditReport
from evaluation.held_out import HeldOut, held_out_set
from evaluation.metrics.intervals import Bootstrap
from evaluation.panel import Panel, evaluation_panel
from evaluation.pixels import Images, apply_in_batches
from evaluation.report_files import write_report
from evaluation.sanity_rows import PASTED, sanity_answers
from orchestration.graph import AssetId
from orchestration.policy import policy_digest
from orchestration.release.decisions import Decided
from orchestration.release.gate import Release, decide_release
from orchestration.signing.registration import register_signed
from orchestration.store import ledger
from orchestration.tracking import Tracker, open_tracker
from orchestration.workspace import Workspace
from tests.orchestration.published import FACES, image_set, put, text
from training.editor.apply import edit, load_editor
from training.judges import install_shipped_judges, load_judges

ATTRIBUTE, MODEL = "short_hair", "attribute_editor-short_hair"
SHIPPED = Path(__file__).parents[1] / "shipped_editor"
FIRST_SUBJECT, IMAGES = 30_000_000, 200
SEED = 5
CHEAT = "cheat.txt"
START_S = 120.0


@dataclass(frozen=True)
class Server:
    """A tracking server that is starting, or has."""

    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                with urllib.request.urlopen(f"{self.address}/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.2)
        raise AssertionError(f"no MLflow server after {START_S:.0f} s:\n{self.log.read_text()}")


@contextmanager
def mlflow_server(folder: Path) -> Iterator[Server]:
    """A tracking server process of its own, with its database and artifacts in `folder`; wait before using it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    folder.mkdir(parents=True)
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", str(folder / "files"),
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "MLFLOW_TRACKING_URI": address})
    try:
        yield Server(address, process, folder / "log")
    finally:
        process.terminate()
        process.wait()


@dataclass
class Gated:
    """Releases are made here one after the other, and the gate is asked about each."""

    ws: Workspace
    tracker: Tracker
    inputs: dict[str, str]
    panel: Panel
    held_out: HeldOut
    folder: Path
    _known: dict[str, EditReport] = field(default_factory=dict)
    _count: int = 0

    @property
    def config(self) -> AttributeReportConfig:
        return AttributeReportConfig(bootstrap=Bootstrap(replicates=200, seed=SEED), seed=SEED, sheet_rows=2)

    def measure(self, files: Path) -> EditReport:
        """Measure a version's files; those of equal content are measured once, which changes no number."""
        names = sorted(path for path in files.iterdir() if path.name in {"editor.safetensors", CHEAT})
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in names)).hexdigest()
        if digest not in self._known:
            answers = self.answers(files)
            self._known[digest] = measure_attribute_answers(answers, self.panel, self.held_out, self.config)
        return self._known[digest]

    def answers(self, files: Path) -> Images:
        """What a version answers: its editor's edits, or the images that its cheat makes of them."""
        editor = load_editor(files)
        edits = apply_in_batches(lambda images: edit(editor, images), self.held_out.inputs, 64, torch.device("cpu"))
        cheat = files / CHEAT
        return CHEATS[cheat.read_text()](self, edits) if cheat.exists() else edits

    def version(self, change: Callable[[Path], None] = lambda folder: None) -> Release:
        """Publish a release of the shipped editor, changed by `change`; sign and register it."""
        self._count += 1
        files = self.folder / str(self._count)
        files.mkdir()
        for name in ("editor.json", "editor.safetensors"):
            (files / name).write_bytes((SHIPPED / name).read_bytes())
        change(files)
        run = self.tracker.asset_run(
            f"run {self._count}", self.tracker.parent_run("parent", "parent"), "attribute_release", ATTRIBUTE
        )
        asset = AssetId("attribute_release", ATTRIBUTE)
        inputs = {**self.inputs, "file:mlflow/policy.yaml": policy_digest(self.ws.policy)}
        document = json.dumps({"model": MODEL, "number": self._count})
        put(self.ws, asset, inputs, text("release.json", document), mlflow_run=run.run_id)
        entry = ledger.last_entry(self.ws.root, asset.asset, asset.partition)
        assert entry is not None
        register_signed(self.ws, self.tracker, run, entry, MODEL, sorted(files.iterdir()), {})
        return Release(entry, MODEL, ATTRIBUTE)

    def ask(self, release: Release) -> Decided:
        """What the gate decides."""
        return decide_release(self.ws, self.tracker, release, self.measure, {"report": SEED})

    def aliases(self) -> dict[str, str]:
        """Version by alias, as the server has them."""
        model = self.tracker.client.get_registered_model(MODEL)
        return {alias: str(version) for alias, version in model.aliases.items()}


def noise(folder: Path) -> None:
    """Noise of a fifth of each tensor's own spread on every weight."""
    weights, draw = load_file(folder / "editor.safetensors"), torch.Generator().manual_seed(0)
    noisy = {
        name: value + 0.2 * float(value.std(correction=0)) * torch.randn(value.shape, generator=draw)
        for name, value in weights.items()
    }
    save_file(noisy, folder / "editor.safetensors")


def cheating(name: str) -> Callable[[Path], None]:
    """Answers of CHEATS instead of the editor's."""

    def change(folder: Path) -> None:
        (folder / CHEAT).write_text(name)

    return change


def _blurred(_: Gated, edits: Images) -> Images:
    return np.stack([cv2.GaussianBlur(image, (0, 0), 1.0) for image in edits])


def _input(gated: Gated, _: Images) -> Images:
    return gated.held_out.inputs


def _pasted(gated: Gated, _: Images) -> Images:
    return sanity_answers(gated.held_out, gated.panel, SEED, 64)[PASTED]


def _half(gated: Gated, edits: Images) -> Images:
    """The champion's answers on every other image; on the others a little of the whole picture's sharpness is lost."""
    soft = np.stack([cv2.GaussianBlur(image, (0, 0), 0.42) for image in edits])
    return np.where((np.arange(len(edits)) % 2 == 0)[:, None, None, None], edits, soft)


CHEATS: dict[str, Callable[[Gated, Images], Images]] = {
    "blurred output": _blurred,
    "returns its input": _input,
    "pastes the mask": _pasted,
    "the champion's on half": _half,
}


def gated_workspace(ws: Workspace, server: Server, folder: Path) -> Gated:
    """Put the lineage, the held-out faces and the report of the shipped editor into a workspace."""
    inputs = _lineage(ws, folder)
    panel = evaluation_panel(load_judges(ws.payload("judges")))
    held_out = held_out_set(ws.payload("aligned_images"), ATTRIBUTE, IMAGES)
    server.wait()
    gated = Gated(ws, open_tracker(ws), inputs, panel, held_out, folder)
    report = AssetId("attribute_report", ATTRIBUTE)
    made = gated.measure(SHIPPED)
    gated.inputs[str(report)] = put(ws, report, dict(inputs), lambda place: write_report(made, place))
    return gated


def _lineage(ws: Workspace, folder: Path) -> dict[str, str]:
    """An editor trained on other faces than the held-out ones, by the judges that trained it; data version by id."""
    judges = {"judges": put(ws, AssetId("judges"), {}, install_shipped_judges)}
    seen = {"aligned_images": put(ws, AssetId("aligned_images"), {}, image_set(FACES))}
    original = {"original_network": put(ws, AssetId("original_network"), seen, text("network.json"))}
    pairs = AssetId("edit_pairs", ATTRIBUTE)
    paired = {str(pairs): put(ws, pairs, {**original, **judges}, text("pairs.json"))}
    editor = AssetId("attribute_editor", ATTRIBUTE)

    def files(place: Path) -> None:
        for name in ("editor.json", "editor.safetensors"):
            (place / name).write_bytes((SHIPPED / name).read_bytes())

    edited = {str(editor): put(ws, editor, {**paired, **judges}, files)}
    images = folder / "images"
    images.mkdir()
    everybody = SplitFractions(test=0.9, validation=0.05)
    rendered = RenderedConfig(count=320, images_per_subject=4, first_subject=FIRST_SUBJECT)
    render_images(rendered, images, everybody)
    held_out = AssetId("aligned_images")

    def align(place: Path) -> None:
        align_images(images, place, AlignmentConfig(size_px=64))

    return {**edited, **judges, "aligned_images": put(ws, held_out, {}, align)}
