"""The one declaration of the asset graph: what is made from what, with which settings, by which code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Literal

from data.errors import UserError

PartitionKind = Literal["attribute"]


@dataclass(frozen=True)
class AssetNode:
    """One asset: its edges, the settings and code its bytes are a function of, and how the pages show it.

    `params` are dotted keys of params.yaml; `{partition}` in one stands for the partition's slug.
    `code` are entries for the fingerprint: a module, or `module:function` to follow that function only.
    `files` are shipped files or folders (relative to the repository) that the code reads, `settings` files of the
    workspace that it reads besides params.yaml. `gated`: what it publishes waits for a decision.
    `reads` names the part (`train`, `held_out`) of an image set among `deps` of which the asset reads no other.
    """

    name: str
    deps: tuple[str, ...]
    description: str
    group: str
    kinds: tuple[str, ...]
    owner: str
    code: tuple[str, ...]
    params: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    reads: Mapping[str, str] = field(default_factory=dict)
    partition: PartitionKind | None = None
    device: bool = False
    seeded: bool = True
    gated: bool = False

    def params_of(self, partition: str | None) -> tuple[str, ...]:
        """Dotted keys of params.yaml that this asset reads for `partition`."""
        return tuple(key.format(partition=partition) for key in self.params)


@dataclass(frozen=True, order=True)
class AssetId:
    """One thing that is materialized: an asset, or one partition of it."""

    asset: str
    partition: str | None = None

    def __str__(self) -> str:
        return f"{self.asset}[{self.partition}]" if self.partition else self.asset

    @property
    def path(self) -> PurePosixPath:
        """The payload's directory relative to the workspace."""
        return PurePosixPath("artifacts", *self.parts)

    @property
    def evidence_path(self) -> PurePosixPath:
        """The evidence's directory relative to the workspace."""
        return PurePosixPath("artifacts", ".evidence", *self.parts)

    @property
    def stage(self) -> str:
        """The stage's name in dvc.yaml."""
        return "@".join(self.parts)

    @property
    def parts(self) -> tuple[str, ...]:
        return (self.asset, self.partition) if self.partition else (self.asset,)

    @classmethod
    def parse(cls, text: str) -> AssetId:
        """Read `asset` or `asset[partition]`, as `str()` writes it."""
        asset, _, partition = text.removesuffix("]").partition("[")
        return cls(asset, partition or None)


_NODES = (
    AssetNode(
        name="judge_images",
        deps=(),
        description="The subjects and scenes that the judges learn from: seed ranges of their own, never a user's.",
        group="judges",
        kinds=("parquet",),
        owner="team:evaluation",
        code=("orchestration.assets.judging:judge_images",),
        params=("category", "judge_images", "judges.source"),
        files=("training/shipped/judges/judges.json",),
        seeded=False,
    ),
    AssetNode(
        name="judges",
        deps=("judge_images",),
        description="Frozen networks that measure: parser, identity, attribute (each for training and for evaluation), "
        "pose, features. Shipped and pinned by digest, or trained here.",
        group="judges",
        kinds=("pytorch",),
        owner="team:evaluation",
        code=("orchestration.assets.judging:judges",),
        files=("training/shipped/judges",),
        params=("judges",),
        device=True,
        seeded=False,
    ),
    AssetNode(
        name="images",
        deps=(),
        description="The first image set: what was ingested from a folder or drawn by the renderer, "
        "with consent, licence, subject and split for each image.",
        group="images",
        kinds=("parquet",),
        owner="team:data",
        code=("orchestration.assets.images:images",),
        params=("category", "images", "split"),
    ),
    AssetNode(
        name="aligned_images",
        deps=("images",),
        description="The images cropped so that the eyes (of a vehicle: its ends) stand at preset positions, "
        "with landmarks and transforms.",
        group="images",
        kinds=("parquet", "opencv"),
        owner="team:data",
        code=("orchestration.assets.images:aligned_images",),
        params=("category", "aligned_images"),
        seeded=False,
    ),
    AssetNode(
        name="attribute_images",
        deps=("aligned_images",),
        description="The second image set: aligned images that all have the attribute.",
        group="images",
        kinds=("parquet",),
        owner="team:data",
        code=("orchestration.assets.images:attribute_images",),
        params=("category", "attribute_images", "attributes.{partition}.attribute_images", "aligned_images", "split"),
        partition="attribute",
        seeded=False,
    ),
    AssetNode(
        name="original_network",
        deps=("aligned_images",),
        description="The original network: a StyleGAN2 of the first image set, from shipped weights or from nothing.",
        group="networks",
        kinds=("pytorch", "lightning"),
        owner="team:training",
        code=("orchestration.assets.networks:original_network",),
        files=("training/shipped/original_network",),
        params=("original_network",),
        reads={"aligned_images": "train"},
        device=True,
    ),
    AssetNode(
        name="original_report",
        deps=("original_network", "judges", "aligned_images"),
        description="How close the original network's faces are to held-out ones, before and after training.",
        group="reports",
        kinds=("html", "pytorch"),
        owner="team:evaluation",
        code=("orchestration.assets.reporting:original_report",),
        files=("training/shipped/original_network",),
        params=("original_report", "original_network.start"),
        device=True,
    ),
    AssetNode(
        name="feature_network",
        deps=("original_network", "attribute_images", "judges"),
        description="The original network fine-tuned on the attribute's images, its mapping frozen: the snapshot that "
        "scores best on held-out codes.",
        group="networks",
        kinds=("pytorch", "lightning"),
        owner="team:training",
        code=("orchestration.assets.networks:feature_network",),
        params=("feature_network", "attributes.{partition}.feature_network"),
        reads={"attribute_images": "train"},
        partition="attribute",
        device=True,
    ),
    AssetNode(
        name="edit_pairs",
        deps=("original_network", "feature_network", "judges", "attribute_images"),
        description="Training pairs: an original image and the same face with the attribute, fused by the joint mask.",
        group="attribute_editing",
        kinds=("pytorch", "parquet"),
        owner="team:training",
        code=("orchestration.assets.editing:edit_pairs",),
        params=("edit_pairs", "attributes.{partition}.regions", "attributes.{partition}.edit_pairs"),
        reads={"attribute_images": "train"},
        partition="attribute",
        device=True,
    ),
    AssetNode(
        name="attribute_editor",
        deps=("edit_pairs", "judges"),
        description="The editor: an image-to-image network that gives an aligned photo the attribute.",
        group="attribute_editing",
        kinds=("pytorch", "lightning"),
        owner="team:training",
        code=("orchestration.assets.editing:attribute_editor",),
        params=("attribute_editor", "attributes.{partition}.attribute_editor"),
        partition="attribute",
        device=True,
    ),
    AssetNode(
        name="attribute_report",
        deps=("attribute_editor", "judges", "aligned_images"),
        description="The editor measured on held-out faces that lack the attribute, by judges that took no part in "
        "training it, beside the true counterfactual.",
        group="reports",
        kinds=("html", "pytorch"),
        owner="team:evaluation",
        code=("orchestration.assets.reporting:attribute_report",),
        params=("attribute_report",),
        reads={"aligned_images": "held_out"},
        partition="attribute",
        device=True,
    ),
    AssetNode(
        name="fusion_report",
        deps=("original_network", "feature_network", "edit_pairs", "judges"),
        description="The pairs measured by judges that took no part in making them, and mask fusion beside other ways "
        "to edit: success against change outside.",
        group="reports",
        kinds=("html", "pytorch"),
        owner="team:evaluation",
        code=("orchestration.assets.reporting:fusion_report",),
        params=("fusion_report", "edit_pairs.mask"),
        partition="attribute",
        device=True,
    ),
    AssetNode(
        name="attribute_release",
        deps=("attribute_editor", "attribute_report", "aligned_images", "judges"),
        description="The editor as a registered model version: the candidate, measured anew beside the champion, and "
        "the champion when the policy's rules hold.",
        group="releases",
        kinds=("mlflow",),
        owner="team:release",
        code=("orchestration.assets.releasing:attribute_release",),
        params=("attribute_release", "attribute_report"),
        settings=("mlflow/policy.yaml",),
        reads={"aligned_images": "held_out"},
        partition="attribute",
        device=True,
        gated=True,
    ),
)

