"""The repository's code as syntax trees: what an entry can reach, and a fingerprint that formatting does not change."""

from __future__ import annotations

import ast
import copy
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from data.errors import UserError

# Orchestration decides when something is made, the rooms decide what: only they are followed through imports.
ROOMS = ("data", "training", "evaluation")
_CORRECT = "Correct orchestration/graph.py."
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_IGNORED_FIELDS = frozenset({"type_comment", "kind", "ctx", "type_params", "type_ignores"})


class SourceTree:
    """The Python packages under `repository`, parsed once."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository
        self._modules: dict[str, Module | None] = {}

    def reach(self, entries: Iterable[str], files: Iterable[str] = ()) -> dict[str, str]:
        """Fingerprint of everything that `entries` reach in the rooms, by name, and of `files` by path.

        An entry is a module or `module:function`; of the latter's module, only what the function uses counts.
        Raises UserError for an entry or a file that is not there.
        """
        found: dict[str, str] = {path: self._file_digest(path) for path in files}
        pending: list[str] = []
        for entry in entries:
            module_name, _, function = entry.partition(":")
            module = self._required(module_name)
            if function:
                found[entry] = module.function_digest(function)
                pending.extend(module.function_imports(function))
            else:
                pending.append(module_name)
        found.update({name: module.digest for name, module in self._closure(pending).items()})
        return dict(sorted(found.items()))

    def module(self, name: str) -> Module | None:
        """The module or package called `name`, or None when the repository has none."""
        if name not in self._modules:
            path = self.repository.joinpath(*name.split("."))
            places = (path / "__init__.py", path.with_suffix(".py"))
            found = next((place for place in places if place.is_file()), None)
            self._modules[name] = Module(name, found) if found else None
        return self._modules[name]

    def _closure(self, names: Sequence[str]) -> dict[str, Module]:
        reached: dict[str, Module] = {}
        stack = [part for name in names for part in _with_packages(name)]
        while stack:
            name = stack.pop()
            module = self.module(name)
            if name in reached or module is None or name.split(".")[0] not in ROOMS:
                continue
            reached[name] = module
            stack.extend(part for other in module.imports for part in _with_packages(other))
        return reached

    def _required(self, name: str) -> Module:
        module = self.module(name)
        if module is None:
            raise UserError(f"The graph names the module {name}, which is not there.", _CORRECT)
        return module

    def _file_digest(self, relative: str) -> str:
        path = self.repository / relative
        if not path.exists():
            raise UserError(f"The graph names {relative}, which is not there.", _CORRECT)
        files = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix != ".py") if path.is_dir() else [path]
        digest = hashlib.sha256()
        for file in (f for f in files if "__pycache__" not in f.parts):
            digest.update(f"{file.relative_to(self.repository).as_posix()}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()


class Module:
    """One source file."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        self.package = name if path.name == "__init__.py" else name.rpartition(".")[0]

    @cached_property
    def digest(self) -> str:
        return _digest(self.tree)

    @cached_property
    def imports(self) -> list[str]:
        """Names that any statement of the file imports, functions included, checkers' imports left out."""
        return [name for names in self._imported(self.tree).values() for name in names]

    def function_digest(self, function: str) -> str:
        """Fingerprint of a function, its decorators aside, and of all at its module's top level that it uses."""
        parts = (_undecorated(part) if _defined(part) == [function] else part for part in self._used(function))
        return hashlib.sha256("".join(map(_digest, parts)).encode()).hexdigest()

    def function_imports(self, function: str) -> list[str]:
        """Modules that the function, or what it uses in its own module, imports."""
        parts = self._used(function)
        names = {name for part in parts for name in _names(part)}
        top = [node for node in self.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        at_top = self._imported(ast.Module(body=list(top), type_ignores=[]))
        inside = [name for part in parts for names_ in self._imported(part).values() for name in names_]
        return inside + [name for bound, found in at_top.items() if bound in names for name in found]

    def _used(self, function: str) -> list[ast.stmt]:
        """The function and the top-level definitions that it leads to, in order of the file."""
        definitions = {name: node for node in self.tree.body for name in _defined(node)}
        if function not in definitions:
            raise UserError(f"{self.name} has no function {function}.", _CORRECT)
        reached: set[str] = set()
        stack = [function]
        while stack:
            name = stack.pop()
            if name in definitions and name not in reached:
                reached.add(name)
                stack.extend(_names(definitions[name]))
        return [node for node in self.tree.body if reached.intersection(_defined(node))]

    def _imported(self, tree: ast.AST) -> dict[str, list[str]]:
        """Names bound by import statements under `tree`, each with the modules it may stand for."""
        found: dict[str, list[str]] = {}
        for node in _walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    found.setdefault(alias.asname or alias.name.split(".")[0], []).append(alias.name)
            elif isinstance(node, ast.ImportFrom):
                source = self._source(node)
                for alias in node.names:
                    found.setdefault(alias.asname or alias.name, []).extend([source, f"{source}.{alias.name}"])
        return found

    def _source(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.package.split(".")
        base = parts[: len(parts) - (node.level - 1)]
        return ".".join([*base, *([node.module] if node.module else [])])


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below, without what stands under `if TYPE_CHECKING:`, which never runs, and decorators."""
    yield node
    for child in _children(node):
        if not _is_for_checkers(child):
            yield from _walk(child)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else []
    return (child for child in ast.iter_child_nodes(node) if child not in decorators)


def _is_for_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and any(
        getattr(part, "id", getattr(part, "attr", "")) == "TYPE_CHECKING" for part in ast.walk(node.test)
    )


def _undecorated(node: ast.stmt) -> ast.stmt:
    """What decorates an asset function tells Dagster how to show it, not what it makes."""
    bare = copy.copy(node)
    if isinstance(bare, ast.FunctionDef | ast.AsyncFunctionDef):
        bare.decorator_list = []
    return bare


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in _walk(tree) if isinstance(node, ast.Name)}


def _digest(tree: ast.AST) -> str:
    return hashlib.sha256("".join(_spell(tree)).encode()).hexdigest()


def _spell(value: object) -> Iterator[str]:
    """A spelling of a syntax tree that is the same in every Python version: `ast.dump` is not."""
    if isinstance(value, ast.AST):
        yield f"({type(value).__name__}"
        for name, field in ast.iter_fields(value):
            if name not in _IGNORED_FIELDS and field is not None and field != []:
                yield f" {name}="
                yield from _spell(_without_docstring(value, name, field))
        yield ")"
    elif isinstance(value, list):
        yield "["
        for item in value:
            yield from _spell(item)
        yield "]"
    else:
        yield repr(value)


def _without_docstring(owner: ast.AST, name: str, field: object) -> object:
    if name != "body" or not isinstance(owner, _WITH_DOCSTRING) or not isinstance(field, list):
        return field
    has_one = ast.get_docstring(owner, clean=False) is not None
    return field[1:] if has_one else field


def _with_packages(name: str) -> list[str]:
    """A module's name with those of the packages around it, whose `__init__` runs first."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
