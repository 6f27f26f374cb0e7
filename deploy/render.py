"""Kubernetes manifests from a values file: `python deploy/render.py --values FILE --out FILE`."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # a checkout need not be installed to render

from data.errors import UserError  # noqa: E402
from deploy.settings import Deployment  # noqa: E402
from orchestration.params import user_error  # noqa: E402

EXIT_USER_ERROR = 2
TEMPLATES = ("accounts", "settings", "workspace", "dagster_servers", "mlflow", "ray", "network")
"""In the order in which they are applied."""


def read(path: Path) -> Deployment:
    """The settings in a values file; raises UserError that names the file, the key and what was expected."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}.", "Copy deploy/values.yaml and name the copy.") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {error}", "Correct the line that it names.") from None
    if raw is not None and not isinstance(raw, Mapping):
        raise UserError(f"{path} holds {type(raw).__name__}, expected a mapping.", "Compare deploy/values.yaml.")
    try:
        return Deployment.model_validate(raw or {})
    except ValidationError as error:
        raise user_error(error, str(path), Deployment) from None


def render(values: Deployment) -> str:
    """Every manifest as one YAML stream, in the order in which they are applied; the same values give the same text."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    known: dict[str, Any] = {"v": values, "dump": _dump}
    files = {name: environment.get_template(f"{name}.j2").render(known) for name in ("dagster.yaml", "locations.yaml")}
    known |= {"files": files, "digest": hashlib.sha256("\0".join(files.values()).encode()).hexdigest()}
    texts = [environment.get_template(f"{name}.yaml.j2").render(known) for name in TEMPLATES]
    return "---\n".join(_with_labels(document, values) for text in texts for document in yaml.safe_load_all(text))


def _with_labels(document: dict[str, Any], values: Deployment) -> str:
    """A manifest with what all of them have in common."""
    own = document["metadata"].get("labels", {})
    common = {"app.kubernetes.io/name": "editloom", "app.kubernetes.io/instance": values.name}
    document["metadata"] |= {"namespace": values.namespace, "labels": {**common, **own}}
    return _dump(document)


def _dump(value: object) -> str:
    """YAML; texts of several lines stay readable."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=120)


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as one, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _write(text: str, out: Path) -> None:
    """Write a file whole or not at all; raises UserError."""
    fresh = out.with_name(f".{out.name}.{os.getpid()}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(out)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise UserError(
            f"{out} cannot be written: {error.strerror}.", "Name a file in a folder that is there."
        ) from None


def secrets_of(values: Deployment) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(name, keys) of every secret that must be there before the manifests are applied."""
    names = values.secrets
    yield names.postgres, ("DAGSTER_PG_PASSWORD",)
    yield names.mlflow, ("MLFLOW_BACKEND_STORE_URI",)
    yield names.ray, ("RAY_AUTH_TOKEN",)
    if names.store:
        yield names.store, ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    if names.signing:
        yield names.signing, ("EDITLOOM_SIGNING_KEY",)


def main(
    values: Annotated[Path, typer.Option(help="Settings; what it leaves out is as in deploy/values.yaml.")],
    out: Annotated[Path | None, typer.Option(help="File to write; standard output if not given.")] = None,
) -> None:
    """Write the manifests of a deployment; says which secrets they expect."""
    said = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        settings = read(values)
        text = render(settings)
        if out is None:
            sys.stdout.write(text)
        else:
            _write(text, out)
    except UserError as error:
        said.print(f"[red]error:[/] {escape(error.message)}")
        said.print(escape(error.hint))
        raise typer.Exit(EXIT_USER_ERROR) from None
    for name, keys in secrets_of(settings):
        said.print(f"expects the secret {name} in {settings.namespace}: {', '.join(keys)}")


if __name__ == "__main__":
    typer.run(main)
