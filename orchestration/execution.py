"""How an asset is materialized: reuse or build, lease a device, track, publish, report. The same for all assets."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import dagster as dg

from data.disk_space import disk_full
from data.errors import UserError
from evaluation.sheet import write_png
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
from orchestration.automation.conditions import condition_of, freshness_of
from orchestration.building import BUILDS, FIRST, Build, built, forget_work, lease_for
from orchestration.code_versions import version_of
from orchestration.compute.admission import POOL
from orchestration.compute.build_lock import building
from orchestration.compute.cost import remember
from orchestration.compute.leases import Lease
from orchestration.compute.meter import Meter, holding_of
from orchestration.compute.processes import WORKER_TAG, register_executor, registered
from orchestration.compute.usage import FREE, Usage
from orchestration.consent.effects import consent_reasons
from orchestration.consent.registry import withheld_digest
from orchestration.graph import AssetId, AssetNode, node
from orchestration.materialization_metadata import check_result, metadata_of
from orchestration.plan import wanted
from orchestration.progress import StatusFile
from orchestration.retries import retry_policy
from orchestration.step import CheckOutcome, Gate, Outcome, Published, Step
from orchestration.store.ledger import LedgerEntry, record_reuse
from orchestration.store.publish import publish
from orchestration.store.reuse import Reuse, restore, reusable
from orchestration.store.staging import staging_dir
from orchestration.tracking import RunLog
from orchestration.tracking.reports import read_report
from orchestration.worker import ALWAYS_VARIABLE, stop_requested
from orchestration.workspace import CHECKS_FILE, FACTS_FILE, Workspace
from training.interruption import Interrupted


class RefusedError(Exception):
    """A gate said no: what was published stays published, and goes no further."""


def lineage_asset(
    name: str,
    partitions: dg.PartitionsDefinition[str],
    checks: tuple[str, ...] = (),
    gate: Gate | None = None,
    first: Callable[[Step], CheckOutcome] | None = None,
) -> Callable[[Build], dg.AssetsDefinition]:
    """Make a Dagster asset of the graph's node `name` from the function that builds its payload.

    `first` is asked before anything is built, `gate` decides on it once it is published; their checks are among
    `checks`.
    """
    found = node(name)

    def decorate(build: Build) -> dg.AssetsDefinition:
        BUILDS[name] = build
        if first is not None:
            FIRST[name] = first

        @dg.asset(
            name=name,
            deps=list(found.deps),
            description=found.description,
            group_name=found.group,
            kinds=set(found.kinds),
            owners=[found.owner],
            code_version=version_of(name),
            partitions_def=partitions if found.partition else None,
            pool=POOL if found.device else None,
            check_specs=[dg.AssetCheckSpec(check, asset=name, blocking=True) for check in checks],
            retry_policy=retry_policy() if found.device else None,
            automation_condition=condition_of(found),
            freshness_policy=freshness_of(found),
        )
        def materialize(context: dg.AssetExecutionContext) -> Iterator[Any]:
            yield from _materialize(context, found, gate)

        return materialize

    return decorate


def _materialize(context: dg.AssetExecutionContext, found: AssetNode, gate: Gate | None) -> Iterator[Any]:
    ws = Workspace.current()
    asset_id = AssetId(found.name, context.partition_key if found.partition else None)
    run = context.run
    status = StatusFile(status_folder(ws, run.run_id), str(asset_id))
    if WORKER_TAG not in run.tags:  # such a run's process has written itself down
        register_executor(ws, run.run_id)
    try:
        with (
            registered(ws, "step", str(asset_id), run.run_id, status.path),
            building(ws, asset_id, run.run_id, stop_requested, status.wait),
        ):
            yield from _reuse_or_build(_attempt(ws, asset_id, run, status), gate)
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
        full = disk_full(error, ws.root)
        if full is None:
            status.end("failed", error=f"{type(error).__name__}: {error}")
            raise
        status.end("failed", error=str(full), user_error=True)
        raise dg.Failure(str(full), allow_retries=False) from error


def _attempt(ws: Workspace, asset_id: AssetId, run: dg.DagsterRun, status: StatusFile) -> Attempt:
    """What is wanted as things stand now: another front end may have made inputs while this step waited."""
    params = ws.params() if asset_id.partition is None else ws.params().for_attribute(asset_id.partition)
    return Attempt(
        ws,
        params,
        asset_id,
        wanted(ws, ws.params(), asset_id),
        run.run_id,
        run.tags.get("editloom/run", run.run_id[:8]),
        status,
        withheld_digest(ws.root),
    )


def _reuse_or_build(attempt: Attempt, gate: Gate | None) -> Iterator[Any]:
    if not os.environ.get(ALWAYS_VARIABLE):
        found = reusable(attempt.ws.root, attempt.wanted)
        stands = isinstance(found, Reuse) and (not found.fetch or restore(attempt.ws.root, found.entry))
        if isinstance(found, Reuse) and stands and not consent_reasons(attempt.ws.root, attempt.id):
            yield from _reuse(attempt, found.entry, gate)
            return
    with ExitStack() as stack:
        lease = lease_for(attempt, stack)
        yield from _build(attempt, lease, gate)


def _reuse(attempt: Attempt, entry: LedgerEntry, gate: Gate | None) -> Iterator[Any]:
    """Record and report what stands; a gate that has not decided on it yet, does."""
    record_reuse(attempt.ws.root, [(entry, attempt.wanted.inputs)], attempt.run_name)
    forget_work(attempt.ws, attempt.params, attempt.wanted)  # who published it may have died before that
    decided: tuple[CheckOutcome, ...] = ()
    if gate is not None:
        with ExitStack() as stack:
            decided = (_asked(attempt, gate, entry, lease_for(attempt, stack)),)
    facts = {**read_document(attempt.evidence / FACTS_FILE), **_decision_fact(decided)}
    write_document(attempt.evidence / FACTS_FILE, facts)
    told = _result(attempt, entry, {**facts, **FREE}, decided=decided, reused=True)
    yield from _told(attempt, "reused", told, facts, decided)


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


def _build(attempt: Attempt, lease: Lease, gate: Gate | None) -> Iterator[Any]:
    attempt.status.begin()
    run, workdir = tracked_run(attempt), claim_workdir(attempt)
    holding = holding_of(attempt.params, attempt.id.asset, lease.accelerator)
    with staging_dir(attempt.ws.root, attempt.id) as staged, Meter(workdir, holding, run.metrics) as meter:
        report = meter.through(attempt.status)
        step = Step(attempt.ws, attempt.params, attempt.id, staged, workdir, attempt.evidence, run, report, lease)
        try:
            outcome = built(attempt, step)
            write_document(attempt.evidence / CHECKS_FILE, {c.name: dict(c.document) for c in outcome.checks})
            failed = [check for check in outcome.checks if not check.passed]
            if failed:
                run.artifact(attempt.evidence / CHECKS_FILE, "evidence")
                yield from (check_result(check, attempt.evidence) for check in failed)
                raise UserError(f"Check {failed[0].name} failed: {failed[0].summary}", "Nothing was published.")
            entry = publish(attempt.ws.root, publish_record(attempt, run), staged, on_published=[announcer(attempt.ws)])
            decided = (_asked(attempt, gate, entry, lease),) if gate is not None else ()
        except BaseException:
            meter.stop()
            run.finish(succeeded=False)
            raise
    forget_work(attempt.ws, attempt.params, attempt.wanted)
    outcome = replace(outcome, metadata={**outcome.metadata, **_decision_fact(decided)})
    usage = outcome.usage or meter.usage
    remember(attempt.ws, attempt.params, attempt.id, (entry.seq, attempt.wanted.device_class), usage)
    facts = _after_publish(attempt, run, outcome, entry, usage)
    run.finish(succeeded=True)
    yield from _told(attempt, "done", _result(attempt, entry, facts, outcome, decided), facts, decided)


def _after_publish(attempt: Attempt, run: RunLog, outcome: Outcome, entry: LedgerEntry, usage: Usage) -> dict[str, Any]:
    """Pictures, documents and metrics in MLflow, and the facts beside the payload."""
    made = entry.materialization
    facts: dict[str, Any] = {
        "data_version": made.data_version,
        "ledger_entry": entry.seq,
        **({"mlflow_run": run.run_id} if run.run_id else {}),
        "dagster_run": attempt.dagster_run,
        "device_class": made.wanted.device_class,
        **usage.facts,
        **outcome.metadata,
    }
    facts |= read_document(attempt.evidence / REGISTERED_FILE)
    told = read_report(attempt.ws.root / attempt.id.path) is not None  # a report's numbers stand there by their judges
    numbers = {k: float(v) for k, v in facts.items() if isinstance(v, int | float)}
    run.metrics({k: v for k, v in numbers.items() if not (told and "/" in k)})
    for key, image in outcome.images.items():
        run.image(key, image)
        write_png(attempt.evidence / f"{key}.png", image)
    write_document(attempt.evidence / FACTS_FILE, facts)
    for document in (*attempt.evidence.glob("*.json"), *attempt.evidence.glob("*.html")):
        run.artifact(document, "evidence")
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
