"""A workspace's part of the store: what each attempt keeps there, and the inputs that attempts share."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass

from filelock import FileLock

from orchestration.graph import AssetId
from orchestration.ray_cluster.request import Request
from orchestration.ray_cluster.store import PREFIX, REQUEST, AttemptStore, Objects
from orchestration.remote.place import Place, open_place
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class Space:
    """What a workspace has in the store."""

    ws: Workspace
    place: Place
    root: str

    @property
    def inputs(self) -> Objects:
        """What attempts read."""
        return Objects(self.place, f"{self.root}/inputs")

    def attempt(self, asset_id: AssetId, digest: str) -> AttemptStore:
        """What one attempt keeps."""
        return AttemptStore(self.place, f"{self._attempts(asset_id)}/{digest}")

    def claim(self, request: Request) -> None:
        """Write down what the attempt reads; those of other settings or inputs go, for they are not asked for again."""
        store, mine = AttemptStore(self.place, request.attempt), request.attempt.rpartition("/")[2]
        for other in self.place.names(self._attempts(request.id)):
            if other != mine:
                self.release(self.attempt(request.id, other))
        with self._alone():
            self.place.delete(f"{store.folder}/{REQUEST}")
            self.place.create(
                f"{store.folder}/{REQUEST}", json.dumps(sorted({ref.sha256 for ref in request.files})).encode()
            )

    def release(self, store: AttemptStore) -> None:
        """Remove what an attempt keeps, and the inputs that no other attempt reads."""
        with self._alone():
            mine = self._claimed(store.folder)
            store.remove()
            stages = self.place.names(f"{self.root}/attempts")
            folders = (f"{self.root}/attempts/{stage}" for stage in stages)
            others = (f"{folder}/{digest}" for folder in folders for digest in self.place.names(folder))
            self.inputs.drop(sorted(mine.difference(*map(self._claimed, others))))

    def _claimed(self, folder: str) -> set[str]:
        path = f"{folder}/{REQUEST}"
        return set(json.loads(self.place.read(path))) if self.place.has(path) else set()

    def _attempts(self, asset_id: AssetId) -> str:
        return f"{self.root}/attempts/{asset_id.stage}"

    def _alone(self) -> FileLock:
        """So that an input is not removed between another attempt's claim and its look whether it is there."""
        return FileLock(self.ws.state / "ray-store.lock")


def open_space(ws: Workspace, remote: str | None) -> Space:
    """The workspace's part of the store on a remote of DVC's (None: the default one); raises UserError."""
    name = ws.state / "ray-store"
    with FileLock(ws.state / "ray-store.lock"):
        if not name.exists():
            name.write_text(uuid.uuid4().hex)
    return Space(ws, open_place(ws.root, remote), f"{PREFIX}/{name.read_text()}")
