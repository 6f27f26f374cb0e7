"""`editloom run` in a process of its own, and settings changed before it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from orchestration.workspace import VARIABLE, Workspace


def change_settings(ws: Workspace, changes: Mapping[str, object]) -> None:
    """Set dotted keys of a workspace's params.yaml."""
    document = yaml.safe_load(ws.params_file.read_text())
    for dotted, value in changes.items():
        *path, last = dotted.split(".")
        section = document
        for key in path:
            section = section.setdefault(key, {})
        section[last] = value
    ws.params_file.write_text(yaml.safe_dump(document, sort_keys=False))


def run(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`editloom run` in a workspace; sentences are not folded."""
    with started(root, *arguments, **environment) as process:
        said = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, *said)


def started(root: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """`editloom run`, begun."""
    command = [sys.executable, "-m", "orchestration.cli", "run", *arguments]
    known = {**os.environ, VARIABLE: str(root), "COLUMNS": "250", **environment}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=root, env=known, stdout=pipe, stderr=pipe, text=True)
