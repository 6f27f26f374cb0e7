"""`editloom export`: a released editor as an ONNX file."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from data.errors import UserError
from orchestration.edit import released_editor
from orchestration.workspace import Workspace

SUFFIX = ".onnx"


def export_release(
    ws: Workspace, attribute: str, target: Path, console: Console, *, allow_unsigned: bool = False
) -> None:
    """Write the attribute's released editor to `target`, hold it against torch, and tell its size and speed.

    Nothing is left at `target` when it differs. Raises UserError for a name that does not end in .onnx, a missing
    folder, an attribute without a released editor, or one whose signature does not hold unless `allow_unsigned`.
    """
    _check(target)
    files = released_editor(ws, attribute, console, allow_unsigned=allow_unsigned)
    from training.editor.apply import load_editor
    from training.editor_export import checked_export

    arriving = target.with_name(f".{target.name}.new")
    try:
        facts = checked_export(load_editor(files), arriving)
        arriving.replace(target)
    finally:
        arriving.unlink(missing_ok=True)
    console.print(
        f"Wrote {escape(str(target))}: {facts.bytes / 1e6:.2f} MB, {facts.ms:.1f} ms per image on one CPU thread, "
        f"at most {facts.max_difference:.1e} from torch.",
        highlight=False,
        soft_wrap=True,
    )


def _check(target: Path) -> None:
    if target.suffix.lower() != SUFFIX or target.is_dir():
        raise UserError(f"{target} is no name for an ONNX file.", f"End it in {SUFFIX}.")
    if not target.parent.is_dir():
        raise UserError(f"The folder {target.parent} does not exist.", "Make it, or name another file.")
