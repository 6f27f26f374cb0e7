"""What mask fusion must hold (METHODS A, "Must hold in tests")."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from data.errors import UserError
from training.fusion import FusedBatch, fuse, fused_batch
from training.fusion_schedule import FusionConfig, LayerSpec, with_strength
from training.joint_mask import MaskSource, joint_mask, resize_mask
from training.sampling import latents, layer_noise
from training.stylegan2 import Generator, GeneratorConfig
from training.stylegan2.layers import upsample

SIZE_PX = 16
COUNT = 3
LAYERS = ("4/1", "8/1", "8/2", "16/1", "16/2")
INDICES = torch.arange(COUNT)
PRECISIONS = [torch.float32, torch.float64]


def network(seed: int) -> Generator:
    torch.manual_seed(seed)
    generator = Generator(GeneratorConfig(size_px=SIZE_PX, channels={4: 12, 8: 10, 16: 8}, z_dim=8, w_dim=8))
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):  # starts at 0, where noise would not be tested
                parameter.fill_(0.3)
    return generator.requires_grad_(False)


def networks() -> tuple[Generator, Generator]:
    """An original network and another with the same mapping."""
    original, feature = network(0), network(1)
    feature.mapping.load_state_dict(original.mapping.state_dict())
    return original, feature


ORIGINAL, FEATURE = networks()
DOUBLES = tuple(net.double() for net in networks())
Z = latents(7, INDICES, 8)
WS = ORIGINAL.mapping(Z)
NOISE = layer_noise(7, INDICES, ORIGINAL.synthesis.layer_sizes)


def soft_masks() -> Tensor:
    return torch.rand(COUNT, 1, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(3))


def brightness(images: Tensor) -> Tensor:
    """A mask source whose answer depends on the image it is shown, and so tells which one that was."""
    return torch.sigmoid(images.mean(dim=1, keepdim=True))


def constant(mask: Tensor) -> MaskSource:
    return lambda images: mask.to(images.dtype)


def schedule(*layers: str | LayerSpec, a: float = 0.2, **settings: object) -> FusionConfig:
    specs = tuple(LayerSpec(layer=spec, a=a) if isinstance(spec, str) else spec for spec in layers)
    return FusionConfig.model_validate({"layers": specs, **settings})


def fused(config: FusionConfig, masks: MaskSource, dtype: torch.dtype = torch.float32) -> FusedBatch:
    original, feature = (ORIGINAL, FEATURE) if dtype == torch.float32 else DOUBLES
    noise = {name: maps.to(dtype) for name, maps in NOISE.items()}
    return fused_batch(original, feature, WS.to(dtype), noise, masks, config, dtype=dtype)


def untouched(dtype: torch.dtype) -> Tensor:
    net = ORIGINAL if dtype == torch.float32 else DOUBLES[0]
    image: Tensor = net.synthesis(WS.to(dtype), {name: maps.to(dtype) for name, maps in NOISE.items()}, dtype)
    return image


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("layers", [("4/1",), ("8/1",), ("8/2",), ("16/2",), ("8/1", "8/2", "16/1")])
def test_empty_mask_gives_the_original_bit_for_bit(layers: tuple[str, ...], dtype: torch.dtype) -> None:
    batch = fused(schedule(*layers), constant(torch.zeros(COUNT, 1, SIZE_PX, SIZE_PX)), dtype)
    assert batch.target.dtype == dtype
    assert torch.equal(batch.target, untouched(dtype)) and torch.equal(batch.original, batch.target)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("layer", ["4/1", "8/1", "8/2", "16/1"])
def test_full_mask_runs_the_original_tail_on_the_feature_networks_state(layer: str, dtype: torch.dtype) -> None:
    """Bit for bit at a = 0; a fusion before it is then forgotten."""
    masks = constant(torch.ones(COUNT, 1, SIZE_PX, SIZE_PX))
    original, feature = (ORIGINAL, FEATURE) if dtype == torch.float32 else DOUBLES
    ws, noise = WS.to(dtype), {name: maps.to(dtype) for name, maps in NOISE.items()}
    state = feature.synthesis.advance(feature.synthesis.start(ws, noise, dtype), ws, noise, until=layer)
    tail = original.synthesis.finish(state, ws, noise)
    assert torch.equal(fused(schedule(layer, a=0.0), masks, dtype).target, tail)
    assert not torch.allclose(tail, untouched(dtype), atol=1e-2)
    if layer != "4/1":
        twice = schedule(LayerSpec(layer="4/1", a=0.3), LayerSpec(layer=layer, a=0.0))
        assert torch.equal(fused(twice, masks, dtype).target, tail)


@pytest.mark.filterwarnings("ignore:fusion coefficient")
@pytest.mark.parametrize("dtype", PRECISIONS)
def test_a_of_one_gives_the_original_bit_for_bit(dtype: torch.dtype) -> None:
    config = schedule("8/1", "16/1", a=1.0)
    assert torch.equal(fused(config, constant(soft_masks()), dtype).target, untouched(dtype))


def test_formula_in_double_precision() -> None:
    """fo·(1 − m) + (a·fo + (1 − a)·ft)·m as METHODS A5 writes it, to 1e-14: the order of operations differs."""
    generator = torch.Generator().manual_seed(1)
    fo, ft = (torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    mask = torch.rand(2, 1, 4, 4, generator=generator, dtype=torch.float64)
    for a in (0.0, 0.3, 1.0):
        expected = fo * (1 - mask) + (a * fo + (1 - a) * ft) * mask
        assert torch.allclose(fuse(fo, ft, mask, a), expected, rtol=0, atol=1e-14)
    assert torch.equal(fuse(fo, ft, torch.zeros_like(mask), 0.3), fo)
    assert torch.equal(fuse(fo, ft, torch.ones_like(mask), 0.0), ft)
    assert torch.equal(fuse(fo, ft, mask, 1.0), fo)


@pytest.mark.parametrize("a", [-0.01, 1.01, float("nan")])
def test_coefficient_outside_its_range_is_an_error(a: float) -> None:
    with pytest.raises(UserError, match=r"\[0, 1\]"):
        fuse(torch.zeros(1), torch.zeros(1), torch.zeros(1), a)
    with pytest.raises(ValidationError):
        LayerSpec(a=a)


def test_coefficient_from_a_half_warns() -> None:
    with pytest.warns(UserWarning, match="outweighs"):
        LayerSpec(a=0.5)


# The reference: plain loops over the layers, fusion by forward hooks that replace a layer's output, masks from images
# that it adds up itself. It shares with the product the layers, the upsampling of RGB and the making of one joint mask.

Outputs = dict[str, Tensor]
Hook = Callable[[str, Tensor], Tensor]


def plain_run(net: Generator, hook: Hook) -> Outputs:
    """One forward pass; `hook` sees, and may replace, the output of each layer. Running RGB is under `rgb LAYER`."""
    synthesis, outputs = net.synthesis, Outputs()

    def replaced(name: str, module: nn.Module, args: object, output: Tensor) -> Tensor:
        outputs[name] = hook(name, output)
        return outputs[name]

    handles = [conv.register_forward_hook(partial(replaced, name)) for name, conv in synthesis.convs.items()]
    x = synthesis.const.expand(COUNT, *synthesis.const.shape)
    rgb = torch.zeros(())
    for name, conv in synthesis.convs.items():
        x = conv(x, WS, NOISE[name])
        size = name.split("/")[0]
        if name == "4/1":
            rgb = synthesis.to_rgb[size](x, WS)
        elif name.endswith("/2"):
            rgb = upsample(rgb, synthesis.kernel) + synthesis.to_rgb[size](x, WS)
        rgb = outputs[f"rgb {name}"] = hook(f"rgb {name}", rgb)
    for handle in handles:
        handle.remove()
    return outputs


def reference(config: FusionConfig, masks: MaskSource) -> Tensor:
    ours, theirs = (plain_run(net, lambda _, output: output) for net in (ORIGINAL, FEATURE))
    end = LAYERS[-1]
    first = config.layers[0].layer
    fusions = {spec.layer: spec for spec in config.layers}
    clean: Outputs = {}  # of the plain fused run: its running RGB by layer

    def blend(m: Tensor, a: float, fo: Tensor, ft: Tensor) -> Tensor:
        m = resize_mask(m, fo.shape[-1])
        return fo * (1 - m) + (a * fo + (1 - a) * ft) * m

    def original_image(spec: LayerSpec, p: str | None) -> Tensor:
        passed = p is not None and LAYERS.index(first) <= LAYERS.index(p) <= LAYERS.index(spec.layer)
        return clean[p] if p and passed and spec.mask != "target" and spec.layer != first else ours[f"rgb {p or end}"]

    def mask_of(spec: LayerSpec, at_hand: Tensor | None) -> Tensor:
        p, q = config.mask_layers if spec.mask == "target" else spec.mask
        if at_hand is not None:
            clean[spec.layer] = at_hand
        return joint_mask(masks(original_image(spec, p)), masks(theirs[f"rgb {q or end}"]), config.joint)

    made: dict[str, Tensor] = {}

    def hook(name: str, output: Tensor) -> Tensor:
        layer = name.removeprefix("rgb ")
        if layer not in fusions:
            clean[layer] = output if name.startswith("rgb") else torch.empty(0)
            return output
        spec = fusions[layer]
        if not name.startswith("rgb"):
            # An updated mask may ask for the running RGB at this very layer, which is not known before its features.
            before = rgb_before(layer, output)
            made[layer] = mask_of(spec, before)
            return blend(made[layer], spec.a, output, theirs[name])
        # The features are fused already; the RGB to fuse is that of the unfused ones.
        clean[layer] = blend(made[layer], spec.a, clean[layer], theirs[name])
        return clean[layer]

    def rgb_before(layer: str, features: Tensor) -> Tensor:
        size, convolution = layer.split("/")
        place = LAYERS.index(layer)
        if layer == "4/1":
            rgb: Tensor = ORIGINAL.synthesis.to_rgb[size](features, WS)
            return rgb
        running = clean[LAYERS[place - 1]]
        if convolution == "1":
            return running
        ended: Tensor = ORIGINAL.synthesis.to_rgb[size](features, WS)
        return upsample(running, ORIGINAL.synthesis.kernel) + ended

    return plain_run(ORIGINAL, hook)[f"rgb {end}"]


SCHEDULES = {
    "4/1": schedule("4/1"),
    "8/1": schedule("8/1"),
    "8/2": schedule("8/2"),
    "16/1": schedule("16/1"),
    "two": schedule("8/1", LayerSpec(layer="16/1", a=0.0)),
    "three": schedule("4/1", "8/2", "16/1", joint="intersection"),
    "p not q": schedule("8/2", mask_layers=("4/1", "16/1")),
    "p and q early": schedule("8/2", mask_layers=("8/1", "8/2")),
    "p late": schedule("8/1", mask_layers=("16/1", "4/1")),
    "updated": schedule("8/1", LayerSpec(layer="16/1", mask=("8/1", "8/2"))),
    "updated between": schedule("4/1", LayerSpec(layer="16/1", mask=("8/2", None))),
    "updated here": schedule("8/1", LayerSpec(layer="8/2", mask=("8/2", "8/2"))),
    "updated before": schedule("8/1", LayerSpec(layer="16/1", mask=("4/1", "4/1"))),
    "updated ahead": schedule("4/1", LayerSpec(layer="8/2", mask=("16/1", "8/1"))),
    "updated at the first": schedule(
        LayerSpec(layer="8/1", mask=("8/2", "8/1")), LayerSpec(layer="8/2", mask=(None, None))
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_equals_a_plain_hooked_run(name: str) -> None:
    config = SCHEDULES[name]
    expected = reference(config, brightness)
    scale = max(1.0, float(expected.abs().max()))  # untrained networks draw beyond [-1, 1]
    assert float((fused(config, brightness).target - expected).abs().max()) <= 1e-5 * scale
    assert not torch.allclose(expected, ORIGINAL.synthesis(WS, NOISE), atol=1e-2)


def test_updated_mask_sees_the_fused_run() -> None:
    """With layers at or after the first fusion its original side is another image than the untouched original's."""
    updated = LayerSpec(layer="16/1", mask=("8/2", "8/2"))
    seen: list[Tensor] = []

    def watch(images: Tensor) -> Tensor:
        seen.append(images)
        return brightness(images)

    batch = fused(schedule("8/2", updated), watch)
    assert any(image is batch.stages[0] for image in seen)
    assert [stage.shape[-1] for stage in batch.stages] == [8, 8]
    assert torch.equal(fused(schedule("8/2"), brightness).stages[0], batch.stages[0])


