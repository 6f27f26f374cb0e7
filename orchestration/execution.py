"""How an asset is materialized: reuse or build, lease a device, track, publish, report. The same for all assets."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import dagster as dg

from data.errors import UserError
from evaluation.sheet import write_png
from orchestration import arithmetic
from orchestration.announcement import REGISTERED_FILE, announcer
from orchestration.attempt import (
    Attempt,
    claim_workdir,
    publish_record,
    read_document,
    status_folder,
    tracked_run,
    write_document,
)
from orchestration.code_versions import version_of
from orchestration.consent.effects import consent_reasons
from orchestration.consent.registry import withheld_digest
from orchestration.devices import Lease, lease_device
from orchestration.graph import GRAPH, AssetId, AssetNode, node
from orchestration.materialization_metadata import check_result, metadata_of
from orchestration.plan import wanted
from orchestration.progress import StatusFile
from orchestration.step import CheckOutcome, Gate, Outcome, Published, Step
from orchestration.store.ledger import LedgerEntry, record_reuse
from orchestration.store.publish import publish
from orchestration.store.reuse import Reuse, restore, reusable
from orchestration.store.staging import remove, staging_dir
from orchestration.tracking import TrackedRun
from orchestration.tracking.reports import read_report
from orchestration.worker import ALWAYS_VARIABLE
from orchestration.workspace import CHECKS_FILE, FACTS_FILE, Workspace
from training.interruption import Interrupted

Build = Callable[[Step], Outcome]
BUILDS: dict[str, Build] = {}
"""Asset -> the function that builds its payload, wherever it runs."""
RETRIES = dg.RetryPolicy(max_retries=1, delay=2)


class RefusedError(Exception):
    """A gate said no: what was published stays published, and goes no further."""


def lineage_asset(
    name: str, partitions: dg.PartitionsDefinition[str], checks: tuple[str, ...] = (), gate: Gate | None = None
) -> Callable[[Build], dg.AssetsDefinition]:
    """Make a Dagster asset of the graph's node `name` from the function that builds its payload.

    `gate` decides on it once it is published; its check is among `checks`.
    """
    found = node(name)

    def decorate(build: Build) -> dg.AssetsDefinition:
        BUILDS[name] = build

        @dg.asset(
            name=name,
            deps=list(found.deps),
            description=found.description,
            group_name=found.group,
            kinds=set(found.kinds),
            owners=[found.owner],
            code_version=version_of(name),
            partitions_def=partitions if found.partition else None,
            pool="gpu" if found.device else None,
            check_specs=[dg.AssetCheckSpec(check, asset=name, blocking=True) for check in checks],
            retry_policy=RETRIES if found.device else None,
        )
        def materialize(context: dg.AssetExecutionContext) -> Iterator[Any]:
            yield from _materialize(context, found, gate)

        return materialize

    return decorate


def _materialize(context: dg.AssetExecutionContext, found: AssetNode, gate: Gate | None) -> Iterator[Any]:
    ws = Workspace.current()
    asset_id = AssetId(found.name, context.partition_key if found.partition else None)
    status = StatusFile(status_folder(ws, context.run.run_id), str(asset_id))
    try:
        params = ws.params() if asset_id.partition is None else ws.params().for_attribute(asset_id.partition)
        attempt = Attempt(
            ws,
            params,
            asset_id,
            wanted(ws, ws.params(), asset_id),
            context.run.run_id,
            context.run.tags.get("editloom/run", context.run.run_id[:8]),
            status,
            withheld_digest(ws.root),
        )
        yield from _reuse_or_build(attempt, gate)
    except RefusedError as refusal:
        # What was decided stands: a retry would only hear it again.
        raise dg.Failure(str(refusal), allow_retries=False) from refusal
    except UserError as error:
        status.end("failed", error=str(error), user_error=True)
        raise dg.Failure(str(error), allow_retries=False) from error
    except Interrupted as interruption:
        status.end("stopped")
        # A retry would train on in spite of whoever asked for the stop.
        raise dg.Failure(str(interruption), allow_retries=False) from interruption
    except dg.Failure:
        raise
    except Exception as error:
        status.end("failed", error=f"{type(error).__name__}: {error}")
        raise


def _reuse_or_build(attempt: Attempt, gate: Gate | None) -> Iterator[Any]:
    if not os.environ.get(ALWAYS_VARIABLE):
        found = reusable(attempt.ws.root, attempt.wanted)
        stands = isinstance(found, Reuse) and (not found.fetch or restore(attempt.ws.root, found.entry))
        if isinstance(found, Reuse) and stands and not consent_reasons(attempt.ws.root, attempt.id):
            yield from _reuse(attempt, found.entry, gate)
            return
    with ExitStack() as stack:
        lease = _lease(attempt, stack)
        yield from _build(attempt, lease, gate)


def _reuse(attempt: Attempt, entry: LedgerEntry, gate: Gate | None) -> Iterator[Any]:
    """Record and report what stands; a gate that has not decided on it yet, does."""
    record_reuse(attempt.ws.root, [(entry, attempt.wanted.inputs)], attempt.run_name)
    decided: tuple[CheckOutcome, ...] = ()
    if gate is not None:
        with ExitStack() as stack:
            decided = (_asked(attempt, gate, entry, _lease(attempt, stack)),)
    facts = {**read_document(attempt.evidence / FACTS_FILE), **_decision_fact(decided)}
    write_document(attempt.evidence / FACTS_FILE, facts)
    yield from _told(attempt, "reused", _result(attempt, entry, facts, decided=decided, reused=True), facts, decided)


def _asked(attempt: Attempt, gate: Gate, entry: LedgerEntry, lease: Lease) -> CheckOutcome:
    """What a gate says of a published payload; written beside the payload's other checks."""
    attempt.status.begin()
    check = gate(Published(attempt.ws, attempt.params, attempt.id, entry, lease))
    documents = {
        **read_document(attempt.evidence / CHECKS_FILE),
        check.name: {"passed": check.passed, **check.document},
    }
    write_document(attempt.evidence / CHECKS_FILE, documents)
    return check


