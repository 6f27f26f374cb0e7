"""A script that any checkout's code can run: puts recorded payloads and consent into a workspace and its own ledger.

`python -P placing.py WHAT.json`, in a workspace. WHAT holds `consent`, entries' subjects and bodies, and `payloads`,
each with what was wanted (`wanted`) and the folder that holds its bytes (`folder`).
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from orchestration.store import database, ledger
from orchestration.store.publish import publish
from orchestration.store.records import PublishRecord, Wanted
from orchestration.store.staging import staging_dir


def place_consent(root: Path, told: list[dict[str, Any]]) -> None:
    """Append consent entries that another ledger holds."""
    with database.writing(root) as connection:
        for entry in told:
            ledger.append(root, connection, ledger.CONSENT, entry["subject"], entry["body"])


def place_payload(root: Path, wanted: Wanted, folder: Path) -> None:
    """Publish a copy of `folder` as what `wanted` says; DVC hears of it in the end, with what is made from it."""
    with staging_dir(root, wanted.id) as staged:
        shutil.copytree(folder, staged, dirs_exist_ok=True)
        publish(root, PublishRecord(wanted=wanted), staged, commit_dvc=False)


def main() -> None:
    """Do what the file on the command line says, in the current directory."""
    root, what = Path.cwd(), json.loads(Path(sys.argv[1]).read_text())
    if what["consent"]:
        place_consent(root, what["consent"])
    for one in what["payloads"]:
        place_payload(root, Wanted.model_validate(one["wanted"]), Path(one["folder"]))


if __name__ == "__main__":
    main()
