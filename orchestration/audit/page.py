"""An audit as one HTML page that loads nothing from elsewhere: the graph, and a section for each version."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from data.errors import UserError
from orchestration.audit.document import AuditDocument, AuditNode
from orchestration.audit.layout import BOX_HEIGHT, BOX_WIDTH, Layout, layered
from orchestration.audit.tree import counted, decision_line, group_of, taint_word
from orchestration.graph import AssetId
from orchestration.lineage import SHOWN_DIGITS
from orchestration.workspace import FACTS_FILE, Workspace

MAX_DRAWN, MAX_WITH_PICTURES, PICTURES_EACH = 120, 40, 2
PICTURE_PX = 300


def write_page(ws: Workspace, document: AuditDocument, path: Path) -> None:
    """Write the page; raises UserError where the file cannot be written."""
    page = render_page(ws, document)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.", "Name another file.") from None


def render_page(ws: Workspace, document: AuditDocument) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("orchestration.audit"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.globals.update(
        counted=counted, decision_line=decision_line, group_of=group_of, taint_word=taint_word, params_of=_params,
        digits=SHOWN_DIGITS, box_width=BOX_WIDTH, box_height=BOX_HEIGHT, asset_of=_asset,
    )  # fmt: skip
    drawn = _drawn(document)
    return environment.get_template("audit.html").render(
        document=document,
        nodes={node.key: node for node in document.nodes},
        layout=_layout(document, drawn),
        left_out=len(document.nodes) - len(drawn),
        parts={(edge.source, edge.target): edge.part for edge in document.edges},
        inputs=_neighbours(document),
        targets={f"{one.subject}@{str(one.body['data_version'])[:SHOWN_DIGITS]}" for one in document.target.entries},
        pictures={node.key: _pictures(ws, node) for node in document.nodes[:MAX_WITH_PICTURES]},
    )


def _drawn(document: AuditDocument) -> list[str]:
    """The keys in the drawing: all upstream first, then as much of what is downstream as one can still read."""
    chosen = {node.key for node in (*document.upstream, *document.downstream)[:MAX_DRAWN]}
    return [node.key for node in document.nodes if node.key in chosen]


def _layout(document: AuditDocument, drawn: Sequence[str]) -> Layout:
    known = set(drawn)
    pairs = [(e.source, e.target) for e in document.edges if e.source in known and e.target in known]
    return layered(drawn, pairs)


def _neighbours(document: AuditDocument) -> dict[str, list[str]]:
    """Key → keys of its inputs."""
    found: dict[str, list[str]] = {node.key: [] for node in document.nodes}
    for edge in document.edges:
        found[edge.target].append(edge.source)
    return found


def _pictures(ws: Workspace, node: AuditNode) -> list[tuple[str, str]]:
    """(name, data URI) of small copies of the pictures beside a payload, where they belong to this very version."""
    folder = ws.root / AssetId.parse(node.entry.subject).evidence_path
    facts = folder / FACTS_FILE
    if not facts.exists() or json.loads(facts.read_text()).get("data_version") != node.entry.body["data_version"]:
        return []
    return [(path.stem, _small(path)) for path in sorted(folder.glob("*.png"))[:PICTURES_EACH]]


def _small(path: Path) -> str:
    from PIL import Image

    with Image.open(path) as picture:
        picture.thumbnail((PICTURE_PX, PICTURE_PX))
        stream = io.BytesIO()
        picture.convert("RGB").save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _params(node: AuditNode) -> str:
    params: Any = node.entry.body["wanted"]["params"]
    return json.dumps(params, indent=1, sort_keys=True)


def _asset(key: str) -> str:
    return key.partition("@")[0]
