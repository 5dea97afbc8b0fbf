"""Presets: what a model eats, and every way to say it wrongly."""

import json
from pathlib import Path
from typing import Any

import pytest

from so2sat_hf import facts
from so2sat_hf.convert.build import build
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.source import open_source
from so2sat_hf.errors import FolderError, So2SatError
from so2sat_hf.load.files import open_place
from so2sat_hf.vision.catalogue import preset, presets, statistics_of
from so2sat_hf.vision.image_processing import So2SatImageProcessor
from so2sat_hf.vision.preset_table import from_dict
from so2sat_hf.vision.processor import image_processor, preset_of

OWN = ("rgb", "s2", "s1", "all")


def test_our_own_presets_come_first_and_show_all_their_bands() -> None:
    """In the order of the contract; rgb is red, green, blue."""
    assert tuple(presets())[:4] == OWN
    assert [slot.band for slot in preset("rgb").slots] == ["B04", "B03", "B02"]
    assert preset("s1").bands == tuple(band.name for band in facts.bands("sen1"))
    assert preset("s2").bands == tuple(band.name for band in facts.bands("sen2"))
    assert preset("all").bands == tuple(band.name for band in facts.bands())


@pytest.mark.parametrize("name", OWN)
def test_our_own_presets_take_their_numbers_from_the_data(name: str, built: Path) -> None:
    """Without data there are none, and nothing takes their place."""
    known = json.loads((built / "statistics.json").read_text())["bands"]

    found = preset(name, built)

    assert not preset(name).is_complete
    assert found.is_complete
    assert "260 rows of train" in found.statistics
    for slot in found.slots:
        assert (slot.mean, slot.std, slot.unit) == tuple(
            known[slot.band][key] for key in ("mean", "std", "unit")
        )
    with pytest.raises(So2SatError, match=f"preset {name}: no mean and deviation yet"):
        preset(name).complete()


def test_the_ranges_of_the_data_go_with_the_model(built: Path, tmp_path: Path) -> None:
    """Percentiles of Sentinel-2 in training, whatever the statistics of the preset, and after saving it."""
    known = statistics_of(open_place(built))
    for name in ("s2", "all", "prithvi-eo-2"):
        found = preset(name, built).with_ranges(known)
        assert [band for band, *_ in found.ranges] == list(found.bands_of("sen2"))
        assert all(
            (low, high) == (known["bands"][band]["p1"], known["bands"][band]["p99"])
            for band, low, high in found.ranges
        )
        assert 0 < found.ranges[0][1] < found.ranges[0][2] < 1
    found = preset("s2", built).with_ranges(known)
    image_processor(found).save_pretrained(tmp_path)
    saved = So2SatImageProcessor.from_pretrained(tmp_path)
    assert preset_of(saved) == found
    with pytest.raises(So2SatError, match=r"ranges: \['B02'\]"):
        from_dict({**found.to_dict(), "ranges": [["B02"]]})


@pytest.mark.parametrize("name", list(presets()))
def test_a_preset_survives_json(name: str) -> None:
    """What is saved with a model is the preset."""
    assert from_dict(json.loads(json.dumps(presets()[name].to_dict()))) == presets()[name]


def test_bands_are_in_stored_order_each_once(mixed: Any) -> None:
    """What a collator takes of a patch; slots have their own order."""
    assert mixed.bands == ("VH_real", "VH_lee", "VV_lee", "C12_imag", "B02", "B04", "B12")
    assert mixed.sensors == ("sen1", "sen2")
    assert mixed.bands_of("sen2") == ("B02", "B04", "B12")


def test_a_preset_of_ones_own(tmp_path: Path, built: Path) -> None:
    """A TOML file; its name is that of the file unless it says another."""
    path = tmp_path / "mine.toml"
    path.write_text('size = 64\nslots = ["B08", {band = "B04", unit = "DN", mean = 1000, std = 500}]\n')

    mine = preset(path, built)

    assert (mine.name, mine.size, mine.is_complete) == ("mine", 64, True)
    assert (mine.slots[1].mean, mine.slots[1].unit) == (1000.0, "DN")
    assert mine.slots[0].unit == "reflectance"


