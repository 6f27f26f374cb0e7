"""The command line: `editloom`. Every command is a few lines over a function of its own module."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from data.disk_space import disk_full
from data.errors import UserError
from orchestration import keys_commands, review_commands, telemetry
from orchestration.audit import commands as audit_commands
from orchestration.compute import commands as compute_commands
from orchestration.consent import commands as consent_commands
from orchestration.release import commands as release_commands
from orchestration.remote import commands as remote_commands
from orchestration.reproduction import commands as reproduction_commands
from orchestration.tracking import commands as tracking_commands
from orchestration.verification import commands as verification_commands

telemetry.silence()

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console()
EXIT_USER_ERROR = 2

P = ParamSpec("P")
T = TypeVar("T")


def _for_people(command: Callable[P, T]) -> Callable[P, T]:
    """A user's mistake, or a full disk, is told in two sentences and exits with status 2; no traceback."""

    @wraps(command)
    def told(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except UserError as error:
            raise _told(error) from None
        except typer.Exit:
            raise
        except Exception as error:
            full = disk_full(error, Path.cwd())
            if full is None:
                raise
            raise _told(full) from None

    return told


def _told(error: UserError) -> typer.Exit:
    """Print a mistake in two sentences; returns the exit that goes with it."""
    # Escaped: in `edit_pairs[beard]` the brackets are part of the name, not a style.
    said = Console(stderr=True, soft_wrap=True, highlight=False)
    said.print(f"[red]error:[/] {escape(error.message)}")
    if error.hint:
        said.print(escape(error.hint))
    return typer.Exit(EXIT_USER_ERROR)


def _group(about: str, commands: Mapping[str, Callable[..., None]]) -> typer.Typer:
    """Commands under one name."""
    group = typer.Typer(no_args_is_help=True, help=about)
    for name, command in commands.items():
        group.command(name)(_for_people(command))
    return group


Selection = Annotated[
    str | None, typer.Option("--select", help="Assets, by commas; `+name` adds what is upstream, `name+` downstream.")
]
Partitions = Annotated[list[str] | None, typer.Option("--partition", help="Attribute; may be given several times.")]
AllowUnsigned = Annotated[
    bool, typer.Option("--allow-unsigned", help="Use an editor whose signature does not hold, with a warning.")
]


@app.command()
@_for_people
def new(
    directory: Path,
    preset: Annotated[str, typer.Option(help="smoke, demo or scratch.")] = "demo",
) -> None:
    """Make a workspace."""
    from orchestration.workspace import Workspace

    ws = Workspace.new(directory, preset)
    console.print(f"Made {ws.root} from the preset {preset}. Next: cd {directory} && editloom run")


@app.command()
@_for_people
def run(
    select: Selection = None,
    partition: Partitions = None,
    always: Annotated[bool, typer.Option("--always", help="Run the selection even where it could be reused.")] = False,
    executor: Annotated[str | None, typer.Option(help="Where bulk steps run: local (the default) or ray.")] = None,
    address: Annotated[str | None, typer.Option(help="HOST:PORT of the Ray cluster's head; else RAY_ADDRESS.")] = None,
) -> None:
    """Materialize what is missing or out of date, reuse the rest.

    Exit status: 0 done, 1 failed, 2 a mistake of yours, 3 a release was refused by its gate. A refusal stands: the same
    command again measures nothing, tells it again and exits with 0.
    """
    from orchestration.ray_cluster.options import choose
    from orchestration.run import run as run_graph
    from orchestration.summary import show
    from orchestration.workspace import Workspace

    ws = Workspace.current()
    choose(executor, address)
    result = run_graph(ws, select, partition, console, always=always)
    show(ws, result, console)
    raise typer.Exit(result.exit_code)


@app.command()
@_for_people
def plan(
    select: Selection = None,
    partition: Partitions = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")] = False,
) -> None:
    """What would run, what would be reused, and why; how long it should take, from past runs."""
    from orchestration.compute.cost import planned_costs
    from orchestration.compute.cost_page import print_plan, show_plan
    from orchestration.plan import plan_selection
    from orchestration.workspace import Workspace

    ws = Workspace.current()
    rows = planned_costs(ws, ws.params(), plan_selection(ws, select, partition))
    (print_plan if as_json else show_plan)(rows, console)


@app.command()
@_for_people
def materialize(
    asset: str,
    partition: Annotated[str | None, typer.Option(help="Attribute, for a partitioned asset.")] = None,
    code_version: Annotated[str | None, typer.Option(help="Written by dvc.yaml; must be the present one.")] = None,
) -> None:
    """Build one asset anew (the command of each stage in dvc.yaml)."""
    from orchestration.materialize import materialize_one
    from orchestration.workspace import Workspace

    raise typer.Exit(materialize_one(Workspace.current(), asset, partition, code_version, console))


@app.command()
@_for_people
def edit(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A photo or a folder of photos.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The edited photo, or a folder.")],
    attribute: Annotated[str, typer.Option(help="What to give the face.")],
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="Write input and edit beside each other.")
    ] = False,
    strength: Annotated[float, typer.Option(min=0.0, max=1.5, help="0 leaves the photo, 1 is the editor's own.")] = 1.0,
    aligned: Annotated[bool, typer.Option("--aligned", help="The photos are aligned crops already.")] = False,
    allow_unsigned: AllowUnsigned = False,
) -> None:
    """Edit photos with a released editor: the champion, else the candidate with a warning."""
    from orchestration.edit import EditOptions, edit_with_release
    from orchestration.workspace import Workspace

    options = EditOptions(side_by_side, strength, aligned, allow_unsigned)
    edit_with_release(Workspace.current(), attribute, source, target, options, console)


