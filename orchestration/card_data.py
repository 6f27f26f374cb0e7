"""What a model card says: gathered from the ledger's lineage of a release and the payloads that it names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pyarrow.parquet as pq

from data.manifest import MANIFEST
from orchestration.graph import GRAPH, AssetId
from orchestration.lineage import SHOWN_DIGITS, Lineage, lineage_of, payload_file
from orchestration.report_tables import DASH, Rows, metric_rows, metric_titles, unmeasured_rows, worst_slices
from orchestration.store.ledger import LedgerEntry
from orchestration.tracking.links import asset_url, dagster_run_url
from orchestration.tracking.reports import METRICS, REPORT_FOLDER, ReportRecord, read_record
from orchestration.workspace import Workspace

MISSING, SHEET = "missing", "sheet.png"
MODEL = "attribute_editor"
IMAGE_SETS = ("images", "aligned_images", "attribute_images")
DATASET, JUDGES, RELEASE, ALIGNMENT = "dataset.json", "judges.json", "release.json", "alignment.json"
CHECKS, INDEPENDENCE = "checks.json", "independence"
INDEPENDENT = (
    "By lineage, no judge below shares weights, ancestors or training subjects with what stood in training, and no "
    "network upstream saw these images or their subjects."
)


@dataclass(frozen=True)
class CardData:
    """The card's parts; a part that cannot be read any more is empty, and `missing` names its file."""

    description: str
    attribute: str
    alignment: Mapping[str, Any]
    images: Rows
    licences: str
    rendered: bool
    judges: Rows
    measured_on: str
    independence: str
    metric_titles: Sequence[str]
    metrics: Rows
    not_measured: Rows
    worst_slices: Rows
    lineage: Rows
    links: Sequence[tuple[str, str]]
    stored: Sequence[tuple[str, str]]
    sheet: str | None
    missing: Sequence[str]


def card_data(ws: Workspace, entry: LedgerEntry) -> CardData:
    """Gather everything from the entry of a release; raises UserError when the ledger does not know its lineage."""
    made = entry.materialization
    return _Gathering(ws, entry, lineage_of(ws.root, made.wanted.id, made.data_version)).card()