def _decision_fact(decided: tuple[CheckOutcome, ...]) -> dict[str, Any]:
    return {"headline": decided[0].summary} if decided else {}


def _told(
    attempt: Attempt,
    state: str,
    result: dg.MaterializeResult[Any],
    facts: Mapping[str, Any],
    decided: tuple[CheckOutcome, ...],
) -> Iterator[Any]:
    """Say how it ended, to whoever watches and to Dagster; raises RefusedError after a gate's no."""
    refusals = [check.summary for check in decided if not check.passed]
    if refusals:
        attempt.status.end("refused", error="; ".join(refusals))
    else:
        attempt.status.end(state, note="" if state == "reused" else _headline(facts))
    yield result
    if refusals:
        raise RefusedError("; ".join(refusals))


def _lease(attempt: Attempt, stack: ExitStack) -> Lease:
    """Hold a device when the asset needs one, and pin the threads that belong to it."""
    if not GRAPH[attempt.id.asset].device:
        return Lease(-1, "cpu")
    compute = attempt.params.compute
    arithmetic.hold(attempt.params)
    lease = stack.enter_context(lease_device(attempt.ws.state / "devices", compute.devices))
    import torch

    torch.set_num_threads(compute.threads_per_device)
    return lease if compute.accelerator != "cpu" else Lease(lease.index, "cpu")