WRONG = {
    "unknown preset": ("no-such", "expected a TOML file, or one of rgb"),
    "unknown band": ({"slots": ["B10"]}, "band 'B10': unknown"),
    "no slots": ({"slots": []}, "no slots"),
    "slots no list": ({"slots": "B04"}, "slots 'B04'"),
    "no size": ({"slots": ["B04"], "size": None}, "size None"),
    "unit of the other sensor": ({"slots": [{"band": "B04", "unit": "dB"}]}, "expected reflectance or DN"),
    "unknown unit": ({"slots": [{"band": "B04", "unit": "dn"}]}, "unit 'dn'"),
    "two of a name": ({"slots": ["B04", "B04"]}, "two slots named B04"),
    "empty slots alone": (
        {"slots": [{"name": "B01", "unit": "DN", "fill": 0, "mean": 0, "std": 1}]},
        "empty slots alone",
    ),
    "no filler": ({"slots": ["B04", {"name": "B01", "unit": "DN", "mean": 0, "std": 1}]}, "neither a band"),
    "filler and band": ({"slots": [{"band": "B04", "fill": 0}]}, "one in an empty slot alone"),
    "mean alone": ({"slots": [{"band": "B04", "mean": 1}]}, "mean or std alone"),
    "std zero": ({"slots": [{"band": "B04", "mean": 1, "std": 0}]}, "std 0.0"),
    "not a number": ({"slots": [{"band": "B04", "mean": "1", "std": 1}]}, "expected a finite number"),
    "nan": ({"slots": [{"band": "B04", "mean": float("nan"), "std": 1}]}, "expected a finite number"),
    "no scale": ({"slots": [{"band": "B04", "unit": "brightness"}]}, "scale None"),
    "limits": ({"slots": [{"band": "B04", "limits": [1, 0]}]}, "low < high"),
    "one limit": ({"slots": [{"band": "B04", "limits": [1]}]}, "expected \\[low, high\\]"),
    "unknown key of a slot": ({"slots": [{"band": "B04", "maen": 1}]}, "unknown maen"),
    "unknown key": ({"slots": ["B04"], "sise": 3}, "unknown sise"),
    "interpolation": ({"slots": ["B04"], "interpolation": "lanczos"}, "bilinear or bicubic"),
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=list(WRONG))
def test_wrong_presets_are_one_clear_error(given: Any, message: str) -> None:
    """Each says which preset and slot, and what would be right."""
    with pytest.raises(So2SatError, match=message):
        preset(given) if isinstance(given, str) else from_dict({"name": "mine", "size": 32, **given})


def test_files_that_are_no_preset(tmp_path: Path) -> None:
    """Missing, or no TOML."""
    broken = tmp_path / "broken.toml"
    broken.write_bytes(b"slots = [\xff")

    with pytest.raises(So2SatError, match="no TOML"):
        preset(broken)
    with pytest.raises(So2SatError, match="No such file"):
        preset(tmp_path / "missing.toml")


def test_statistics_that_are_not_there(built: Path, tmp_path: Path, statistics: dict[str, Any]) -> None:
    """Of another band or unit, or a folder without any: never other numbers instead."""
    radar_alone = {"bands": {name: row for name, row in statistics["bands"].items() if name[0] != "B"}}
    other_unit = {"bands": {"B04": {"unit": "DN", "mean": 1.0, "std": 1.0}}}

    with pytest.raises(So2SatError, match="nothing about band B04"):
        preset("rgb").with_statistics(radar_alone, "test")
    with pytest.raises(So2SatError, match="in DN"):
        preset("rgb").with_statistics(other_unit, "test")
    with pytest.raises(FolderError, match=r"manifest\.json"):
        preset("rgb", tmp_path)
    build(open_source(built), tmp_path / "no-pixels", BuildOptions(columns=("id", "label")), jobs=1)
    with pytest.raises(FolderError, match=r"no statistics\.json"):
        preset("rgb", tmp_path / "no-pixels")
