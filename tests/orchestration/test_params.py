"""Settings: errors that name the key, digests that change when and only when something said changes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from data.errors import UserError
from orchestration.params import load_params, parse_params, resolve, section_digest
from orchestration.policy import load_policy
from orchestration.sections import Params

PRESETS = sorted((resources.files("orchestration") / "presets").iterdir(), key=lambda f: f.name)
ROOT = Path(__file__).parents[2]


def raw() -> dict[str, Any]:
    """The demo preset as plain data, for a test to spoil."""
    text = (resources.files("orchestration") / "presets" / "demo.yaml").read_text()
    return dict(yaml.safe_load(text))


def complaint(spoiled: dict[str, Any]) -> UserError:
    with pytest.raises(UserError) as caught:
        parse_params(spoiled)
    return caught.value


def fields(model: type[BaseModel] = Params, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        inner = [a for a in (field.annotation, *getattr(field.annotation, "__args__", ())) if isinstance(a, type)]
        models = [a for a in inner if issubclass(a, BaseModel)]
        yield f"{prefix}{name}", field
        for nested in models:
            yield from fields(nested, f"{prefix}{name}.")


@pytest.mark.parametrize(("name", "field"), list(fields()), ids=lambda value: value if isinstance(value, str) else "")
def test_field_without_description_unit_or_bound(name: str, field: FieldInfo) -> None:
    assert field.description
    if field.annotation in (int, float, float | None):
        extra = field.json_schema_extra
        assert isinstance(extra, dict) and extra.get("unit"), f"{name} has no unit"
        limits = {type(limit).__name__ for limit in field.metadata}
        assert {"Ge", "Le"} <= limits, f"{name} has no bound on both sides"


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        (("original_network", "kimgs"), "kimg"),
        (("orignal_network",), "original_network"),
        (("images", "renderer", "size"), "size_px"),
        (("attributes", "beard", "feature_netwrk"), "feature_network"),
        (("attributes", "beard", "feature_network", "kimgg"), "kimg"),
        (("attributes", "beard", "edit_pairs", "fusion", "mask_layer"), "mask_layers"),
    ],
)
def test_unknown_key_names_itself_and_its_nearest(path: tuple[str, ...], nearest: str) -> None:
    spoiled = raw()
    inner = spoiled
    for key in path[:-1]:
        inner = inner.setdefault(key, {})
    inner[path[-1]] = {}
    error = complaint(spoiled)
    assert f"`{'.'.join(path)}`" in error.message
    assert f"`{nearest}`" in error.hint


@pytest.mark.parametrize(
    ("section", "key", "value", "expected"),
    [
        ("original_network", "kimg", -1, "greater than or equal to 0.001"),
        ("original_network", "kimg", "many", "valid number"),
        ("original_network", "start", "nothing", "'shipped' or 'scratch'"),
        ("edit_pairs", "fusion", {"smaller": [{"a": 1.5}]}, "less than or equal to 1"),
        ("edit_pairs", "fusion", {"smaller": [{"layer": "32-2"}]}, "match pattern"),
        ("edit_pairs", "fusion", {"larger": [{"layer": "32/2"}, {"layer": "16/2"}]}, "rise strictly"),
        ("aligned_images", "template", {"left_eye": [37, 46]}, "between 0 and 1"),
        ("compute", "devices", 0, "greater than or equal to 1"),
    ],
)
def test_wrong_value_names_key_value_and_expectation(section: str, key: str, value: object, expected: str) -> None:
    spoiled = raw()
    spoiled[section][key] = value
    error = complaint(spoiled)
    assert f"`{section}.{key}" in error.message
    assert expected in error.message
    assert error.hint


def test_wrong_override_names_the_attribute() -> None:
    spoiled = raw()
    spoiled["attributes"]["beard"] = {"feature_network": {"kimg": "long"}}
    error = complaint(spoiled)
    assert "`attributes.beard.feature_network.kimg` is 'long'" in error.message
    assert "Real images shown" in error.hint


def test_partition_that_is_no_slug_is_refused() -> None:
    spoiled = raw()
    spoiled["attributes"]["Long Beard"] = {}
    assert "attributes.Long Beard" in complaint(spoiled).message


@pytest.mark.parametrize("section", list(Params.model_fields))
def test_missing_section_is_an_error(section: str) -> None:
    spoiled = raw()
    del spoiled[section]
    error = complaint(spoiled)
    assert f"`{section}` is missing" in error.message


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"images": {"source": "folder"}}, "images.ingest.path"),
        ({"images": {"ingest": {"consent_default": "granted"}}}, "attested_by"),
        ({"images": {"source": "folder", "ingest": {"path": "photos"}}}, "expected dlib"),
        ({"aligned_images": {"size_px": 96}}, "power of two"),
        ({"aligned_images": {"template": {"left_eye": [0.7, 0.4]}}}, "left_eye lies right"),
        ({"attributes": {}}, "attributes is empty"),
        ({"category": "vehicel"}, "no category 'vehicel'"),
        ({"category": "vehicle", "aligned_images": {}}, "the shipped judges know no vehicle"),
        ({"category": "vehicle"}, "names 'left_eye', but a vehicle is aligned by its body"),
        (
            {"category": "vehicle", "aligned_images": {}, "judges": {"source": "trained"}},
            "the shipped weights draw no vehicle",
        ),
        (
            {
                "category": "vehicle",
                "aligned_images": {"detector": "dlib"},
                "judges": {"source": "trained"},
                "original_network": {"start": "scratch"},
            },
            "dlib, which finds no vehicle",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, Any], expected: str) -> None:
    assert expected in complaint({**raw(), **changes}).message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed: [1", "not valid YAML"),
        ("- seed", "expected a mapping"),
        ("seed: 1\nseed: 2\n", "stands twice, again in line 2"),
        ("", "expected a mapping"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_file_that_is_no_settings_is_named(tmp_path: Path, text: str | bytes, expected: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        load_params(path)
    assert str(path) in caught.value.message
    assert expected in caught.value.message


def test_absent_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="editloom new"):
        load_params(tmp_path / "params.yaml")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_params(raw()).original_network.kimg = 3  # type: ignore[misc]


def test_digest_is_blind_to_spelling_and_order() -> None:
    respelt = {key: value for key, value in reversed(raw().items())}
    kimg = float(respelt["original_network"]["kimg"])
    respelt["original_network"] = {**respelt["original_network"], "kimg": kimg}
    keys = ["original_network", "seed"]
    assert section_digest(parse_params(raw()), keys) == section_digest(parse_params(respelt), keys[::-1])


def test_digest_sees_its_own_sections_and_no_other() -> None:
    changed = raw()
    changed["edit_pairs"]["fusion"]["smaller"][0]["a"] = 0.2
    before, after = parse_params(raw()), parse_params(changed)
    assert section_digest(before, ["edit_pairs"]) != section_digest(after, ["edit_pairs"])
    assert section_digest(before, ["original_network"]) == section_digest(after, ["original_network"])


def test_override_changes_one_attribute_alone() -> None:
    changed = raw()
    changed["attributes"]["short_hair"] = {"edit_pairs": {"fusion": {"smaller": [{"layer": "16/2"}]}}}
    before, after = parse_params(raw()), parse_params(changed)
    for attribute in before.attributes:
        same = section_digest(before, ["edit_pairs"], attribute) == section_digest(after, ["edit_pairs"], attribute)
        assert same == (attribute != "short_hair")
    merged = after.for_attribute("short_hair").edit_pairs
    assert [spec.layer for spec in merged.fusion.smaller] == ["16/2"]
    assert merged.fusion.joint == before.edit_pairs.fusion.joint
    assert merged.count == before.edit_pairs.count


def test_new_attribute_leaves_the_others_digests() -> None:
    changed = raw()
    changed["attributes"]["glasses"] = {}
    before, after = parse_params(raw()), parse_params(changed)
    keys = ["feature_network", "attributes.{partition}.feature_network"]
    for attribute in before.attributes:
        assert section_digest(before, keys, attribute) == section_digest(after, keys, attribute)


def test_key_that_leads_nowhere_is_a_fault_of_the_graph() -> None:
    with pytest.raises(KeyError, match="orignal"):
        resolve(parse_params(raw()), ["orignal"])


@pytest.mark.parametrize("preset", PRESETS, ids=lambda f: f.name)
def test_presets_are_valid_and_say_what_they_cost(preset: Path) -> None:
    params = parse_params(yaml.safe_load(preset.read_text()), preset.name)
    wanted = {"face": {"slicked_back_hair", "short_hair", "beard"}, "vehicle": {"roof_box"}}
    assert wanted[params.category] <= set(params.attributes)
    header = [line for line in preset.read_text().splitlines() if line.startswith("#")]
    for told in ("command", "hardware", "takes", "reaches"):
        assert any(line.startswith(f"#   {told} ") for line in header), f"the header does not say: {told}"


def test_repository_is_the_demo() -> None:
    demo = resources.files("orchestration") / "presets" / "demo.yaml"
    assert (ROOT / "params.yaml").read_bytes() == demo.read_bytes()


@pytest.mark.parametrize("preset", PRESETS, ids=lambda f: f.name)
def test_rooms_accept_what_the_settings_may_say(preset: Path) -> None:
    """Each room has its own configuration; a field that one renames must not go unnoticed."""
    from data.ingest import IngestConfig
    from data.rendered import RenderedConfig
    from training.complexity import FusionPresets
    from training.editor.config import EditorTrainingConfig
    from training.gan_config import GanTrainingConfig
    from training.judges.config import JudgeImagesConfig, JudgeTrainingConfig
    from training.pairs import PairsConfig
    from training.snapshot_choice import SnapshotChoiceConfig
    from training.stylegan2 import GeneratorConfig

    params = parse_params(yaml.safe_load(preset.read_text()))
    original = params.original_network.model_dump(exclude={"start", "network"})
    GanTrainingConfig(**original, generator=GeneratorConfig(**params.original_network.network.model_dump()))
    feature = params.for_attribute(next(iter(params.attributes))).feature_network
    GanTrainingConfig(**feature.model_dump(exclude={"snapshots"}))
    SnapshotChoiceConfig(**feature.snapshots.model_dump())
    FusionPresets(**params.edit_pairs.fusion.model_dump())
    PairsConfig(attribute="beard", **params.edit_pairs.model_dump(exclude={"fusion"}))
    EditorTrainingConfig(attribute="beard", **params.attribute_editor.model_dump())
    JudgeImagesConfig(**params.judge_images.model_dump(), category=params.category)
    JudgeTrainingConfig(**params.judges.model_dump(exclude={"source"}))
    RenderedConfig(**params.images.renderer.model_dump(), category=params.category)
    IngestConfig(source="photos", **params.images.ingest.model_dump(exclude={"path"}))


def test_policy_is_read_and_wrong_ones_are_named(tmp_path: Path) -> None:
    policy = load_policy(ROOT / "mlflow" / "policy.yaml")["attribute_editor"]
    bar = {r.metric: r for r in policy.requires}["attribute_success"]
    assert bar.at_least == 0.9 and policy.approval == "none"
    wrong = tmp_path / "policy.yaml"
    for body, told in (
        ("requires: [{metric: seam_ratio}]", "neither at_least nor at_most"),
        ("requires: [{metric: seam_ration, at_most: 1}]", "did you mean `seam_ratio`"),
        ("requires: [{metric: seam_ratio, at_mots: 1}]", "did you mean `at_most`"),
        ("require: [{metric: seam_ratio, at_most: 1}]", "did you mean `requires`"),
    ):
        wrong.write_text(f"attribute_editor: {{report: attribute_report, {body}}}")
        with pytest.raises(UserError, match=told):
            load_policy(wrong)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "orchestration" / "release_files").glob("*.policy.yaml")), ids=lambda p: p.name
)
def test_presets_own_policy_is_read(path: Path) -> None:
    assert load_policy(path)["attribute_editor"].checks == ("independence", "report_judges", "aliases")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("slicked_back_hair+beard", "beard+slicked_back_hair"),
        ("beard+beard", "'beard'"),
        ("beerd+smile", "'beard'"),
        ("curly_hair+short_hair", "different types"),
        ("beard++smile", "should match pattern"),
    ],
)
def test_combined_attribute_that_cannot_be_names_what_to_write(name: str, expected: str) -> None:
    spoiled = raw()
    spoiled["attributes"] = {name: {}}
    error = complaint(spoiled)
    assert "attributes" in error.message and expected in error.message + error.hint


def test_combined_attribute_is_a_partition_with_its_own_overrides() -> None:
    document = raw()
    document["attributes"] = {"beard+slicked_back_hair": {"feature_network": {"snapshots": {"codes": 64}}}}
    own = parse_params(document).for_attribute("beard+slicked_back_hair").feature_network
    assert own.snapshots.codes == 64 and own.snapshots.pose_scale_deg == 20
