"""`editloom edit`: photos through a released editor, the champion or else the candidate."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data.alignment import Template
from data.errors import UserError
from data.landmarks import Detector
from data.reference_part import reference_part
from orchestration.consent.demotion import refuse_lost_champion
from orchestration.photo_edit import WRITABLE, Alignment, EditOptions, ImageEditor, PhotoEditor, PhotoResult
from orchestration.release.aliases import moved
from orchestration.tracking import open_tracker
from orchestration.tracking.model_spec import fetched
from orchestration.tracking.registry import CANDIDATE, CHAMPION, resolve
from orchestration.workspace import Workspace

__all__ = ["EditOptions", "edit_photos", "edit_with_release"]

ALIGNMENT_FILE = "alignment.json"
SUFFIXES = (*WRITABLE, ".gif", ".ppm", ".pgm")

Jobs = Sequence[tuple[Path, Path]]


def edit_with_release(
    ws: Workspace, attribute: str, source: Path, target: Path, options: EditOptions, console: Console
) -> list[PhotoResult]:
    """Edit a photo, or every photo of a folder, with the attribute's released editor.

    Photos that cannot be edited are told and the others go on. Raises UserError when there is no such editor, when the
    input holds no photo, or when none of them could be edited.
    """
    jobs = plan_files(source, target)
    detector = None if options.aligned else _detector(ws.params().category)
    files = released_editor(ws, attribute, console, allow_unsigned=options.allow_unsigned)
    photo_editor = PhotoEditor(_editor(files, options.strength), detector, _alignment(files, ws), options)
    with _bar(console) as bar:
        task = bar.add_task(attribute, total=len(jobs))
        results = edit_photos(photo_editor, jobs, lambda _: bar.advance(task))
    return _tell(results, console)


def edit_photos(
    photo_editor: PhotoEditor, jobs: Jobs, on_done: Callable[[PhotoResult], None] = lambda _: None
) -> list[PhotoResult]:
    """Edit each (source, target) in turn; one that cannot be edited does not stop the others."""
    results = []
    for source, target in jobs:
        results.append(photo_editor.edit_file(source, target))
        on_done(results[-1])
    return results


def plan_files(source: Path, target: Path) -> Jobs:
    """Which file is written for which photo; nothing is written yet.

    A folder's photos keep their relative paths under `target`. Raises UserError for a missing or empty input, for an
    output format that cannot be written, and when an output would replace an input.
    """
    if not source.exists():
        raise UserError(f"{source} does not exist.", "Give a photo or a folder of photos.")
    jobs = list(_folder_jobs(source, target)) if source.is_dir() else [(source, _single_target(source, target))]
    if not jobs:
        raise UserError(f"{source} holds no photo.", f"Looked for {', '.join(SUFFIXES)}, in its sub-folders too.")
    sources = {path.resolve() for path, _ in jobs}
    for path, out in jobs:
        if out.resolve() in sources:
            raise UserError(f"The output {out} would replace the photo {path}.", "Name another output.")
    return jobs


def _folder_jobs(source: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    if target.exists() and not target.is_dir():
        raise UserError(f"{source} is a folder, but {target} is a file.", "Name a folder for the edited photos.")
    for path in sorted(source.rglob("*")):
        visible = not any(part.startswith(".") for part in path.relative_to(source).parts)
        inside_target = path.resolve().is_relative_to(target.resolve()) and target.resolve() != source.resolve()
        if path.is_file() and visible and not inside_target and path.suffix.lower() in SUFFIXES:
            yield path, target / path.relative_to(source).parent / _output_name(path)


def _single_target(source: Path, target: Path) -> Path:
    if target.is_dir():
        return target / _output_name(source)
    if target.suffix.lower() not in WRITABLE:
        raise UserError(f"{target} names no format that can be written.", f"End it in one of {', '.join(WRITABLE)}.")
    return target


def _output_name(source: Path) -> str:
    """The photo's own name, with .png appended where its format is only read."""
    return source.name if source.suffix.lower() in WRITABLE else f"{source.name}.png"


def released_editor(ws: Workspace, attribute: str, console: Console, *, allow_unsigned: bool = False) -> Path:
    """The files of the attribute's champion, or of its candidate with a warning.

    Raises UserError without either, for a version that descends from withdrawn images, and for files that are not as
    somebody trusted signed them; `allow_unsigned` makes a warning of the last.
    """
    params = ws.params()
    tracker, name = open_tracker(ws), params.attribute_release.model_name(attribute)
    for sentence in moved(ws, tracker, name):
        console.print(f"[yellow]warning:[/] {sentence}.")
    champion = resolve(tracker, name, CHAMPION)
    model = champion or resolve(tracker, name, CANDIDATE)
    refuse_lost_champion(ws, name, model)
    if model is not None and champion is None:
        console.print(f"[yellow]warning:[/] {name} has no champion; its candidate, version {model.version}, is used.")
    if model is None:
        raise _no_editor(attribute, tuple(params.attributes))
    return fetched(ws, tracker, model, partial(_warn_unsigned, console) if allow_unsigned else None)


def _warn_unsigned(console: Console, problem: str) -> None:
    console.print(f"[yellow]warning:[/] {escape(problem)} It is used all the same.", highlight=False)


def _no_editor(attribute: str, declared: Sequence[str]) -> UserError:
    if attribute in declared:
        hint = f"Make it: `editloom run --partition {attribute}`."
    else:
        hint = f"params.yaml declares {', '.join(declared)}; add `{attribute}: {{}}` under attributes and run."
    return UserError(f"No editor for `{attribute}` has been released in this workspace.", hint)


def _editor(files: Path, strength: float) -> ImageEditor:
    from training.editor.apply import edit, load_editor

    return partial(edit, load_editor(files), strength=strength)


def _detector(category: str) -> Detector:
    if not reference_part(category).detectors:
        raise UserError(f"Nothing finds a {category} in a photo.", "Give aligned crops and --aligned.")
    from data.landmarks import DlibDetector

    return DlibDetector()


def _alignment(files: Path, ws: Workspace) -> Alignment:
    """The alignment that the editor was trained with, from beside its weights; else the workspace's own."""
    path, category = files / ALIGNMENT_FILE, ws.params().category
    if path.exists():
        known = json.loads(path.read_text())
        places = {name: known[name] for name in reference_part(category).points}
        return Alignment(int(known["size_px"]), Template.of(category, places))
    own = ws.params().aligned_images
    return Alignment(own.size_px, Template.of(category, own.template))


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def _tell(results: list[PhotoResult], console: Console) -> list[PhotoResult]:
    for result in results:
        if result.written is None:
            console.print(f"[yellow]left out[/] {result.source}: {result.reason}", highlight=False)
    written = [result for result in results if result.written is not None]
    if not written:
        hint = "A face should be upright, facing the camera, and not tiny; aligned crops need --aligned."
        raise UserError(f"None of {len(results)} photos could be edited: {results[0].reason}.", hint)
    where = written[0].written if len(written) == 1 else f"{len(written)} photos"
    console.print(f"Wrote {where}.", highlight=False)
    return results