@contextmanager
def counted(*nets: Generator) -> Iterator[Counter[tuple[int, str]]]:
    """How often each layer of each network runs."""
    runs: Counter[tuple[int, str]] = Counter()

    def add(key: tuple[int, str], *_: object) -> None:
        runs[key] += 1

    handles = [
        layer.register_forward_hook(partial(add, (number, name)))
        for number, net in enumerate(nets)
        for name, layer in [*net.synthesis.convs.items(), *net.synthesis.to_rgb.items()]
    ]
    try:
        yield runs
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize(
    ("config", "feature_layers"),
    [
        (schedule("8/2"), {*LAYERS, "4", "8", "16"}),  # end-layer masks: the feature network runs to its end
        (schedule("8/2", mask_layers=(None, "8/1")), {"4/1", "8/1", "8/2", "4", "8"}),
        (schedule("8/1", mask_layers=("8/1", "8/1")), {"4/1", "8/1", "4"}),
        (schedule("8/1", "16/1", mask_layers=("4/1", "4/1")), {"4/1", "8/1", "8/2", "16/1", "4", "8"}),
    ],
)
def test_no_layer_runs_more_often_than_it_must(config: FusionConfig, feature_layers: set[str]) -> None:
    """The original's run up to the first fusion serves its image and the target; only what follows runs twice."""
    with counted(ORIGINAL, FEATURE) as runs:
        batch = fused(config, brightness)
    first = LAYERS.index(config.layers[0].layer)
    assert {name for number, name in runs if number == 1} == feature_layers
    assert all(runs[1, name] == 1 for name in feature_layers)
    assert {name: runs[0, name] for name in LAYERS} == {n: 1 if LAYERS.index(n) <= first else 2 for n in LAYERS}
    assert (batch.feature is None) == ("16/2" not in feature_layers)


