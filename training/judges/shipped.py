"""The judges that come with the package: frozen, pinned by digest, so that versions stay comparable."""

from __future__ import annotations

import shutil
from pathlib import Path

from data.errors import UserError
from training.judges.loading import MANIFEST, SHIPPED_DIR, load_judges


def shipped_judges_dir() -> Path:
    """The directory of the shipped judges; raises UserError when the installation lacks it."""
    if not (SHIPPED_DIR / MANIFEST).is_file():
        raise UserError(f"The shipped judges are missing at {SHIPPED_DIR}.", "Install the package anew.")
    return SHIPPED_DIR


def install_shipped_judges(out: Path) -> dict[str, str]:
    """Copies the shipped judges into `out` as the payload of `judges`, each verified first; returns name → sha256."""
    source = shipped_judges_dir()
    judges = load_judges(source)
    out.mkdir(parents=True, exist_ok=True)
    for name in judges.names:
        judges.judge(name)
        shutil.copyfile(source / judges.manifest.judges[name].file, out / judges.manifest.judges[name].file)
    shutil.copyfile(source / MANIFEST, out / MANIFEST)
    return judges.digests
