"""What an audit of one model and of one image takes in a large workspace, measured in a process of its own."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from peak_memory import peak_mb

from orchestration.audit.descendants import descendants
from orchestration.audit.document import build_audit
from orchestration.audit.image_index import holdings
from orchestration.audit.targets import resolve_target
from orchestration.workspace import Workspace


def main(root: Path, editor: str, image: str) -> None:
    """Print the seconds of each question, how much each answer holds, and the most memory of this process in MB."""
    ws = Workspace.at(root)
    found = {
        "audit": _timed(lambda: len(build_audit(ws, resolve_target(ws, editor)).upstream)),
        "descendants": _timed(lambda: len(descendants(ws, holdings(ws, [image])))),
    }
    print(json.dumps({**found, "peak_mb": peak_mb()}))


def _timed(ask: Callable[[], int]) -> dict[str, float]:
    started = time.perf_counter()
    count = ask()
    return {"count": count, "seconds": time.perf_counter() - started}


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:4])