def _build(attempt: Attempt, lease: Lease, gate: Gate | None) -> Iterator[Any]:
    attempt.status.begin()
    started = time.monotonic()
    run = tracked_run(attempt)
    with staging_dir(attempt.ws.root, attempt.id) as staged:
        workdir = claim_workdir(attempt)
        step = Step(
            attempt.ws, attempt.params, attempt.id, staged, workdir, attempt.evidence, run, attempt.status, lease
        )
        try:
            outcome = _built(attempt, step)
            write_document(attempt.evidence / CHECKS_FILE, {c.name: dict(c.document) for c in outcome.checks})
            failed = [check for check in outcome.checks if not check.passed]
            if failed:
                run.artifact(attempt.evidence / CHECKS_FILE, "evidence")
                yield from (check_result(check, attempt.evidence) for check in failed)
                raise UserError(f"Check {failed[0].name} failed: {failed[0].summary}", "Nothing was published.")
            entry = publish(attempt.ws.root, publish_record(attempt, run), staged, on_published=[announcer(attempt.ws)])
            decided = (_asked(attempt, gate, entry, lease),) if gate is not None else ()
        except BaseException:
            run.finish(succeeded=False)
            raise
    remove(workdir)
    outcome = replace(outcome, metadata={**outcome.metadata, **_decision_fact(decided)})
    facts = _after_publish(attempt, run, outcome, entry, time.monotonic() - started)
    run.finish(succeeded=True)
    yield from _told(attempt, "done", _result(attempt, entry, facts, outcome, decided), facts, decided)


def _built(attempt: Attempt, step: Step) -> Outcome:
    """What the asset's function made of `step`, in this process."""
    return BUILDS[attempt.id.asset](step)


def _after_publish(
    attempt: Attempt, run: TrackedRun, outcome: Outcome, entry: LedgerEntry, seconds: float
) -> dict[str, Any]:
    """Pictures, documents and metrics in MLflow, and the facts beside the payload."""
    made = entry.materialization
    facts: dict[str, Any] = {
        "data_version": made.data_version,
        "ledger_entry": entry.seq,
        "mlflow_run": run.run_id,
        "dagster_run": attempt.dagster_run,
        "seconds": round(seconds, 1),
        "device_class": made.wanted.device_class,
        **outcome.metadata,
    }
    facts |= read_document(attempt.evidence / REGISTERED_FILE)
    told = read_report(attempt.ws.root / attempt.id.path) is not None  # a report's numbers stand there by their judges
    numbers = {k: float(v) for k, v in facts.items() if isinstance(v, int | float)}
    run.metrics({k: v for k, v in numbers.items() if not (told and "/" in k)})
    for key, image in outcome.images.items():
        run.image(key, image)
        write_png(attempt.evidence / f"{key}.png", image)
    for document in (*attempt.evidence.glob("*.json"), *attempt.evidence.glob("*.html")):
        run.artifact(document, "evidence")
    write_document(attempt.evidence / FACTS_FILE, facts)
    return facts


def _result(
    attempt: Attempt,
    entry: LedgerEntry,
    facts: Mapping[str, Any],
    outcome: Outcome | None = None,
    decided: tuple[CheckOutcome, ...] = (),
    reused: bool = False,
) -> dg.MaterializeResult[Any]:
    checks = (*(outcome.checks if outcome else ()), *decided)
    results = [check_result(check, attempt.evidence) for check in checks]
    if outcome is None:
        # A payload that failed a blocking check was never published, so a reused one passed its checks.
        known = read_document(attempt.evidence / CHECKS_FILE).keys() - {check.name for check in decided}
        results += [dg.AssetCheckResult(passed=True, check_name=name, metadata={"reused": True}) for name in known]
    # Dagster's own tags hold a digest of a partitioned input's version; here every version stands as the ledger has it.
    inputs = dg.MetadataValue.json(dict(attempt.wanted.inputs))
    return dg.MaterializeResult(
        data_version=dg.DataVersion(entry.materialization.data_version),
        metadata={**metadata_of(facts, outcome, attempt.ws, attempt.id, reused), "inputs": inputs},
        check_results=results,
    )


def _headline(facts: Mapping[str, Any]) -> str:
    return str(facts.get("headline", ""))
