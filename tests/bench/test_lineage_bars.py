"""What the lineage promises, counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.promises import ROOM, Promise, counted

Write = Callable[..., None]

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
    lineage_measured(*counted(PROMISES, tmp_path / "tests.xml"))