@app.command()
@_for_people
def export(
    attribute: Annotated[str, typer.Option(help="Whose released editor.")],
    out: Annotated[Path, typer.Option(help="The file to write, ending in .onnx.")],
    allow_unsigned: AllowUnsigned = False,
) -> None:
    """Write a released editor as ONNX, checked against torch and timed."""
    from orchestration.export import export_release
    from orchestration.workspace import Workspace

    export_release(Workspace.current(), attribute, out, console, allow_unsigned=allow_unsigned)


@app.command()
@_for_people
def sheet(
    attribute: Annotated[str, typer.Option(help="Which attribute.")],
    rows: Annotated[int, typer.Option(min=1, max=256, help="Faces on the sheet.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the codes and their noise.")] = 0,
    out: Annotated[Path | None, typer.Option(help="The file to write, ending in .png.")] = None,
    strength: Annotated[bool, typer.Option("--strength", help="Targets from 1 - a = 0 to 1 instead.")] = False,
    editor: Annotated[bool, typer.Option("--editor", help="Held-out images edited at strengths 0 to 1.5.")] = False,
    time_lapse: Annotated[
        bool, typer.Option("--time-lapse", help="The same codes over the feature network's training.")
    ] = False,
) -> None:
    """Draw how an edit comes about: original, feature image, mask, fused at each layer, target."""
    from orchestration.fusion_sheet import SheetOptions, chosen_kind, write_sheet
    from orchestration.workspace import Workspace

    kind = chosen_kind(strength=strength, editor=editor, time_lapse=time_lapse)
    write_sheet(Workspace.current(), attribute, SheetOptions(kind, rows, seed, out), console)


@app.command("search-fusion")
@_for_people
def search_fusion(
    attribute: Annotated[str, typer.Option(help="Which attribute.")],
    codes: Annotated[int, typer.Option(min=1, max=100_000, help="Held-out codes to measure on.")] = 128,
    out: Annotated[Path | None, typer.Option(help="Folder for the table; else the workspace's evidence.")] = None,
) -> None:
    """Find the fusion schedule with the best trade-off between success and what else changes."""
    from orchestration.fusion_search import SearchOptions, search_fusion
    from orchestration.workspace import Workspace

    search_fusion(Workspace.current(), attribute, SearchOptions(codes, out), console)


@app.command()
@_for_people
def doctor() -> None:
    """Versions, disk, devices, tracking server, DVC remote: what is right, what is not, what to do."""
    from orchestration.doctor import report
    from orchestration.workspace import Workspace

    raise typer.Exit(report(Workspace.current(), console))


@app.command("dvc-yaml")
@_for_people
def dvc_yaml(
    check: Annotated[bool, typer.Option("--check", help="Only say whether it is out of date.")] = False,
) -> None:
    """Write dvc.yaml from the asset graph."""
    from orchestration.dvc_yaml import check as check_file
    from orchestration.dvc_yaml import write as write_file
    from orchestration.workspace import Workspace

    ws = Workspace.current()
    (check_file if check else write_file)(ws.root, ws.params())
    console.print("dvc.yaml is up to date.")


@app.command("code-versions")
@_for_people
def code_versions(
    acknowledge: Annotated[
        list[str] | None, typer.Option(help="Assets whose code changed without changing what they make ('all').")
    ] = None,
    bump: Annotated[list[str] | None, typer.Option(help="Assets whose code now makes something else.")] = None,
) -> None:
    """Check the assets' code versions against their code."""
    from orchestration.code_versions import acknowledge as acknowledge_assets
    from orchestration.code_versions import bump as bump_assets
    from orchestration.code_versions import check as check_code

    if bump:
        bump_assets(bump)
    if acknowledge:
        acknowledge_assets(acknowledge)
    check_code()
    console.print("Code versions are up to date.")


@app.command()
@_for_people
def ui(host: str = "127.0.0.1", dagster_port: int = 3000, mlflow_port: int = 5000) -> None:
    """Open Dagster's and MLflow's pages and run what they, sensors and schedules ask for, until Ctrl-C."""
    from orchestration.pages import serve
    from orchestration.workspace import Workspace

    serve(Workspace.current(), host, dagster_port, mlflow_port, console)


@app.command()
@_for_people
def results(directory: Path = Path("docs")) -> None:
    """Write results.md from results.json."""
    from orchestration.results_page import write_markdown

    write_markdown(directory)


@app.command()
@_for_people
def figures(directory: Path = Path("docs")) -> None:
    """Write what the demo measured into results.json, and results.md from it."""
    from orchestration.figures import show, write_figures
    from orchestration.gallery import write_gallery
    from orchestration.results_page import write_markdown
    from orchestration.workspace import Workspace

    ws = Workspace.current()
    show(write_figures(ws, directory), console)
    write_gallery(ws, directory)
    write_markdown(directory)


app.command()(_for_people(compute_commands.devices))
app.command()(_for_people(review_commands.compare))
app.command()(_for_people(review_commands.evaluate))
app.command()(_for_people(audit_commands.audit))
app.command()(_for_people(audit_commands.why))
app.command()(_for_people(reproduction_commands.reproduce))
app.command()(_for_people(remote_commands.push))
app.command()(_for_people(remote_commands.pull))
app.command()(_for_people(verification_commands.verify))
app.add_typer(_group(release_commands.HELP, release_commands.COMMANDS), name="release")
app.add_typer(_group(tracking_commands.HELP, tracking_commands.COMMANDS), name="track")
app.add_typer(_group(keys_commands.HELP, keys_commands.COMMANDS), name="keys")
app.add_typer(_group(consent_commands.HELP, consent_commands.COMMANDS), name="consent")


if __name__ == "__main__":
    sys.exit(app())
