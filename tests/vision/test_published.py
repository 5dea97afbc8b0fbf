"""Presets on data: their ranges, and the mistakes that others have published, which cannot happen here."""

import math
from typing import Any

import pytest
import torch

from so2sat_hf import facts
from so2sat_hf.vision.catalogue import presets
from so2sat_hf.vision.collate import So2SatCollator
from so2sat_hf.vision.preset import Preset
from so2sat_hf.vision.transform import So2SatTransform

OWN = ("rgb", "s2", "s1", "all")
SMALL = {"ssl4eo-s12-s2": 0.03, "olmoearth": 0.04}
"""Published conventions that leave less than 0.1: reflectance as it is; four deviations of wilder data."""


def shown(preset: Preset, statistics: Any, rows: Any) -> dict[str, torch.Tensor]:
    """Slot -> its values over some patches, at 32 pixels."""
    complete = preset if preset.is_complete else preset.with_statistics(statistics, "test")
    out = So2SatTransform(complete, size=32).eval()(So2SatCollator(complete)(rows))
    found = {}
    for name in complete.inputs:
        slots = [slot.name for slot in complete.slots if slot.input == name]
        found.update(zip(slots, out[name].transpose(0, 1), strict=True))
    return found


@pytest.fixture(scope="module")
def train(built: Any) -> Any:
    from datasets import load_dataset

    return load_dataset(str(built), split="train").with_format("numpy")[:]


@pytest.mark.parametrize("name", list(presets()))
def test_values_are_of_a_size_that_models_learn_from(name: str, statistics: Any, train: Any) -> None:
    """Own presets: mean 0 and deviation 1 of the data. Foreign ones: as near as other data come to that."""
    for slot, values in shown(presets()[name], statistics, train).items():
        mean, std = values.mean().item(), values.std().item()
        print(f"{name:14} {slot:10} mean {mean:6.2f} std {std:5.2f}")
        if name in OWN:
            assert abs(mean) <= 0.1, slot
            assert 0.8 <= std <= 1.25, slot
        else:
            assert abs(mean) <= 3, slot
            empty = next(each for each in presets()[name].slots if each.name == slot).band is None
            assert std == 0 if empty else SMALL.get(name, 0.1) <= std <= 5, slot


def test_the_published_moments_agree(statistics: Any) -> None:
    """Sentinel-2 in reflectance is the unit that means were published in; the generator imitates them."""
    published = facts.statistics("2/training")
    for band in facts.bands("sen2"):
        measured = statistics["bands"][band.name]
        assert measured["mean"] == pytest.approx(published.mean[band.name], rel=0.2)
        assert measured["std"] == pytest.approx(published.std[band.name], rel=0.35)


@pytest.mark.parametrize("name", ["softcon-s2", "ssl4eo-s12-s2"])
def test_b08_and_b8a_are_not_in_the_slots_of_b09_and_b10(
    name: str, constants: dict[str, Any], statistics: Any
) -> None:
    """As in the SoftCon wrapper of Copernicus-Bench, which inserts an empty band twice at one place."""
    values = shown(presets()[name], statistics, [constants])
    reflectance = {band.name: float(constants["sen2"][band.index, 0, 0]) for band in facts.bands("sen2")}

    for slot in presets()[name].slots:
        found = values[slot.name].mean().item()
        unit = 10_000 if slot.unit == "DN" else 1
        stored = slot.fill if slot.band is None else reflectance[slot.name] * unit
        assert found == pytest.approx((stored - slot.mean) / slot.std, rel=1e-5, abs=1e-6)
    assert [slot.name for slot in presets()[name].slots if slot.band is None] == ["B01", "B09", "B10"]


def test_near_infrared_and_swir_of_croma_are_not_swapped(constants: dict[str, Any], statistics: Any) -> None:
    """As in So2Sat-CROMA-Finetuning: B8 held B12, B8A held B8, B11 held B8A, B12 held B11."""
    croma = presets()["croma"]
    values = shown(croma, statistics, [constants])

    for name in ("B08", "B8A", "B11", "B12"):
        known = statistics["bands"][name]
        stored = float(constants["sen2"][facts.band(name).index, 0, 0])
        wanted = (stored - known["mean"] + 2 * known["std"]) / (4 * known["std"])
        assert values[name].mean().item() == pytest.approx(min(1, max(0, wanted)), abs=1e-5)
    order = [slot.name for slot in croma.slots if slot.input == "x_optical"]
    assert order == ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]


@pytest.mark.parametrize("name", ["ssl4eo-s12-s1", "softcon-s1", "croma", "terramind", "olmoearth"])
def test_vv_is_the_intensity_of_vv(name: str, constants: dict[str, Any], statistics: Any) -> None:
    """And comes first. GEO-Bench-2 has a channel `vv` that is the real part of VH."""
    values = shown(presets()[name], statistics, [constants])
    radar = [slot for slot in presets()[name].slots if slot.unit == "dB"]

    assert [slot.name.upper() for slot in radar] == ["VV", "VH"]
    for slot in radar:
        band = facts.band(f"{slot.name.upper()}_lee")
        decibel = 10 * math.log10(float(constants["sen1"][band.index, 0, 0]))
        known = statistics["bands"][band.name]
        low = known["mean"] - 2 * known["std"]
        mean, std = (low, 4 * known["std"]) if slot.mean is None else (slot.mean, slot.std)
        assert values[slot.name].mean().item() == pytest.approx((decibel - mean) / std, rel=1e-4, abs=1e-4)


def test_every_foreign_number_has_a_source() -> None:
    """And every preset with published weights says what they are."""
    for name, preset in presets().items():
        if name in OWN:
            assert not preset.is_complete
        else:
            assert preset.sources, name
            assert (
                preset.licence or "licence of the weights: not stated" in preset.note or preset.tier == 2
            ), name
