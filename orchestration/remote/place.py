"""A DVC remote as a place for a few files of our own: a folder, S3, or whatever else DVC reaches."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import UserError

if TYPE_CHECKING:
    from dvc.config import Config

NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS}
_SHOWN = frozenset({"endpointurl", "region", "projectname", "account_name", "user", "port", "use_ssl", "ssl_verify"})
"""What says where a remote is. Credentials, and files of them, are each machine's own."""


@dataclass(frozen=True)
class Place:
    """A remote's root: `name` and `url` as DVC's configuration has them, `files` a file system of fsspec."""

    name: str
    url: str
    files: Any
    root: str
    local: bool

    def names(self, folder: str) -> list[str]:
        """The file names in a folder under the root, sorted; none where there is no such folder.

        Raises UserError when the remote does not answer.
        """
        with self._asked():
            self.files.invalidate_cache()
            try:
                found = self.files.ls(self._path(folder), detail=False)
            except FileNotFoundError as error:
                _raise_if_away(error)
                return []
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found)

    def read(self, path: str) -> bytes:
        """A file's content; raises UserError when the remote does not answer or has no such file."""
        with self._asked():
            return bytes(self.files.cat_file(self._path(path)))

    def create(self, path: str, content: bytes) -> bool:
        """Write a file unless one of that name is there; True when exactly `content` stands there afterwards.

        Of two writers at once one wins, and both know it: on a local disk by a hard link, on AWS S3 and what follows it
        by a conditional write. Other stores look first and read again afterwards, so that a writer who comes in between
        is noticed unless he writes after the second look.
        """
        with self._asked():
            target = self._path(path)
            try:
                if self.local:
                    _create_local(Path(target), content)
                else:
                    self.files.pipe_file(target, content, mode="create")
            except FileExistsError:
                pass
            return bytes(self.files.cat_file(target)) == content

    def has(self, path: str) -> bool:
        """Whether there is a file of that name; raises UserError when the remote does not answer."""
        with self._asked():
            try:
                self.files.invalidate_cache()
                self.files.info(self._path(path))  # `exists` takes a store that is away for one without the file
            except FileNotFoundError as error:
                _raise_if_away(error)
                return False
            return True

    def delete(self, path: str) -> None:
        """Remove a file; none is fine. Raises UserError when the remote does not answer or lets nobody remove."""
        if self.has(path):
            with self._asked():
                self.files.rm_file(self._path(path))

    def remove(self, folder: str) -> None:
        """Remove a folder with all in it; none is fine. Raises UserError as `delete` does."""
        with self._asked():
            try:
                self.files.invalidate_cache()
                self.files.rm(self._path(folder), recursive=True)
            except FileNotFoundError as error:
                _raise_if_away(error)

    def upload(self, file: Path, path: str) -> None:
        """Send a local file, in place of one of that name; nobody sees a part of it.

        Raises UserError when the remote does not answer, FileNotFoundError when there is no such local file.
        """
        with file.open("rb"), self._asked():
            if self.local:
                _copy_local(file, Path(self._path(path)))
            else:
                self.files.put_file(str(file), self._path(path))

    def download(self, path: str, file: Path) -> None:
        """Bring a file; raises UserError when the remote does not answer or has no such file."""
        with self._asked():
            self.files.get_file(self._path(path), str(file))

    def __str__(self) -> str:
        return f"{self.name} ({self.url})"

    def _path(self, path: str) -> str:
        return f"{self.root.rstrip('/')}/{path}"

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Each store has errors of its own, down to those of its HTTP library: all mean the same to a person."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            said = str(error) or type(error).__name__
            raise UserError(
                f"The remote {self} does not answer as it should: {said}",
                "Check network, address (`dvc remote list`) and credentials, then run the same command again. "
                "Nothing here was changed.",
            ) from error


def open_place(root: Path, name: str | None = None) -> Place:
    """The remote `name` (DVC's default one if None) of the workspace `root`; it is not contacted.

    Raises UserError for a missing repository, an unknown remote or one that DVC keeps as a mirror of the workspace.
    """
    config = _config(root)
    chosen = name or config["core"].get("remote")
    known = ", ".join(config["remote"]) or "none"
    if not chosen or chosen.lower() not in config["remote"]:
        said = f"There is no DVC remote '{chosen}'." if chosen else "DVC has no default remote."
        raise UserError(
            f"{said} Remotes: {known}.", "Add one: `dvc remote add -d NAME URL`; or name one: --remote NAME."
        )
    if config["remote"][chosen.lower()].get("worktree"):
        hint = "Set `dvc remote modify NAME worktree false`: a mirror deletes what is not in the workspace."
        raise UserError(f"The remote {chosen} mirrors the workspace, so it cannot hold the ledger.", hint)
    return _opened(config, chosen)


def open_places(root: Path) -> list[Place]:
    """Every remote of the workspace `root`, by name; none is contacted. Raises UserError as `open_place` does."""
    return [open_place(root, name) for name in sorted(_config(root)["remote"])]


def shown_settings(root: Path, place: Place) -> Mapping[str, str]:
    """What another machine needs to find the same place, without secrets: those it has of its own."""
    known = {key: str(value) for key, value in _config(root)["remote"][place.name.lower()].items() if key in _SHOWN}
    return {**known, "url": place.root if place.local else place.url}


def place_at(settings: Mapping[str, str]) -> Place:
    """The place that `shown_settings` describes, on a machine without the workspace; raises UserError."""
    return _opened({"core": {}, "remote": {"store": dict(settings)}}, "store")


def _opened(config: Mapping[str, Any], name: str) -> Place:
    from dvc.exceptions import DvcException
    from dvc.fs import get_cloud_fs

    url = str(config["remote"][name.lower()]["url"])
    try:
        kind, settings, path = get_cloud_fs(config, name=name)
        files = kind(**settings)
        return Place(name, url, files.fs, str(path), kind.protocol == "local")
    except (DvcException, ImportError) as error:
        hint = "Correct it: `dvc remote modify`."
        raise UserError(f"The remote {name} ({url}) cannot be used: {error}", hint) from None


def _raise_if_away(error: FileNotFoundError) -> None:
    """Raise what lies behind a missing file when that is a connection which failed: over HTTP both are called so."""
    if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, FileNotFoundError):
        raise error.__cause__ from None


def _config(root: Path) -> Config:
    from dvc.config import Config, ConfigError

    if not (root / ".dvc").is_dir():
        raise UserError(f"{root} is no DVC repository.", "Run `dvc init`, or make a workspace with `editloom new`.")
    try:
        return Config(dvc_dir=str(root / ".dvc"))
    except ConfigError as error:
        raise UserError(f"DVC's configuration in {root / '.dvc'} is wrong: {error}", "Correct what it names.") from None


def _copy_local(file: Path, target: Path) -> None:
    """Copied under another name first, then renamed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        shutil.copyfile(file, fresh)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def _create_local(target: Path, content: bytes) -> None:
    """Written under another name first, then linked: whole or not there at all. Raises FileExistsError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with fresh.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        _link(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)


def _link(fresh: Path, target: Path) -> None:
    try:
        os.link(fresh, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        # Such a disk has no atomic way; what is left is to look first.
        if target.exists():
            raise FileExistsError(str(target)) from None
        fresh.rename(target)
