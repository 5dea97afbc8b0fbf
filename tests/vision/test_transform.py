"""The transform: each slot is its band in its unit; what is random is a function of seed, step and place."""

import copy
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from so2sat_hf import facts
from so2sat_hf.convert.moments import DB_FLOOR, to_model_unit
from so2sat_hf.errors import So2SatError
from so2sat_hf.vision import image_processing
from so2sat_hf.vision.augmentation import Augmentation, draw
from so2sat_hf.vision.catalogue import preset, presets
from so2sat_hf.vision.collate import So2SatCollator
from so2sat_hf.vision.preset import Preset, Slot
from so2sat_hf.vision.transform import So2SatTransform, flipped, places_of


def in_unit(slot: Slot, value: float) -> float:
    """A stored value in the unit of a slot, by the definitions in the docstring of Preset, in float64."""
    found = {
        "reflectance": lambda: value,
        "linear": lambda: value,
        "DN": lambda: value * 10_000,
        "brightness": lambda: min(1.0, max(0.0, value / slot.scale)),
        "dB": lambda: 10 * math.log10(max(value, 1e-6)),
        "asinh": lambda: math.asinh(value / slot.scale),
    }[slot.unit]()
    low, high = slot.limits or (-math.inf, math.inf)
    return min(high, max(low, found))


def expected(slot: Slot, patch: dict[str, Any]) -> float:
    """What a slot of a patch of constants holds."""
    if slot.band is None:
        return (slot.fill - slot.mean) / slot.std
    band = facts.band(slot.band)
    return (in_unit(slot, float(patch[band.sensor][band.index, 0, 0])) - slot.mean) / slot.std


@pytest.mark.parametrize("name", [*presets(), "mixed"])
def test_every_slot_is_its_band_in_its_unit(
    name: str, constants: dict[str, Any], statistics: dict[str, Any], mixed: Preset
) -> None:
    """On a patch whose bands are different constants; a wrong order, unit or number shows."""
    found = mixed if name == "mixed" else presets()[name]
    found = found if found.is_complete else found.with_statistics(statistics, "test")

    out = So2SatTransform(found).eval()(So2SatCollator(found)([constants]))

    values = torch.cat([out[name] for name in found.inputs], dim=1)[0]
    slots = sorted(found.slots, key=lambda slot: found.inputs.index(slot.input))
    assert values.shape == (len(slots), found.size, found.size)
    for slot, value in zip(slots, values, strict=True):
        assert torch.allclose(value, value[0, 0], atol=1e-5)
        assert value[0, 0].item() == pytest.approx(expected(slot, constants), rel=1e-5, abs=1e-5), slot


def test_digital_numbers_and_reflectance_give_the_same(rows: list[dict[str, Any]], statistics: Any) -> None:
    """Two bytes a value, or four."""
    s2 = preset("s2").with_statistics(statistics, "test")
    batch = So2SatCollator(s2)(rows)
    digital = {**batch, "pixel_values": torch.round(batch["pixel_values"] * 10_000).to(torch.uint16)}
    transform = So2SatTransform(s2)

    for step in range(4):
        given, again = transform(batch, step=step), transform(digital, step=step)
        assert torch.allclose(given["pixel_values"], again["pixel_values"], atol=1e-6)


def test_sensors_apart_give_the_same(rows: list[dict[str, Any]], mixed: Preset) -> None:
    """Stacked by the collator or here."""
    transform = So2SatTransform(mixed).eval()

    together, apart = (
        transform(So2SatCollator(mixed, stack=stack)(rows))["pixel_values"] for stack in (True, False)
    )

    assert torch.equal(together, apart)


def test_the_unit_of_the_build_is_the_unit_of_the_model() -> None:
    """The processor cannot import what the build measures in; both say the same."""
    values = np.array([-1.0, 0.0, 1e-9, 0.02, 3.0], np.float32)
    for band in facts.bands():
        slot = {
            "band": band.name,
            "unit": band.model_unit,
            "scale": band.model_scale,
            "mean": 0.0,
            "std": 1.0,
        }
        table = image_processing.SlotTable([band.name], [slot])
        found = table(torch.from_numpy(values)[:, None, None, None])[:, 0, 0, 0].numpy()
        np.testing.assert_allclose(found, to_model_unit(band, values), rtol=1e-6, atol=1e-6)
    assert image_processing.DB_FLOOR == DB_FLOOR


