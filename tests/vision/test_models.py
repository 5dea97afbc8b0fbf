"""Models with as many channels as a preset has slots, at any size they allow, saved and loaded."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_models import CONFIGS, tiny
from transformers import AutoModelForImageClassification, ViTForImageClassification

from so2sat_hf import facts
from so2sat_hf.errors import So2SatError
from so2sat_hf.vision.catalogue import preset, presets
from so2sat_hf.vision.from_scratch import names, scratch_config, scratch_model
from so2sat_hf.vision.image_size import resize_model
from so2sat_hf.vision.patch_embedding import INITS, adapt_patch_embedding, first_convolution
from so2sat_hf.vision.preset_table import from_dict

SIZES = (32, 64, 96, 112, 224)
REFUSED = {
    "dinov2": {32: "a multiple of 14, such as 28", 64: "such as 56", 96: "such as 84"},
    "dinov2_with_registers": {32: "a multiple of 14, such as 28", 64: "such as 56", 96: "such as 84"},
    "swin": {32: "does not allow this size; expected one of 64, 96"},
    "hiera": {112: "does not allow this size; expected one of 32, 64"},
}


def slots_of(bands):
    """A slot for each band, in the unit in which a model should see it."""
    return from_dict({"name": "mine", "size": 32, "slots": list(bands)}).slots


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", CONFIGS)
def test_ten_bands_at_any_size_survive_saving(family: str, size: int, tmp_path: Path) -> None:
    """The same logits to the bit from `from_pretrained` alone; or one sentence with the sizes that work."""
    model = tiny(family)
    adapt_patch_embedding(model, preset("s2"))
    if size in REFUSED.get(family, {}):
        with pytest.raises(So2SatError, match=REFUSED[family][size]):
            resize_model(model, size)
        return
    model = resize_model(model, size)
    pixels = torch.randn(2, 10, size, size)

    model.save_pretrained(tmp_path)
    again, told = AutoModelForImageClassification.from_pretrained(tmp_path, output_loading_info=True)

    with torch.no_grad():
        assert torch.equal(model(pixel_values=pixels).logits, again.eval()(pixel_values=pixels).logits)
    assert not any(told.values()), told


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("family", CONFIGS)
def test_kernels_of_the_new_channels(family: str, init: str) -> None:
    """Red, green and blue keep theirs by name; the response to gray stays as it was; saving is exact."""
    model, bands = tiny(family), preset("s2")
    old = first_convolution(model)[1].weight.clone()

    torch.manual_seed(1)
    adapt_patch_embedding(model, bands, init)

    new = first_convolution(model)[1].weight
    red, green, blue = ([slot.band for slot in bands.slots].index(band) for band in ("B04", "B03", "B02"))
    assert new.shape[1] == 10
    if init == "named":
        assert torch.equal(new[:, [red, green, blue]], old * 0.3)
        assert torch.allclose(new[:, 3], old.mean(1) * 0.3)
    if init == "repeat":
        assert torch.equal(new, torch.cat([old, old, old, old[:, :1]], dim=1) * 0.3)
    if init == "mean":
        assert torch.allclose(new.sum(1), old.sum(1), atol=1e-5)
    if init == "random":
        assert torch.isin(new, old).float().mean() < 0.01
        again = tiny(family)
        torch.manual_seed(1)
        adapt_patch_embedding(again, bands, init)
        assert torch.equal(new, first_convolution(again)[1].weight)
        assert 0.005 < new.std() < 0.1


@pytest.mark.parametrize("family", CONFIGS)
def test_red_green_and_blue_change_nothing(family: str) -> None:
    """The preset of the checkpoint itself: the same logits, in the order of the checkpoint."""
    model, pixels = tiny(family), torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        before = model(pixel_values=pixels).logits

        adapt_patch_embedding(model, preset("rgb"))

        assert torch.equal(model(pixel_values=pixels).logits, before)
        turned = replace(preset("rgb"), slots=slots_of(["B02", "B03", "B04"]))
        adapt_patch_embedding(model, turned)
        assert torch.allclose(model(pixel_values=pixels.flip(1)).logits, before, atol=1e-5)


def test_a_checkpoint_with_thirteen_bands() -> None:
    """Its kernels are found by band, and by name where a slot is empty in both."""
    source, model = presets()["softcon-s2"], tiny("vit", num_channels=13)
    old = first_convolution(model)[1].weight.clone()

    adapt_patch_embedding(model, preset("s2"), source=source)

    shown = [number for number, slot in enumerate(source.slots) if slot.band]
    assert torch.allclose(first_convolution(model)[1].weight, old[:, shown] * 1.3)
    adapt_patch_embedding(tiny("vit", num_channels=13), presets()["ssl4eo-s12-s2"], source=source)
    model = tiny("vit", num_channels=13)
    adapt_patch_embedding(model, presets()["ssl4eo-s12-s2"], source=source)
    assert torch.equal(first_convolution(model)[1].weight, old)


def test_what_cannot_be_adapted_is_named() -> None:
    """Several inputs, an unknown way, a source of other bands."""
    with pytest.raises(So2SatError, match="inputs x_optical, x_sar; expected one input"):
        adapt_patch_embedding(tiny("vit"), presets()["croma"])
    with pytest.raises(So2SatError, match="init: 'zero'; expected named or repeat"):
        adapt_patch_embedding(tiny("vit"), preset("s2"), "zero")
    with pytest.raises(So2SatError, match="model vit: 13 channels; expected 3, the slots of its source"):
        adapt_patch_embedding(tiny("vit", num_channels=13), preset("s2"))


def test_position_embeddings_keep_class_token_and_corners() -> None:
    """Interpolated once; the class token stays, and a smooth field stays smooth."""
    model = tiny("vit")
    ramp = torch.linspace(-1, 1, 14)
    field = ramp[:, None] + 2 * ramp[None, :]
    positions = model.vit.embeddings.position_embeddings
    with torch.no_grad():
        positions[0, 1:] = field.reshape(-1, 1)

    small = resize_model(model, 112).vit.embeddings.position_embeddings

    grid = small[0, 1:, 0].reshape(7, 7)
    assert torch.equal(small[0, 0], positions[0, 0])
    assert torch.allclose(grid[3, 3], torch.tensor(0.0), atol=1e-5)
    assert (grid.diff(dim=1) > 0).all()
    assert (grid.diff(dim=0) > 0).all()


# ---- from scratch


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("bands", [("VV_lee", "VH_lee"), tuple(band.name for band in facts.bands())])
def test_models_from_scratch_are_plain_vits(name: str, bands: tuple[str, ...]) -> None:
    """2 to 18 bands at 32 pixels; sizes as published; labels of the dataset."""
    preset_of_bands = replace(preset("all"), name="mine", slots=slots_of(bands))

    config = scratch_config(name, preset_of_bands)

    assert (config.model_type, config.image_size, config.num_channels) == ("vit", 32, len(bands))
    assert config.patch_size == int(name[-1])
    assert config.hidden_size // config.num_attention_heads == 64
    assert config.id2label[16] == "Water"
    assert config.num_labels == 17


def test_a_model_from_scratch_learns_to_answer(tmp_path: Path) -> None:
    """Its size is that of the published one; anybody loads it."""
    torch.manual_seed(0)
    model = scratch_model("vit-tiny-8", preset("s2"))

    model.save_pretrained(tmp_path)

    assert 5.3e6 < model.num_parameters() < 5.6e6
    again = ViTForImageClassification.from_pretrained(tmp_path)
    assert again(pixel_values=torch.zeros(1, 10, 32, 32)).logits.shape == (1, 17)
    assert len(names()) == 6
    with pytest.raises(So2SatError, match="model 'vit-huge-8': unknown; expected one of vit-tiny-8"):
        scratch_model("vit-huge-8", preset("s2"))
    with pytest.raises(So2SatError, match="size 36, inputs pixel_values; expected a multiple of 8"):
        scratch_model("vit-tiny-8", replace(preset("s2"), size=36))
