"""The processor that is saved with a model: its numbers are those of the transform, its code stands alone."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor, ViTConfig, ViTForImageClassification, pipeline

from so2sat_hf import facts
from so2sat_hf.errors import So2SatError
from so2sat_hf.vision.catalogue import preset, presets
from so2sat_hf.vision.collate import So2SatCollator
from so2sat_hf.vision.image_processing import So2SatImageProcessor
from so2sat_hf.vision.preset import Preset
from so2sat_hf.vision.processor import image_processor, preset_of
from so2sat_hf.vision.transform import So2SatTransform


@pytest.fixture
def sized(mixed: Preset) -> Preset:
    return replace(mixed, size=64)


@pytest.fixture
def model(sized: Preset, tmp_path: Path) -> ViTForImageClassification:
    """A tiny model of its own, saved with its processor."""
    torch.manual_seed(0)
    config = ViTConfig(
        num_channels=len(sized.slots),
        image_size=64,
        patch_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        id2label=dict(enumerate(facts.class_names())),
        label2id={name: number for number, name in enumerate(facts.class_names())},
        initializer_range=0.5,
    )
    model = ViTForImageClassification(config).eval()
    model.save_pretrained(tmp_path / "model")
    image_processor(sized).save_pretrained(tmp_path / "model")
    return model


def test_its_logits_are_those_of_the_transform(
    model: ViTForImageClassification, sized: Preset, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    """After saving and loading through AutoImageProcessor, which runs the saved code."""
    processor = AutoImageProcessor.from_pretrained(tmp_path / "model", trust_remote_code=True)
    batch = So2SatTransform(sized).eval()(So2SatCollator(sized)(rows))

    found = processor(rows, return_tensors="pt")

    assert type(processor).__module__.startswith("transformers_modules")
    with torch.no_grad():
        difference = model(**found).logits - model(pixel_values=batch["pixel_values"]).logits
        assert model(**found).logits.std() > 0.1
    assert difference.abs().max() <= 1e-5


@pytest.mark.parametrize("name", [name for name, each in presets().items() if len(each.inputs) == 1])
def test_every_preset_comes_back_from_its_processor(
    name: str, rows: list[dict[str, Any]], statistics: dict[str, Any], tmp_path: Path
) -> None:
    """Saved and loaded, with the pixels of the transform."""
    found = (
        presets()[name] if presets()[name].is_complete else preset(name).with_statistics(statistics, "test")
    )
    found = replace(found, size=min(found.size, 48))
    image_processor(found).save_pretrained(tmp_path)

    processor = So2SatImageProcessor.from_pretrained(tmp_path)

    kept = preset_of(processor)
    assert (kept.slots, kept.size, kept.bands) == (found.slots, found.size, found.bands)
    assert (kept.name, kept.statistics, kept.interpolation) == (
        found.name,
        found.statistics,
        found.interpolation,
    )
    batch = So2SatTransform(kept).eval()(So2SatCollator(found)(rows[:4]))
    given = [{sensor: row[sensor] for sensor in facts.SENSORS} for row in rows[:4]]
    pixels = processor(given, return_tensors="pt")["pixel_values"]
    assert torch.allclose(pixels, batch[found.inputs[0]], atol=1e-6)


def test_the_pipeline_answers_every_patch(
    model: ViTForImageClassification, sized: Preset, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    """A list of arrays, one by one or in batches; a 4-D array is refused, since one answer would come."""
    classify = pipeline("image-classification", model=str(tmp_path / "model"), trust_remote_code=True)
    patches = [np.concatenate([row["sen1"], row["sen2"]]) for row in rows[:5]]
    with torch.no_grad():
        batch = So2SatTransform(sized).eval()(So2SatCollator(sized)(rows[:5]))
        best = model(pixel_values=batch["pixel_values"]).logits.argmax(1)

    answers = classify(patches, batch_size=2)

    assert [answer[0]["label"] for answer in answers] == [facts.class_names()[number] for number in best]
    assert classify(torch.from_numpy(patches[3]))[0] == pytest.approx(answers[3][0])
    assert classify(np.stack(patches)[:1])[0] == pytest.approx(answers[0][0])
    with pytest.raises(ValueError, match="4-D array of 5 patches"):
        classify(np.stack(patches))


FORMS = {
    "bands of the preset": lambda row, bands: np.stack(
        [row[facts.band(name).sensor][facts.band(name).index] for name in bands]
    ),
    "all bands": lambda row, bands: np.concatenate([row["sen1"], row["sen2"]]),
    "tensor": lambda row, bands: torch.from_numpy(np.concatenate([row["sen1"], row["sen2"]])),
    "float64": lambda row, bands: np.concatenate([row["sen1"], row["sen2"]]).astype(np.float64),
    "lists": lambda row, bands: np.concatenate([row["sen1"], row["sen2"]]).tolist(),
    "row": lambda row, bands: row,
    "row, digital numbers": lambda row, bands: {
        "sen1": row["sen1"],
        "sen2": np.round(row["sen2"] * 10_000).astype(np.uint16),
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_patches_in_every_form(form: str, sized: Preset, rows: list[dict[str, Any]]) -> None:
    """One patch or a list of them."""
    processor = image_processor(sized)
    given = [FORMS[form](row, sized.bands) for row in rows[:3]]

    found = processor(given, return_tensors="pt")["pixel_values"]

    wanted = So2SatTransform(sized).eval()(So2SatCollator(sized)(rows[:3]))["pixel_values"]
    assert torch.allclose(found, wanted, atol=1e-6)
    assert torch.allclose(processor(given[0], return_tensors="pt")["pixel_values"], wanted[:1], atol=1e-6)
    assert np.allclose(processor(given, return_tensors="np")["pixel_values"], wanted, atol=1e-6)
    assert len(processor(given)["pixel_values"]) == 3


def test_one_sensor_alone(rows: list[dict[str, Any]], statistics: dict[str, Any]) -> None:
    """All ten bands where three are wanted; also as digital numbers."""
    processor = image_processor(preset("rgb").with_statistics(statistics, "test"))

    found = processor(rows[0]["sen2"], return_tensors="pt")["pixel_values"]

    three = processor(rows[0]["sen2"][:3], return_tensors="pt")["pixel_values"]
    digital = processor(np.round(rows[0]["sen2"] * 10_000).astype(np.uint16), return_tensors="pt")[
        "pixel_values"
    ]
    assert torch.equal(found, three)
    assert torch.allclose(found, digital, atol=1e-5)


WRONG = {
    "channels last": (lambda row: row["sen2"].transpose(1, 2, 0), r"patch of shape \(32, 32, 10\): expected"),
    "one band": (lambda row: row["sen2"][0], r"expected numbers|patch of shape \(32, 32\)"),
    "no radar": (lambda row: {"sen2": row["sen2"]}, "row with sen2: expected sen1, too"),
    "whole radar": (
        lambda row: {"sen1": row["sen1"].astype(np.int16), "sen2": row["sen2"]},
        "sen1 in whole numbers",
    ),
    "no patches": (lambda row: [], "no patches"),
    "text": (lambda row: "patch.png", "expected numbers"),
    "sizes differ": (
        lambda row: [row, {"sen1": row["sen1"][:, :8, :8], "sen2": row["sen2"][:, :8, :8]}],
        "alike",
    ),
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=list(WRONG))
def test_what_is_no_patch_is_refused(
    given: Any, message: str, sized: Preset, rows: list[dict[str, Any]]
) -> None:
    """With what it is and what was expected."""
    with pytest.raises(ValueError, match=message):
        image_processor(sized)(given(rows[0]))


def test_it_stands_alone(sized: Preset, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    """Where this package is not installed, the saved folder works all the same."""
    image_processor(sized).save_pretrained(tmp_path / "model")
    np.save(tmp_path / "patch.npy", np.concatenate([rows[0]["sen1"], rows[0]["sen2"]]))
    code = f"""