@pytest.mark.parametrize(("size", "interpolation"), [(64, "bilinear"), (224, "bicubic"), (16, "bilinear")])
def test_sizes(size: int, interpolation: str, rows: list[dict[str, Any]], statistics: Any) -> None:
    """Up and down, as torch resizes what is normalised at 32 pixels."""
    small = preset("s2").with_statistics(statistics, "test")
    large = replace(small, size=size, interpolation=interpolation)
    batch = So2SatCollator(small)(rows[:2])

    out = So2SatTransform(large).eval()(batch)["pixel_values"]

    at_32 = So2SatTransform(small).eval()(batch)["pixel_values"]
    wanted = torch.nn.functional.interpolate(at_32, (size, size), mode=interpolation, antialias=True)
    assert torch.equal(out, wanted)
    sized = So2SatTransform(replace(small, interpolation=interpolation), size=size)
    assert torch.equal(sized.eval()(batch)["pixel_values"], out)


SQUARE = torch.arange(1024, dtype=torch.float32).reshape(1, 1, 32, 32)


def test_flips_are_the_eight_of_a_square() -> None:
    """All of them, each a rearrangement that keeps neighbours."""
    every = torch.tensor([[number >> bit & 1 for number in range(8)] for bit in range(3)], dtype=torch.bool)

    found = flipped(SQUARE.expand(8, 1, 32, 32), every, places_of(32))
    compiled = torch.compile(flipped, backend="aot_eager")  # the way it goes on a device
    assert torch.equal(compiled(SQUARE.expand(8, 1, 32, 32), every, places_of(32)), found)

    turns = [torch.rot90(SQUARE[0, 0], count) for count in range(4)]
    wanted = {tuple(each.flatten().tolist()) for turn in turns for each in (turn, turn.flip(0))}
    assert {tuple(each.flatten().tolist()) for each in found} == wanted
    assert len(wanted) == 8


@given(
    ranks=st.sampled_from([1, 2, 4]),
    step=st.integers(0, 1_000_000),
    name=st.sampled_from(["flips", "jitter", "band_drop", "mixup", "cutmix"]),
)
def test_draws_depend_on_the_place_in_the_global_batch_alone(ranks: int, step: int, name: str) -> None:
    """A batch that is dealt out to ranks gets the very numbers that it would get in one process."""
    augmentation = Augmentation(flips=name == "flips", **({} if name == "flips" else {name: 0.4}))

    def drawn(first: int, count: int) -> Any:
        return draw(augmentation, count, bands=5, slots=6, seed=(7, step), first=first, size=32)

    whole, share = drawn(0, 16), 16 // ranks
    for rank in range(ranks):
        part = drawn(rank * share, share)
        for found, every in zip(part, whole, strict=True):
            if every is None:
                assert found is None
                continue
            axis = every.shape.index(16)
            at = [slice(None)] * every.ndim
            at[axis] = slice(rank * share, (rank + 1) * share)
            assert np.array_equal(found, every[tuple(at)])


def test_every_flip_and_step_and_seed_is_drawn(rows: list[dict[str, Any]], statistics: Any) -> None:
    """The same seed and step give the same batch; another step or seed another; all eight occur evenly."""
    rgb = preset("rgb").with_statistics(statistics, "test")
    batch = So2SatCollator(rgb)(rows)
    transform = So2SatTransform(rgb, seed=1)

    def pixels(transform: So2SatTransform, step: int) -> torch.Tensor:
        return transform(batch, step=step)["pixel_values"]

    assert torch.equal(pixels(transform, 5), pixels(copy.deepcopy(transform), 5))
    assert not torch.equal(pixels(transform, 5), pixels(transform, 6))
    assert not torch.equal(pixels(transform, 5), pixels(So2SatTransform(rgb, seed=2), 5))
    flips = draw(Augmentation(), 8000, bands=3, slots=3, seed=(0, 0), first=0, size=32).flips
    counts = np.bincount(flips[0] * 4 + flips[1] * 2 + flips[2], minlength=8)
    assert counts.min() > 880  # 1000 expected, deviation 30


