"""Commands of a reviewer: versions side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

Versions = Annotated[
    list[str], typer.Argument(metavar="MODEL@ALIAS|MODEL/VERSION …", help="The baseline first, then the others.")
]


def compare(
    versions: Versions,
    out: Annotated[Path | None, typer.Option(help="The page to write, ending in .html.")] = None,
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Show what each version's own report recorded; measure nothing.")
    ] = False,
) -> None:
    """Hold versions of an editor against each other: all measured anew on the same held-out images."""
    from orchestration.compare import CompareOptions
    from orchestration.compare import compare as compare_versions
    from orchestration.workspace import Workspace

    compare_versions(Workspace.current(), versions, CompareOptions(out, recorded), Console())


def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of images, with pairs.csv in it.")],
    protocol: Annotated[str, typer.Option(help="attribute, swap or text.")],
    pairs: Annotated[Path | None, typer.Option(help="The CSV of pairs; else pairs.csv in DIR.")] = None,
    attribute: Annotated[str, typer.Option(help="What the edits add, for --protocol attribute.")] = "",
    prompt: Annotated[str, typer.Option(help="The sentence where the CSV names none, for --protocol text.")] = "",
    source_text: Annotated[str, typer.Option(help="What the inputs are called, for --protocol text.")] = "a face",
    gallery: Annotated[Path | None, typer.Option(help="CSV of known people; else gallery.csv in DIR.")] = None,
    reference: Annotated[Path | None, typer.Option(help="CSV of real images; else reference.csv in DIR.")] = None,
    judges: Annotated[str, typer.Option(help="A judges directory, or `shipped`.")] = "shipped",
    features: Annotated[str, typer.Option(help="judge, inception[=FILE] or dinov2[=FILE].")] = "judge",
    identity: Annotated[str, typer.Option(help="judge, dlib or onnx=FILE.")] = "judge",
    clip: Annotated[str, typer.Option(help="judge or OPENCLIP_NAME=FILE.")] = "judge",
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Probability of an attribute that is there.")
    ] = 0.5,
    replicates: Annotated[int, typer.Option("--bootstrap", min=100, max=100_000, help="Resamples.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of resamples and sanity rows.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    out: Annotated[Path | None, typer.Option(help="Folder for the report.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write metrics.json to standard output instead.")] = False,
) -> None:
    """Measure images that any tool made, by the protocols of the product's own reports; needs no workspace."""
    from evaluation.protocols.judge_sources import JudgeChoice
    from orchestration.evaluate import EvaluateOptions, evaluate_folder, measuring_config

    options = EvaluateOptions(
        protocol, pairs, gallery, reference, attribute, prompt, source_text,
        JudgeChoice(judges, features, identity, clip),
        measuring_config(seed, replicates, threshold), device, out, as_json,
    )  # fmt: skip
    evaluate_folder(folder, options, Console())
