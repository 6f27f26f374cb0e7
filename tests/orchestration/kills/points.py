"""The fixed places at which runs are killed: training, pair making, every stage of publishing, releasing, the run."""

from __future__ import annotations

from orchestration.graph import AssetId
from tests.orchestration.kills.killing import BETWEEN_RENAMES, Point

NETWORK, PAIRS, EDITOR, RELEASE, IMAGES = (
    AssetId(name, "beard")
    for name in ("feature_network", "edit_pairs", "attribute_editor", "attribute_release", "attribute_images")
)
# A checkpoint after each iteration, or nearly. It changes no byte of what comes out.
OFTEN = {"attributes.beard.feature_network.checkpoint_every_s": 0.0}
EDITOR_OFTEN = {"attributes.beard.attribute_editor.checkpoint_every_s": 0.1}

TRAINING = (
    Point("checkpoint-due:3", NETWORK, changes=OFTEN),
    Point("checkpoint-part-written:3", NETWORK, changes=OFTEN),
    Point("checkpoint-written:3", NETWORK, changes=OFTEN, victim="worker"),
    Point("picture-logged", NETWORK, changes=OFTEN),
    Point("snapshots-counted", NETWORK),
    Point("checkpoint-written:3", EDITOR, changes=EDITOR_OFTEN),
    Point("pairs-saved", PAIRS),
)
PUBLISHING = (
    Point("payload-staged", IMAGES),
    Point("intent-written", IMAGES),
    Point("payload-swapped", IMAGES),
    Point("payload-swapped", IMAGES, absent=True),
    Point(BETWEEN_RENAMES, IMAGES),
    Point("dvc-asked", IMAGES),
    Point("dvc-committed", IMAGES),
    Point("payload-remembered", IMAGES, victim="worker"),
    Point("materialization-signed", IMAGES),
    Point("ledger-written", IMAGES),
    Point("listeners-told", IMAGES),
    Point("listeners-told", NETWORK),
    Point("intent-written", IMAGES, then="ledger-written"),
)
RELEASING = (
    Point("version-registered", RELEASE),
    Point("candidate-named", RELEASE),
    Point("decision-recorded", RELEASE),
    Point("champion-moved", RELEASE, victim="worker"),
)
RUN = (
    Point("reuse-recorded", IMAGES),
    Point("lockfile-compared", IMAGES),
)
POINTS = (*TRAINING, *PUBLISHING, *RELEASING, *RUN)
# Each a step away from another one: `make test` leaves them to `make soak` and to the figures.
RARER = frozenset({"picture-logged", "payload-staged", "dvc-committed", "candidate-named", "decision-recorded"})