def test_the_step_counts_itself_in_training_alone(rows: list[dict[str, Any]], statistics: Any) -> None:
    """Evaluation in between changes nothing."""
    rgb = preset("rgb").with_statistics(statistics, "test")
    batch = So2SatCollator(rgb)(rows)
    counting, told = So2SatTransform(rgb), So2SatTransform(rgb)

    for step in range(3):
        assert torch.equal(counting(batch)["pixel_values"], told(batch, step=step)["pixel_values"])
        counting.eval()(batch)
        counting.train()


def test_evaluation_is_not_random(rows: list[dict[str, Any]], statistics: Any) -> None:
    """Whatever the augmentation."""
    rgb = preset("rgb").with_statistics(statistics, "test")
    batch = So2SatCollator(rgb)(rows)
    augment = Augmentation(band_drop=0.5, jitter=0.5, mixup=0.4, cutmix=1.0)

    out = So2SatTransform(rgb, augment=augment).eval()(batch)

    plain = So2SatTransform(rgb, augment=Augmentation(flips=False))(batch)
    assert torch.equal(out["pixel_values"], plain["pixel_values"])
    assert "soft_labels" not in out


def test_band_drop_shows_the_mean(rows: list[dict[str, Any]], statistics: Any) -> None:
    """About as many slots as asked for, and the others untouched."""
    s2 = preset("s2").with_statistics(statistics, "test")
    batch = So2SatCollator(s2)(rows)
    plain = So2SatTransform(s2).eval()(batch)["pixel_values"]

    out = So2SatTransform(s2, augment=Augmentation(flips=False, band_drop=0.25))(batch)["pixel_values"]

    dropped = (out == 0).flatten(2).all(2)
    assert 0.12 < dropped.float().mean() < 0.38
    assert torch.equal(out[~dropped], plain[~dropped])


def test_jitter_is_of_reflectance(rows: list[dict[str, Any]], statistics: Any) -> None:
    """A factor for each band of Sentinel-2; Sentinel-1 stays."""
    every = preset("all").with_statistics(statistics, "test")
    batch = So2SatCollator(every)(rows)
    plain = So2SatTransform(every).eval()(batch)["pixel_values"]

    out = So2SatTransform(every, augment=Augmentation(flips=False, jitter=0.1))(batch)["pixel_values"]

    assert torch.equal(out[:, :8], plain[:, :8])
    mean, std = (
        torch.tensor([getattr(slot, name) for slot in every.slots[8:]])[:, None, None]
        for name in ("mean", "std")
    )
    factors = ((out[:, 8:] * std + mean) / (plain[:, 8:] * std + mean)).flatten(2).median(2).values
    assert 0.9 <= factors.min() < 0.95
    assert 1.05 < factors.max() <= 1.1
    assert torch.allclose(
        out[:, 8:] * std + mean, (plain[:, 8:] * std + mean) * factors[..., None, None], atol=1e-4
    )


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_patches_and_labels_are_blended_alike(name: str, constants: dict[str, Any], statistics: Any) -> None:
    """The share of the partner in the pixels is its share in the labels; labels themselves stay."""
    rgb = preset("rgb").with_statistics(statistics, "test")
    bright = {**constants, "sen2": constants["sen2"] + np.float32(0.4), "label": 9}
    batch = So2SatCollator(rgb)([constants] * 4 + [bright] * 4)
    plain = So2SatTransform(rgb).eval()(batch)["pixel_values"].mean((1, 2, 3))

    out = So2SatTransform(rgb, augment=Augmentation(flips=False, **{name: 1.0}))(batch)

    assert out["labels"].tolist() == [3] * 4 + [9] * 4
    soft = out["soft_labels"]
    assert soft.shape == (8, 17)
    assert torch.allclose(soft.sum(1), torch.ones(8))
    share = (out["pixel_values"].mean((1, 2, 3)) - plain[0]) / (plain[-1] - plain[0])
    assert torch.allclose(share, soft[:, 9], atol=1e-5)
    assert 0.05 < soft[:4, 9].mean() < 0.95
    assert len(set(soft[:, 9].tolist())) > 4


