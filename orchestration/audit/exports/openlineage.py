"""OpenLineage: one COMPLETE event per materialization, with its inputs and its output as datasets.

https://openlineage.io/docs/spec/object-model. The ledger knows when something was published, not when its making
began, so that there are no START events.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import attr
from openlineage.client import event_v2 as ol
from openlineage.client.generated import (
    base_subset_dataset,
    data_quality_metrics_dataset,
    dataset_type_dataset,
    dataset_version_dataset,
    documentation_dataset,
    documentation_job,
    execution_parameters_run,
    job_type_job,
    output_statistics_output_dataset,
    ownership_dataset,
    parent_run,
    schema_dataset,
    source_code_location_job,
    storage_dataset,
    tags_dataset,
)
from openlineage.client.generated.base import DatasetFacet, JobFacet, RunFacet
from openlineage.client.serde import Serde

from data.manifest import ALIGNED_SCHEMA, IMAGE_SCHEMA
from orchestration.audit.document import AuditDocument, AuditNode, Edge, Outside
from orchestration.audit.exports.nodes import Kind, declared, edges_of, is_tainted, kind_of, nodes_of
from orchestration.store.envelope import canonical
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import Workspace

PRODUCER = "urn:editloom:openlineage"
LEDGER_FACET = "editloom_ledger"
LEDGER_SCHEMA = "urn:editloom:openlineage:ledger-run-facet:1"
OUTSIDE = "outside"
"""The last part of the namespace of what the ledger did not make: shipped weights, a user's own files."""
RUN_JOB = "editloom run"
_TYPES: Mapping[Kind, tuple[str, str]] = {
    "data": ("FILE", "image set"),
    "model": ("MODEL", "network"),
    "report": ("FILE", "report"),
    "release": ("MODEL", "release"),
}


@attr.define
class LedgerRunFacet(RunFacet):
    """Where a run's ledger entry stands, what its bytes are a function of, and whether a withdrawal reached them."""

    seq: int
    entry_hash: str
    params_digest: str
    code_version: str
    device_class: str
    environment: str
    seed: int | None = None
    git_clean: bool = True
    tainted: bool = False

    @staticmethod
    def _get_schema() -> str:
        return LEDGER_SCHEMA


def namespace(ws: Workspace) -> str:
    """Under which a workspace's jobs and datasets stand."""
    return f"editloom://{ws.root.name}"


def run_id(entry: LedgerEntry) -> str:
    """An event's run id: the same for the same entry, so that a server that is told twice knows it."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:editloom:ledger-entry:{entry.entry_hash}"))


def events(document: AuditDocument, ws: Workspace) -> list[ol.RunEvent]:
    """The events in the ledger's order."""
    by_key = {node.key: node for node in nodes_of(document)}
    outside = {one.key: one for one in document.outside}
    inputs: dict[str, list[ol.InputDataset]] = {key: [] for key in by_key}
    for edge in edges_of(document):
        if edge.target in inputs:
            inputs[edge.target].append(_input(ws, edge, by_key, outside))
    return [_event(ws, node, inputs[key], is_tainted(document, node)) for key, node in by_key.items()]


def event_lines(document: AuditDocument, ws: Workspace) -> str:
    """The events as JSON, one per line: what OpenLineage's file transport writes."""
    return "".join(f"{Serde.to_json(event)}\n" for event in events(document, ws))


def _event(ws: Workspace, node: AuditNode, inputs: list[ol.InputDataset], tainted: bool) -> ol.RunEvent:
    return ol.RunEvent(
        eventType=ol.RunState.COMPLETE,
        eventTime=node.entry.at,
        run=ol.Run(runId=run_id(node.entry), facets=_run_facets(ws, node.entry, tainted)),
        job=ol.Job(namespace=namespace(ws), name=node.entry.subject, facets=_job_facets(node)),
        inputs=inputs,
        outputs=[_output(ws, node)],
        producer=PRODUCER,
    )


def _run_facets(ws: Workspace, entry: LedgerEntry, tainted: bool) -> dict[str, RunFacet]:
    made = entry.materialization
    wanted = made.wanted
    params = [
        execution_parameters_run.ExecutionParameter(key=key, value=canonical(value))
        for key, value in sorted(wanted.params.items())
    ]
    facets: dict[str, RunFacet] = {
        LEDGER_FACET: LedgerRunFacet(
            seq=entry.seq, entry_hash=entry.entry_hash, params_digest=wanted.params_digest,
            code_version=wanted.code_version, device_class=wanted.device_class, environment=made.environment,
            seed=wanted.seed, git_clean=made.git_clean, tainted=tainted, producer=PRODUCER,
        ),
        "executionParameters": execution_parameters_run.ExecutionParametersRunFacet(params, producer=PRODUCER),
    }  # fmt: skip
    if made.dagster_run and _is_uuid(made.dagster_run):
        run, job = parent_run.Run(runId=made.dagster_run), parent_run.Job(namespace=namespace(ws), name=RUN_JOB)
        facets["parent"] = parent_run.ParentRunFacet(run=run, job=job, producer=PRODUCER)
    return facets


