"""A full disk is told clearly, takes nothing that stood, and is forgotten once there is room: on a real small tmpfs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.orchestration.full_disk import DVC_CASES, RUN_CASES, STORE_CASES, TRAINING_CASES, Disk, run_cases

Case = Callable[[Disk], None]
GROUPS: tuple[tuple[Case, ...], ...] = (STORE_CASES, DVC_CASES, TRAINING_CASES, RUN_CASES)
# The cases of a group share a process: one worker of the test session takes them all.
PARAMETERS = [
    pytest.param(case, id=case.__name__, marks=pytest.mark.xdist_group(f"full-disk-{number}"))
    for number, group in enumerate(GROUPS)
    for case in group
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], str]:
    """What went wrong in a case; the cases of a group run in one process, when the first of them is asked for."""
    known: dict[str, str] = {}

    def outcome(case: Case) -> str:
        if case.__name__ not in known:
            group = next(group for group in GROUPS if case in group)
            found = run_cases(tmp_path_factory.mktemp("disk"), [one.__name__ for one in group])
            if found is None:
                pytest.skip("no tmpfs can be mounted here: neither as root nor in a user namespace of one's own")
            known.update(found)
        return known[case.__name__]

    return outcome


@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", PARAMETERS)
def test_full_disk(outcomes: Callable[[Case], str], case: Case) -> None:
    assert outcomes(case) == "", outcomes(case)


def test_other_errors_are_not_called_a_full_disk(tmp_path: Path) -> None:
    from data.disk_space import disk_full, room_in

    assert disk_full(FileNotFoundError(2, "No such file"), tmp_path) is None
    with pytest.raises(PermissionError), room_in(tmp_path, "a file"):
        raise PermissionError(13, "Permission denied")


def test_full_disk_behind_another_error_is_found(tmp_path: Path) -> None:
    from data.disk_space import disk_full

    try:
        try:
            raise OSError(28, "No space left on device", str(tmp_path / "a" / "b.json"))
        except OSError as error:
            raise RuntimeError("the run could not be finished") from error
    except RuntimeError as error:
        found = disk_full(error, Path("/elsewhere"))
    assert found is not None and str(tmp_path / "a") in found.message and "left on its file system" in found.message