def test_given_soft_labels_are_blended(rows: list[dict[str, Any]], statistics: Any) -> None:
    """Those of the batch instead of its labels."""
    rgb = preset("rgb").with_statistics(statistics, "test")
    votes = torch.full((24, 17), 1 / 17)
    batch = {**So2SatCollator(rgb)(rows), "soft_labels": votes}

    out = So2SatTransform(rgb, augment=Augmentation(mixup=0.4))(batch)

    assert torch.allclose(out["soft_labels"], votes)


def test_it_compiles_without_a_break(rows: list[dict[str, Any]], mixed: Preset) -> None:
    """As one graph, with the numbers that it has without; `benchmarks/gpu.py` compiles to machine code."""
    augment = Augmentation(band_drop=0.2, jitter=0.1, mixup=0.4)
    batch = So2SatCollator(mixed)(rows)
    plain, compiled = (So2SatTransform(mixed, size=48, augment=augment) for _ in range(2))
    compiled.compile(backend="aot_eager")

    for step in range(2):
        for mode in (True, False):
            plain.train(mode), compiled.train(mode)
            found, wanted = compiled(batch, step=step), plain(batch, step=step)
            assert torch.allclose(found["pixel_values"], wanted["pixel_values"], atol=1e-5)


def test_half_precision(rows: list[dict[str, Any]], statistics: Any) -> None:
    """Computed in float32, rounded once."""
    s2 = preset("s2").with_statistics(statistics, "test")
    batch = So2SatCollator(s2)(rows)

    half = So2SatTransform(s2, dtype=torch.bfloat16).eval()(batch)["pixel_values"]

    full = So2SatTransform(s2).eval()(batch)["pixel_values"]
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, full.to(torch.bfloat16))


def test_everything_else_is_passed_on(rows: list[dict[str, Any]], statistics: Any) -> None:
    """And the batch that came in stays as it was."""
    rgb = preset("rgb").with_statistics(statistics, "test")
    batch = So2SatCollator(rgb, metadata=("id",))(rows)
    before = batch["pixel_values"].clone()

    out = So2SatTransform(rgb)(batch)

    assert out["id"] == batch["id"]
    assert torch.equal(batch["pixel_values"], before)


def test_what_is_wrong_is_named(rows: list[dict[str, Any]], statistics: Any, mixed: Preset) -> None:
    """Presets without numbers, batches of other bands, arguments that cannot be."""
    rgb = preset("rgb").with_statistics(statistics, "test")
    batch = So2SatCollator("s2")(rows)

    with pytest.raises(So2SatError, match="no mean and deviation yet"):
        So2SatTransform(preset("rgb"))
    with pytest.raises(So2SatError, match="10 bands; expected the bands B02 B03 B04"):
        So2SatTransform(rgb)(batch)
    with pytest.raises(So2SatError, match="no sen1; expected the bands VH_real"):
        So2SatTransform(mixed)({"sen2": batch["pixel_values"]})
    with pytest.raises(So2SatError, match="no labels"):
        So2SatTransform(rgb, augment=Augmentation(mixup=1.0))({"pixel_values": batch["pixel_values"][:, :3]})
    with pytest.raises(So2SatError, match="size: -1"):
        So2SatTransform(rgb, size=0)
    for name, value in (("band_drop", 1.0), ("jitter", 2.0), ("mixup", -1.0), ("cutmix", math.nan)):
        with pytest.raises(So2SatError, match=f"augmentation {name}"):
            Augmentation(**{name: value})