def _job_facets(node: AuditNode) -> dict[str, JobFacet]:
    made, asset = node.entry.materialization, declared(node)
    facets: dict[str, JobFacet] = {
        "documentation": documentation_job.DocumentationJobFacet(asset.description if asset else "", producer=PRODUCER),
        "jobType": job_type_job.JobTypeJobFacet("BATCH", "EDITLOOM", "ASSET", producer=PRODUCER),
    }
    if made.git_commit:
        facets["sourceCodeLocation"] = source_code_location_job.SourceCodeLocationJobFacet(
            type="git", url=f"urn:git:commit:{made.git_commit}", version=made.git_commit, producer=PRODUCER
        )
    return facets


def _output(ws: Workspace, node: AuditNode) -> ol.OutputDataset:
    made = node.entry.materialization
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=node.dataset.count if node.dataset else None,
        size=made.size_bytes,
        fileCount=made.files,
        producer=PRODUCER,
    )
    facets = {**_dataset_facets(node), **_image_set_facets(node)}
    return ol.OutputDataset(namespace(ws), node.entry.subject, {"outputStatistics": statistics}, facets=facets)


def _input(
    ws: Workspace, edge: Edge, by_key: Mapping[str, AuditNode], outside: Mapping[str, Outside]
) -> ol.InputDataset:
    """A dataset in the version that was read, and in which part of it."""
    read: dict[str, Any] = {}
    if edge.part:
        part = base_subset_dataset.Partition({"part": edge.part}, identifier=edge.part)
        condition = base_subset_dataset.PartitionSubsetCondition([part])
        read["subset"] = base_subset_dataset.InputSubsetInputDatasetFacet(condition, producer=PRODUCER)
    if edge.source in by_key:
        node = by_key[edge.source]
        return ol.InputDataset(namespace(ws), node.entry.subject, read, facets=_dataset_facets(node))
    file = outside[edge.source]
    facets: dict[str, DatasetFacet] = {"version": _version(file.sha256)}
    return ol.InputDataset(f"{namespace(ws)}/{OUTSIDE}", file.name, read, facets=facets)


def _dataset_facets(node: AuditNode) -> dict[str, DatasetFacet]:
    """What is true of a version whether it is read or written."""
    asset, (type_, sub_type) = declared(node), _TYPES[kind_of(node)]
    facets: dict[str, DatasetFacet] = {
        "version": _version(node.entry.materialization.data_version),
        "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(type_, sub_type, producer=PRODUCER),
    }
    if asset is None:
        return facets
    owner = ownership_dataset.Owner(asset.owner, "MAINTAINER")
    return facets | {
        "documentation": documentation_dataset.DocumentationDatasetFacet(asset.description, producer=PRODUCER),
        "ownership": ownership_dataset.OwnershipDatasetFacet([owner], producer=PRODUCER),
        "storage": storage_dataset.StorageDatasetFacet("dvc", asset.kinds[0], producer=PRODUCER),
    }


def _image_set_facets(node: AuditNode) -> dict[str, DatasetFacet]:
    """The manifest's columns, its counts, and its licences and consents, of an image set."""
    facts = node.dataset
    if facts is None:
        return {}
    schema = IMAGE_SCHEMA if node.entry.subject == "images" else ALIGNED_SCHEMA
    columns = [schema_dataset.SchemaDatasetFacetFields(field.name, str(field.type)) for field in schema]
    subjects = data_quality_metrics_dataset.ColumnMetrics(distinctCount=facts.subjects)
    counted = {"licence": facts.licences, "consent": facts.consents, "split": facts.splits}
    tags = [
        tags_dataset.TagsDatasetFacetFields(key, f"{value} ({count})", "editloom", key)
        for key, counts in counted.items()
        for value, count in sorted(counts.items())
    ]
    tags.append(tags_dataset.TagsDatasetFacetFields("dataset_root", facts.dataset_root, "editloom"))
    made = node.entry.materialization
    return {
        "schema": schema_dataset.SchemaDatasetFacet(columns, producer=PRODUCER),
        "dataQualityMetrics": data_quality_metrics_dataset.DataQualityMetricsDatasetFacet(
            {"subject": subjects}, facts.count, made.size_bytes, made.files, producer=PRODUCER
        ),
        "tags": tags_dataset.TagsDatasetFacet(tags, producer=PRODUCER),
    }


def _version(version: str) -> dataset_version_dataset.DatasetVersionDatasetFacet:
    return dataset_version_dataset.DatasetVersionDatasetFacet(version, producer=PRODUCER)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