class _Gathering:
    """Reads the payloads of one lineage, and keeps what was missing."""

    def __init__(self, ws: Workspace, entry: LedgerEntry, lineage: Lineage) -> None:
        self.ws, self.entry, self.lineage = ws, entry, lineage
        self.missing: list[str] = []

    def card(self) -> CardData:
        """The whole card's data."""
        release, report = self._json(self.entry, RELEASE), self._report()
        images = [self._image_set(one) for name in IMAGE_SETS for one in self.lineage.of(name)]
        sources = [self._json(one, DATASET).get("sources") for one in self.lineage.of(IMAGE_SETS[0])]
        return CardData(
            description=GRAPH[str(release.get("asset", self.entry.materialization.wanted.asset))].description,
            attribute=self.entry.materialization.wanted.partition or DASH,
            alignment=self._json(self.entry, ALIGNMENT),
            images=[row for row, _ in images],
            licences=", ".join(dict.fromkeys(licences for _, licences in images if licences)) or MISSING,
            rendered=bool(sources) and all(list(known or ()) == ["renderer"] for known in sources),
            judges=self._judges(report),
            measured_on=_measured_on(report),
            independence=self._independence(),
            metric_titles=metric_titles(report) if report else [],
            metrics=metric_rows(report) if report else [],
            not_measured=unmeasured_rows(report) if report else [],
            worst_slices=worst_slices(report) if report else [],
            lineage=[_lineage_row(one) for one in self.lineage.entries.values()],
            links=self._links(),
            stored=[(one.subject, one.materialization.dvc_md5) for one in (*self.lineage.of(MODEL), self.entry)],
            sheet=self._sheet(),
            missing=tuple(dict.fromkeys(self.missing)),
        )

    def _file(self, entry: LedgerEntry, name: str) -> Path | None:
        path = payload_file(self.ws.root, entry, name)
        if path is None:
            self.missing.append(f"{name} of {entry.subject}")
        return path

    def _json(self, entry: LedgerEntry, name: str) -> dict[str, Any]:
        path = self._file(entry, name)
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path else {}

    def _report(self) -> ReportRecord | None:
        entry = self._report_entry()
        if entry is None:
            self.missing.append("the report")
            return None
        path = self._file(entry, METRICS)
        return read_record(path) if path else None

    def _report_entry(self) -> LedgerEntry | None:
        wanted = self._json(self.entry, RELEASE).get("report")
        return next((one for one in self.lineage.entries.values() if one.body["data_version"] == wanted), None)

    def _independence(self) -> str:
        """What the report's blocking check found, from the evidence beside its payload."""
        entry = self._report_entry()
        path = self.ws.root / AssetId.parse(entry.subject).evidence_path / CHECKS if entry else None
        checks = json.loads(path.read_text(encoding="utf-8")) if path and path.exists() else {}
        if entry is None or INDEPENDENCE not in checks:
            self.missing.append("the check of the report's independence")
            return "Whether judges and held-out images are independent of the training is not on record."
        found = checks[INDEPENDENCE]["found"]
        return f"Not independent: {'; '.join(found)}." if found else INDEPENDENT

    def _links(self) -> list[tuple[str, str]]:
        """Where Dagster and MLflow show what the release was made of; MLflow's own are relative to its page."""
        made, report = self.entry.materialization, self._report_entry()
        links = [(f"{made.wanted.id} in Dagster", asset_url(self.ws, made.wanted.id))]
        if made.dagster_run:
            links.append((f"Dagster run {made.dagster_run[:8]}", dagster_run_url(self.ws, made.dagster_run)))
        run = report.materialization.mlflow_run if report else None
        return links + ([(f"{report.subject} in MLflow", f"#/runs/{run}")] if report and run else [])

    def _sheet(self) -> str | None:
        """The address at which MLflow serves the report's contact sheet to its own pages."""
        report = self._report_entry()
        run = report.materialization.mlflow_run if report else None
        if report is None or run is None or payload_file(self.ws.root, report, SHEET) is None:
            return None
        return f"get-artifact?{urlencode({'path': f'{REPORT_FOLDER}/{SHEET}', 'run_uuid': run})}"

    def _image_set(self, entry: LedgerEntry) -> tuple[Sequence[str], str]:
        """A row of the table of images, and the licences in words."""
        known, path = self._json(entry, DATASET), self._file(entry, MANIFEST)
        columns = pq.read_table(path, columns=["licence", "consent", "subject"]) if path else None
        counts = {name: _counted(columns[name].to_pylist()) if columns else MISSING for name in ("licence", "consent")}
        subjects = str(len(set(columns["subject"].to_pylist()))) if columns else MISSING
        splits = ", ".join(f"{count} {split}" for split, count in sorted(known.get("splits", {}).items()))
        root = str(known.get("dataset_root", MISSING))[:SHOWN_DIGITS]
        row = (
            entry.subject,
            str(known.get("count", MISSING)),
            subjects,
            splits or MISSING,
            *counts.values(),
            f"`{root}`",
        )
        return row, ", ".join(sorted(set(columns["licence"].to_pylist()))) if columns else ""

    def _judges(self, report: ReportRecord | None) -> Rows:
        """Name, digest, what it was trained on."""
        found = self.lineage.of("judges")
        manifest = self._json(found[0], JUDGES).get("judges", {}) if found else {}
        used = report.facts.get("judges", ()) if report else ()
        return [(one["name"], f"`{one['digest'][:SHOWN_DIGITS]}`", _taught(manifest.get(one["name"]))) for one in used]


def _taught(record: Mapping[str, Any] | None) -> str:
    subjects = record.get("training_subjects") if record else None
    return f"rendered subjects [{subjects[0]:,}, {subjects[1]:,})" if subjects else f"{MISSING}: not in {JUDGES}"


def _counted(values: Sequence[str]) -> str:
    return ", ".join(f"{name} ({values.count(name)})" for name in sorted(set(values)))


def _measured_on(report: ReportRecord | None) -> str:
    if report is None:
        return "Nothing: its report is missing."
    subjects = report.facts.get("subjects")
    return f"{report.facts.get('images', MISSING)} held-out images" + (f" of {subjects} subjects" if subjects else "")


def _lineage_row(entry: LedgerEntry) -> Sequence[str]:
    made = entry.materialization
    commit = f"{made.git_commit[:SHOWN_DIGITS]}{'' if made.git_clean else '+'}" if made.git_commit else DASH
    version, code = made.data_version[:SHOWN_DIGITS], made.wanted.code_version
    return str(AssetId.parse(entry.subject)), f"`{version}`", code, commit, str(entry.seq), f"`{made.dvc_md5}`"