def test_no_image_is_parsed_twice() -> None:
    calls: list[Tensor] = []

    def source(images: Tensor) -> Tensor:
        calls.append(images)
        return brightness(images)

    fused(schedule("8/1", "8/2", LayerSpec(layer="16/1", mask=("8/1", None))), source)
    assert len(calls) == 3  # both end images, and the fused run's at 8/1


def test_mask_is_the_union_of_the_fusions_masks() -> None:
    """At the end image's size, wherever they came from. Above a half: enlarging softens the edge of a small mask."""

    def half(images: Tensor) -> Tensor:
        mask = torch.zeros(COUNT, 1, images.shape[-1], images.shape[-1])
        columns = slice(0, images.shape[-1] // 2) if images.shape[-1] == 4 else slice(images.shape[-1] // 2, None)
        mask[..., columns] = 1
        return mask

    low = LayerSpec(layer="8/2", mask=("4/1", "4/1"))
    assert fused(schedule("8/1", low), half).mask.min() > 0.5
    alone = fused(schedule("8/1"), half).mask
    assert alone.shape == (COUNT, 1, SIZE_PX, SIZE_PX) and alone.mean() == 0.5


def test_z_goes_through_both_mappings() -> None:
    by_z = fused_batch(ORIGINAL, FEATURE, Z, NOISE, brightness, schedule("8/2", input="z"), truncation_psi=0.7)
    ws = ORIGINAL.mapping(Z, 0.7)
    by_w = fused_batch(ORIGINAL, FEATURE, ws, NOISE, brightness, schedule("8/2"))
    assert torch.equal(by_z.target, by_w.target) and by_z.feature is not None and by_w.feature is not None
    assert torch.equal(by_z.feature, by_w.feature)
    with pytest.raises(UserError, match="mapping"):
        fused_batch(ORIGINAL, network(2), Z, NOISE, brightness, schedule("8/2", input="z"))


def test_w_plus_steers_each_layer() -> None:
    wide = WS[:, None].repeat(1, len(LAYERS), 1)
    batch = fused_batch(ORIGINAL, FEATURE, wide, NOISE, brightness, schedule("8/2"))
    assert torch.equal(batch.target, fused(schedule("8/2"), brightness).target)
    wide[:, -1] = 0
    other = fused_batch(ORIGINAL, FEATURE, wide, NOISE, brightness, schedule("8/2"))
    assert not torch.allclose(batch.target, other.target, atol=1e-2)


def test_strength_goes_from_the_original_to_the_schedule() -> None:
    config = schedule(LayerSpec(layer="8/1", a=0.3), LayerSpec(layer="16/1", a=0.0))
    ends = [fused(with_strength(config, strength), brightness).target for strength in (0.0, 1.0)]
    assert torch.equal(ends[0], untouched(torch.float32))
    assert torch.equal(ends[1], fused(config, brightness).target)
    assert [spec.a for spec in with_strength(config, 0.5).layers] == pytest.approx([0.65, 0.5])
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(UserError, match="strength"):
            with_strength(config, strength)


@pytest.mark.parametrize("layers", [("8/2", "8/1"), ("8/2", "8/2"), ("16/1", "8/2"), ()])
def test_layers_that_do_not_rise_are_refused(layers: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        schedule(*layers)


@pytest.mark.parametrize(
    "config",
    [
        schedule("8/1", "32/2"),
        schedule("8/1", mask_layers=(None, "32/2")),
        schedule("8/1", LayerSpec(layer="8/2", mask=("32/2", None))),
    ],
)
def test_layer_that_the_networks_lack_is_named(config: FusionConfig) -> None:
    with pytest.raises(UserError, match=r"edit_pairs\.fusion.*'32/2'") as refused:
        fused(config, brightness)
    assert "16/2" in refused.value.hint
