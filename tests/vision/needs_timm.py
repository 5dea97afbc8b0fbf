"""What needs timm, and torchvision with it: run by test_timm.py where these can be imported."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline

from so2sat_hf import facts
from so2sat_hf.errors import So2SatError, SourceError
from so2sat_hf.vision.catalogue import preset, presets
from so2sat_hf.vision.checkpoints import convert_checkpoint
from so2sat_hf.vision.collate import So2SatCollator
from so2sat_hf.vision.image_size import resize_model
from so2sat_hf.vision.patch_embedding import adapt_patch_embedding
from so2sat_hf.vision.stock_processor import stock_image_processor
from so2sat_hf.vision.transform import So2SatTransform

TINY = {"depth": 2, "embed_dim": 32, "num_heads": 2}


def timm_vit(**options: Any) -> nn.Module:
    import timm

    torch.manual_seed(0)
    return timm.create_model("vit_small_patch16_224", **{"num_classes": 0, **TINY, **options}).eval()


@pytest.fixture
def softcon() -> Any:
    """Thirteen slots at 64 pixels."""
    return replace(presets()["softcon-s2"], size=64)


@pytest.mark.parametrize("form", ["safetensors", "torch", "moco", "dino"])
def test_a_state_dict_becomes_a_folder(form: str, softcon: Any, tmp_path: Path) -> None:
    """Every weight of the backbone arrives, whatever the training script put around it."""
    source = timm_vit(in_chans=13, img_size=64)
    state, path = source.state_dict(), tmp_path / "weights.pth"
    if form == "safetensors":
        path = tmp_path / "weights.safetensors"
        save_file(state, path)
    elif form == "torch":
        torch.save({"model": {**state, "head.weight": torch.ones(5, 32), "mask_token": torch.ones(1)}}, path)
    elif form == "moco":
        torch.save(
            {"state_dict": {f"module.base_encoder.{name}": value for name, value in state.items()}}, path
        )
    else:
        torch.save(
            {"teacher": {f"backbone.{name}": value for name, value in state.items()}, "epoch": 3}, path
        )

    folder = convert_checkpoint(
        path, tmp_path / "out", architecture="vit_small_patch16_224", preset=softcon, model_args=TINY
    )

    model, told = AutoModelForImageClassification.from_pretrained(folder, output_loading_info=True)
    pixels = torch.randn(2, 13, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.eval().timm_model.forward_features(pixels), source.forward_features(pixels))
        assert model(pixel_values=pixels).logits.shape == (2, 17)
    assert not any(told.values()), told
    assert list(model.config.id2label.values()) == facts.class_names()
    assert AutoImageProcessor.from_pretrained(folder, trust_remote_code=True).size["height"] == 64


def test_weights_of_another_size_are_interpolated(softcon: Any, tmp_path: Path) -> None:
    """Position embeddings alone; everything else is as it was."""
    source = timm_vit(in_chans=13, img_size=224)
    save_file(source.state_dict(), tmp_path / "w.safetensors")

    folder = convert_checkpoint(
        tmp_path / "w.safetensors",
        tmp_path,
        architecture="vit_small_patch16_224",
        preset=softcon,
        model_args=TINY,
    )

    found = AutoModelForImageClassification.from_pretrained(folder).timm_model.state_dict()
    assert found["pos_embed"].shape == (1, 17, 32)
    for name, value in source.state_dict().items():
        assert name == "pos_embed" or torch.equal(found[name], value), name


def test_weights_that_do_not_fit_are_named(softcon: Any, tmp_path: Path) -> None:
    """Missing, too many, of another shape, another architecture, no weights at all, a pickle."""
    state, path = timm_vit(in_chans=13, img_size=64).state_dict(), tmp_path / "w.pth"

    def convert(content: Any, architecture: str = "vit_small_patch16_224") -> None:
        torch.save(content, path)
        convert_checkpoint(path, tmp_path / "out", architecture=architecture, preset=softcon, model_args=TINY)

    with pytest.raises(SourceError, match=r"1 tensors missing, e\.g\. norm\.weight"):
        convert({name: value for name, value in state.items() if name != "norm.weight"})
    with pytest.raises(SourceError, match=r"1 tensors not part of it, e\.g\. extra"):
        convert({**state, "extra": torch.ones(1)})
    with pytest.raises(SourceError, match=r"of another shape, e\.g\. patch_embed\.proj\.weight"):
        convert(timm_vit(in_chans=12, img_size=64).state_dict())
    with pytest.raises(So2SatError, match="architecture 'vit_small_patch99': unknown to timm"):
        convert(state, "vit_small_patch99")
    with pytest.raises(SourceError, match="no tensors by name"):
        convert({"epoch": 3})
    path.write_bytes(pickle.dumps({"weight": print}, protocol=2))
    with pytest.raises(SourceError, match="cannot be read"):
        convert_checkpoint(path, tmp_path, architecture="vit_small_patch16_224", preset=softcon)
    with pytest.raises(SourceError, match="cannot be read"):
        convert_checkpoint(tmp_path / "no", tmp_path, architecture="vit_small_patch16_224", preset=softcon)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [32, 64, 96, 112, 224])
def test_wrapped_models_take_ten_bands_at_any_size(size: int, tmp_path: Path) -> None:
    """As the other families do."""
    from transformers import TimmWrapperConfig, TimmWrapperForImageClassification

    config = TimmWrapperConfig(architecture="vit_small_patch16_224", num_labels=17, model_args=TINY)
    model = TimmWrapperForImageClassification(config).eval()
    adapt_patch_embedding(model, preset("s2"))
    model = resize_model(model, size)
    pixels = torch.randn(2, 10, size, size)

    model.save_pretrained(tmp_path)
    again, told = AutoModelForImageClassification.from_pretrained(tmp_path, output_loading_info=True)

    with torch.no_grad():
        assert torch.equal(model(pixel_values=pixels).logits, again.eval()(pixel_values=pixels).logits)
    assert not any(told.values()), told


@pytest.mark.parametrize("unit", ["reflectance", "DN"])
@pytest.mark.parametrize(("size", "interpolation"), [(32, "bilinear"), (64, "bilinear"), (112, "bicubic")])
def test_the_stock_processor_gives_the_same(
    unit: str, size: int, interpolation: str, rows: list[dict[str, Any]], statistics: Any, tmp_path: Path
) -> None:
    """Saved and opened by AutoImageProcessor without remote code; in a pipeline, too."""
    s2 = preset("s2").with_statistics(statistics, "test")
    factor = 10_000 if unit == "DN" else 1
    slots = (replace(slot, unit=unit, mean=slot.mean * factor, std=slot.std * factor) for slot in s2.slots)
    s2 = replace(s2, slots=tuple(slots), size=size, interpolation=interpolation)
    stock_image_processor(s2).save_pretrained(tmp_path)

    processor = AutoImageProcessor.from_pretrained(tmp_path)

    found = processor([row["sen2"] for row in rows[:4]], return_tensors="pt")["pixel_values"]
    wanted = So2SatTransform(s2).eval()(So2SatCollator(s2)(rows[:4]))["pixel_values"]
    assert type(processor).__name__ == "ViTImageProcessor"
    assert torch.allclose(found, wanted, atol=2e-5)
    if size == 32:
        from so2sat_hf.vision.from_scratch import scratch_model

        model = scratch_model("vit-tiny-8", s2, hidden_size=32, num_attention_heads=2, num_hidden_layers=1)
        classify = pipeline("image-classification", model=model, image_processor=processor)
        answers = classify([np.asarray(row["sen2"]) for row in rows[:4]])
        assert len(answers) == 4