GRAPH: Mapping[str, AssetNode] = MappingProxyType({node.name: node for node in _NODES})
"""Every asset by name, inputs before what is made from them."""


def node(name: str) -> AssetNode:
    """The asset called `name`; UserError names the nearest one when there is none."""
    if name not in GRAPH:
        raise UserError(f"There is no asset '{name}'.", _nearest(name, GRAPH) + f"Assets: {', '.join(GRAPH)}.")
    return GRAPH[name]


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """`names` without repeats, inputs before what is made from them."""
    wanted = {node(name).name for name in names}
    return tuple(name for name in GRAPH if name in wanted)


def upstream(name: str) -> tuple[str, ...]:
    """Every asset that `name` is made from, directly or not."""
    found: set[str] = set()
    stack = list(node(name).deps)
    while stack:
        dep = stack.pop()
        if dep not in found:
            found.add(dep)
            stack.extend(GRAPH[dep].deps)
    return ordered(found)


def downstream(name: str) -> tuple[str, ...]:
    """Every asset that is made from `name`, directly or not."""
    wanted = node(name).name
    return tuple(other for other in GRAPH if wanted in upstream(other))


def select(expression: str | None = None) -> tuple[str, ...]:
    """Assets named by an expression: names, `name+` (and all downstream), `+name` (and all upstream), by commas.

    None, an empty expression and `*` mean every asset. Raises UserError for an unknown name.
    """
    terms = [term.strip() for term in (expression or "*").split(",") if term.strip()]
    names: set[str] = set()
    for term in terms or ["*"]:
        names.update(_selected(term))
    return ordered(names)


def expand(partitions: Sequence[str], names: Iterable[str] | None = None) -> list[AssetId]:
    """Every id of `names` (all assets by default): one per partition for partitioned assets, in graph order."""
    ids: list[AssetId] = []
    for name in GRAPH if names is None else ordered(names):
        keys: Sequence[str | None] = partitions if GRAPH[name].partition else [None]
        ids.extend(AssetId(name, key) for key in keys)
    return ids


def inputs_of(asset_id: AssetId) -> tuple[AssetId, ...]:
    """The ids that `asset_id` is made from: same partition where the input is partitioned too."""
    deps = node(asset_id.asset).deps
    return tuple(AssetId(dep, asset_id.partition if GRAPH[dep].partition else None) for dep in deps)


def chosen_partitions(declared: Sequence[str], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The partitions to work on: `wanted`, or all that params.yaml declares; UserError for one it does not."""
    for key in wanted or ():
        if key not in declared:
            hint = _nearest(key, declared) + "Declare it under 'attributes' in params.yaml."
            raise UserError(f"There is no partition '{key}' in params.yaml.", hint)
    return tuple(key for key in declared if not wanted or key in wanted)


def _selected(term: str) -> set[str]:
    if term == "*":
        return set(GRAPH)
    name = term.strip("+")
    found = {node(name).name}
    if term.startswith("+"):
        found.update(upstream(name))
    if term.endswith("+"):
        found.update(downstream(name))
    return found


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f"Did you mean '{close[0]}'? " if close else ""
