"""Reading `params.yaml`: errors that name the key, and the digest of what an asset reads."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, JsonValue, ValidationError

from data.attribute_names import parts_of
from data.errors import UserError
from data.reference_part import reference_part
from orchestration.fields import Section
from orchestration.sections import OVERRIDABLE, Params, overridden

__all__ = ["Params", "load_params", "parse_params", "resolve", "section_digest", "user_error"]

Location = tuple[int | str, ...]
SHIPPED_CATEGORY = "face"
"""What the shipped judges know and the shipped network draws."""


class _UniqueKeys(yaml.SafeLoader):
    """YAML that refuses a key given twice; plain YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' stands twice, again in line {line}")
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_params(path: Path) -> Params:
    """Read and check a params file; raises UserError that names the file, the key and what was expected."""
    return parse_params(_read_mapping(path), str(path))


def parse_params(raw: Mapping[str, Any], where: str = "params.yaml") -> Params:
    """Check params given as a mapping; raises UserError like `load_params`."""
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        raise user_error(error, where, Params) from None
    for attribute, own in params.attributes.items():
        for name in OVERRIDABLE:
            _check_override(params, attribute, name, getattr(own, name), where)
    _check_category(params, where)
    _check_attributes(params, where)
    _check_together(params, where)
    return params


def _read_mapping(path: Path) -> Mapping[str, Any]:
    try:
        raw = _parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.", "Make a workspace with `editloom new DIR --preset demo`.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}.", "It should be a UTF-8 text file.") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {error}", "Correct the line that it names.") from None
    if not isinstance(raw, Mapping):
        raise UserError(f"{path} holds {type(raw).__name__}, expected a mapping of sections.", "Compare a preset.")
    return raw


@lru_cache(maxsize=8)
def _parsed(text: str) -> Any:
    """YAML's own reader is slow, and a step asks for its settings several times; nobody changes what is returned."""
    return yaml.load(text, Loader=_UniqueKeys)


def _check_override(params: Params, attribute: str, name: str, changes: Mapping[str, Any], where: str) -> None:
    section: Section = getattr(params, name)
    try:
        overridden(section, changes)
    except ValidationError as error:
        raise user_error(error, where, type(section), ("attributes", attribute, name)) from None


def _check_attributes(params: Params, where: str) -> None:
    """A combined attribute has one spelling, known parts, and a subject that can have them all."""
    for attribute in params.attributes:
        try:
            if len(parts_of(attribute)) > 1:
                from data.categories import check_combination  # draws scenes: the renderers are slow to import

                check_combination(attribute, params.category)
        except UserError as error:
            raise UserError(f"{where}: attributes: {error.message}", error.hint) from None


def _check_together(params: Params, where: str) -> None:
    """What no single field can say."""
    ingest = params.images.ingest
    complaints = {
        "images.ingest.path is not set, but images.source is folder": params.images.source == "folder"
        and ingest.path is None,
        "images.ingest.attested_by is not set, but consent_default is granted": ingest.consent_default == "granted"
        and not ingest.attested_by,
        "aligned_images.detector is manifest, but photographs bring no landmarks: expected dlib": params.images.source
        == "folder"
        and params.aligned_images.detector == "manifest",
        "attributes is empty: expected at least one, such as `beard: {}`": not params.attributes,
        "aligned_images.size_px is not a power of two, as the networks need": _not_power(params.aligned_images.size_px),
    }
    _complain({**complaints, **_inbox_complaints(params)}, where)


def _inbox_complaints(params: Params) -> Mapping[str, bool]:
    inbox = params.automation.inbox
    own = params.attributes.get(inbox.attribute or "")
    return {
        "automation.inbox.path is not set, but automation.inbox is enabled": inbox.enabled and inbox.path is None,
        "automation.inbox is enabled, but images.source is not folder": inbox.enabled
        and inbox.attribute is None
        and params.images.source != "folder",
        f"automation.inbox.attribute is {inbox.attribute}, which has no attribute_images.path": inbox.enabled
        and inbox.attribute is not None
        and (own is None or own.attribute_images is None or own.attribute_images.path is None),
    }