import sys
sys.modules["so2sat_hf"] = None  # nobody may import it
import numpy
from transformers import AutoImageProcessor
processor = AutoImageProcessor.from_pretrained({str(tmp_path / "model")!r}, trust_remote_code=True)
pixels = processor(numpy.load({str(tmp_path / "patch.npy")!r}), return_tensors="np")["pixel_values"]
numpy.save({str(tmp_path / "pixels.npy")!r}, pixels)
"""
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf-home")}

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )

    assert done.returncode == 0, done.stderr
    wanted = So2SatTransform(sized).eval()(So2SatCollator(sized)(rows[:1]))["pixel_values"]
    assert np.allclose(np.load(tmp_path / "pixels.npy"), wanted, atol=1e-6)


def test_what_cannot_be_saved_is_refused(sized: Preset) -> None:
    """No numbers, several inputs, or a processor of somebody else."""
    two = replace(sized, slots=tuple(replace(slot, input=slot.name) for slot in sized.slots))
    with pytest.raises(So2SatError, match="no mean and deviation"):
        image_processor(preset("s2"))
    with pytest.raises(So2SatError, match="inputs B04, B01"):
        image_processor(two)
    with pytest.raises(So2SatError, match="no slots of a preset"):
        preset_of(object())


def test_the_saved_numbers_are_plain(sized: Preset, tmp_path: Path) -> None:
    """A person reads which band goes where, and where the statistics come from."""
    image_processor(sized).save_pretrained(tmp_path)

    plain = json.loads((tmp_path / "preprocessor_config.json").read_text())

    assert plain["slots"][3] == {
        "name": "VV_lee",
        "band": "VV_lee",
        "unit": "dB",
        "mean": -12.0,
        "std": 5.0,
        "wavelength_nm": facts.band("VV_lee").wavelength_nm,
        "input": "pixel_values",
    }
    assert plain["preset"]["statistics"] == "test"
    assert plain["size"] == {"height": 64, "width": 64}
