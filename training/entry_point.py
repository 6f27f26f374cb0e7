"""A function of the user's own, named `module:function`: where its source stands, and the function itself.

Knows no torch: planning asks for the source's digest too.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data.errors import UserError

_HINT = "It is `module:function`: my_masks.py in the workspace with `def hair(images)` is `my_masks:hair`."


def source_file(entry_point: str, root: Path, key: str) -> Path:
    """The source file of the module that an entry point names, in the directory `root` or else installed.

    Nothing is imported. Raises UserError that names `key` when there is no such module.
    """
    module, _ = _parts(entry_point, key)
    places: list[str] | None = [str(root), *sys.path]
    importlib.invalidate_caches()  # the file may have been written a moment ago
    spec, path = None, ""
    for part in module.split("."):
        path = f"{path}.{part}" if path else part
        spec = importlib.machinery.PathFinder.find_spec(path, places) if places is not None else None
        places = list(spec.submodule_search_locations or ()) if spec is not None else None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise UserError(f"{key}: there is no module {module!r} in {root} or installed.", _HINT)
    return Path(spec.origin).resolve()


def load_function(entry_point: str, root: Path, key: str) -> Callable[..., Any]:
    """Import the function that an entry point names, from the directory `root` or else installed.

    Raises UserError that names `key` when the module fails to load, is hidden by another of its name, or has no such
    function.
    """
    source = source_file(entry_point, root, key)
    module_name, function_name = _parts(entry_point, key)
    module = _imported(module_name, root, key)
    loaded = Path(str(module.__file__)).resolve()
    if loaded != source:
        raise UserError(f"{key}: {source} is hidden by {loaded}, a module of the same name.", "Rename the file.")
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UserError(f"{key}: {source} has no function {function_name!r}.", _HINT)
    found: Callable[..., Any] = function
    return found


def _imported(module: str, root: Path, key: str) -> Any:
    """The module; `root` stays on the path, last, for what the user's code imports later."""
    sys.path.insert(0, str(root))
    try:
        return importlib.import_module(module)
    except Exception as error:  # whatever the user's module raises while it loads
        raise UserError(f"{key}: importing {module} failed: {type(error).__name__}: {error}", "Correct it.") from error
    finally:
        sys.path.remove(str(root))
        if str(root) not in sys.path:
            sys.path.append(str(root))


def _parts(entry_point: str, key: str) -> tuple[str, str]:
    module, _, function = entry_point.partition(":")
    if not function.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise UserError(f"{key} is {entry_point!r}, expected `module:function`.", _HINT)
    return module, function