def _complain(complaints: Mapping[str, bool], where: str) -> None:
    """The first complaint that applies, as a UserError."""
    for complaint, applies in complaints.items():
        if applies:
            raise UserError(f"{where}: {complaint}.", "Correct it and run the same command again.")


def _check_category(params: Params, where: str) -> None:
    """What depends on the pictures' category: its reference points, and what is shipped for faces alone."""
    category, detector = params.category, params.aligned_images.detector
    try:
        part = reference_part(category)
        part.places_of(params.aligned_images.template)
    except UserError as error:
        raise UserError(f"{where}: {error.message}", error.hint) from None
    other = category != SHIPPED_CATEGORY
    found = detector in ("manifest", *part.detectors)
    complaints = {
        f"judges.source is shipped, but the shipped judges know no {category}: expected trained": other
        and params.judges.source == "shipped",
        f"original_network.start is shipped, but the shipped weights draw no {category}: expected scratch": other
        and params.original_network.start == "shipped",
        f"aligned_images.detector is {detector}, which finds no {category}: expected manifest": not found,
    }
    _complain(complaints, where)


def _not_power(size: int) -> bool:
    return size & (size - 1) != 0


def user_error(error: ValidationError, where: str, model: type[BaseModel], prefix: Location = ()) -> UserError:
    """The first complaint of pydantic in words, and how many more there are."""
    first = error.errors(include_url=False)[0]
    location: Location = tuple(first["loc"])
    key = ".".join(str(part) for part in (*prefix, *location))
    more = f" ({error.error_count() - 1} more after this one.)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return UserError(f"{where}: unknown key `{key}`.", _nearest(location, model) + more)
    if first["type"] == "missing":
        return UserError(f"{where}: `{key}` is missing.", "Every section must be there; copy it from a preset." + more)
    expected = first["msg"][0].lower() + first["msg"][1:]
    return UserError(f"{where}: `{key}` is {first['input']!r}: {expected}.", _meaning(location, model) + more)


def _nearest(location: Location, model: type[BaseModel]) -> str:
    known = sorted(_model_at(location[:-1], model).model_fields)
    close = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    return f"The nearest known key is `{close[0]}`." if close else f"Known here: {', '.join(known)}."


def _meaning(location: Location, model: type[BaseModel]) -> str:
    """What the field that an error names is for, with its unit."""
    names = [str(part) for part in location]
    for end in range(len(names), 0, -1):
        field = _model_at(tuple(names[: end - 1]), model).model_fields.get(names[end - 1])
        if field is not None:
            extra = field.json_schema_extra
            unit = extra.get("unit", "-") if isinstance(extra, dict) else "-"
            return f"{field.description}" + (f" Unit: {unit}." if unit != "-" else "")
    return "Compare a preset."


def _model_at(location: Iterable[int | str], model: type[BaseModel]) -> type[BaseModel]:
    """The section that a key path leads into; a partition's slug leads into the model of its mapping."""
    for part in location:
        field = model.model_fields.get(str(part))
        inner = next(_models_in(field.annotation), None) if field is not None else None
        model = inner or model
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def resolve(params: Params, keys: Sequence[str], partition: str | None = None) -> dict[str, JsonValue]:
    """What the dotted `keys` say, in their order; `{partition}` in a key stands for the partition.

    With a partition, the sections it overrides come with its overrides merged in. Raises KeyError for a key that leads
    nowhere, which is a fault of the graph and not of a user.
    """
    effective = params.for_attribute(partition) if partition and partition in params.attributes else params
    document = effective.model_dump(mode="json")
    return {name: _follow(document, name) for name in (key.format(partition=partition) for key in keys)}


def _follow(document: JsonValue, dotted: str) -> JsonValue:
    for part in dotted.split("."):
        if not isinstance(document, dict) or part not in document:
            raise KeyError(f"params.yaml has no key {dotted!r}")
        document = document[part]
    return document


def section_digest(params: Params, keys: Sequence[str], partition: str | None = None) -> str:
    """sha256 of what `resolve` gives, as canonical JSON: the order of keys, comments and spelling do not matter."""
    text = json.dumps(resolve(params, keys, partition), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
