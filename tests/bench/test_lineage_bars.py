"""What the lineage promises, counted: each promise's own tests, run in one session of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from orchestration.results import Bar, Figure

REPOSITORY = Path(__file__).resolve().parents[2]
ROOM = "tests/orchestration"
Write = Callable[..., None]


@dataclass(frozen=True)
class Promise:
    """A figure's name, and the tests that must hold for it: a file's, by the ends of their names."""

    name: str
    file: str
    tests: tuple[str, ...]


PROMISES = (
    Promise(
        "kinds of tampering that `editloom verify` finds and names, on a smoke workspace",
        f"{ROOM}/verification/test_tampering.py",
        (
            "flipped_byte_in_a_shard_names_the_image",
            "flipped_byte_in_weights_names_the_file",
            "params_of_a_past_entry_name_the_entry",
            "md5_in_dvc_lock_names_the_stage",
            "dropped_entry_is_missed",
            "truncated_tail_is_told_by_what_was_signed_later",
            "swapped_signatures_name_both_entries",
            "edited_model_file_names_version_and_file",
            "alias_moved_by_hand_is_told",
        ),
    ),
    Promise(
        "untouched workspaces that `editloom verify` leaves in peace",
        f"{ROOM}/verification/test_tampering.py",
        ("untouched_workspace_is_intact",),
    ),
    Promise(
        "purged workspaces that `editloom verify` leaves in peace",
        f"{ROOM}/verification/test_purged.py",
        ("purged_version_is_told_by_its_receipt_and_alarms_nobody",),
    ),
    Promise(
        "withdrawals whose descendants and rebuild are exactly the true ones, on smoke runs",
        f"{ROOM}/consent/test_retraining.py",
        (
            "held_out_image_makes_again_what_measures_and_nothing_that_trains",
            "training_image_of_the_first_set_makes_again_all_but_the_judges",
            "image_of_one_attributes_own_set_makes_again_that_chain_alone",
        ),
    ),
    Promise(
        "smoke releases reproduced bit for bit",
        f"{ROOM}/reproduction/test_reproduce.py",
        ("release_is_reproduced_bit_for_bit",),
    ),
    Promise(
        "comparisons of Dagster with the ledger that agree: versions, inputs, page, edges",
        f"{ROOM}/test_dagster_agreement.py",
        (
            "data_and_code_versions_are_the_ledgers",
            "upstream_versions_are_the_ledgers_inputs",
            "page_names_every_input_as_the_ledger_does",
            "ledgers_edges_are_dagsters_edges",
        ),
    ),
)


@pytest.mark.bench
@pytest.mark.timeout(3000)
def test_promises_of_the_lineage(lineage_measured: Write, tmp_path: Path) -> None:
    passed = _passed(tmp_path / "tests.xml", (_address(one, test) for one in PROMISES for test in one.tests))
    lineage_measured(*(_figure(promise, passed) for promise in PROMISES))


def _figure(promise: Promise, passed: Mapping[str, bool]) -> Figure:
    held = sum(passed[f"test_{test}"] for test in promise.tests)
    broken = [test for test in promise.tests if not passed[f"test_{test}"]]
    note = f"of {len(promise.tests)}; each is a test of {promise.file}"
    return Figure(
        promise.name, held, "count", bar=Bar(at_least=len(promise.tests)),
        note=f"{note}; failed: {', '.join(broken)}" if broken else note,
    )  # fmt: skip


def _address(promise: Promise, test: str) -> str:
    return f"{promise.file}::test_{test}"


def _passed(report: Path, tests: Iterable[str]) -> dict[str, bool]:
    """Whether each test passed, by its name; a test that is not there fails the run as a whole."""
    said = ("PYTEST", "EDITLOOM", "OMP_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(said)}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "--timeout", "1200"]
    done = subprocess.run(
        [*command, f"--junitxml={report}", *tests],
        cwd=REPOSITORY, env={**environment, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert report.exists() and done.returncode in (0, 1), done.stdout[-4000:] + done.stderr[-2000:]
    cases = ElementTree.parse(report).iter("testcase")
    return {str(case.get("name")): case.find("failure") is None and case.find("error") is None for case in cases}
