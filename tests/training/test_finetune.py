"""The script: from a folder to a model and its test, and what it refuses before anything begins."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoImageProcessor, AutoModelForImageClassification

from so2sat_hf.convert.build import build
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.errors import FolderError, So2SatError
from so2sat_hf.training.finetune import main, parse


@pytest.fixture(scope="module")
def shards(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finetune") / "shards"
    build(source, folder, BuildOptions(file_format="arrow", sen2_dtype="uint16"), jobs=1)
    return folder


def args(shards: Path, out: Path, **options: Any) -> list[str]:
    known = {
        "model": "vit-tiny-8", "preset": "rgb", "per_device_train_batch_size": 64, "num_train_epochs": 1,
        "use_cpu": True, "disable_tqdm": True,
    }  # fmt: skip
    pairs = ({"data": shards, "output_dir": out} | known | options).items()
    return [text for name, value in pairs for text in (f"--{name}", str(value))]


@pytest.mark.parametrize("feed", ["table", "stream", "resident"])
def test_from_a_folder_to_a_tested_model(feed: str, shards: Path, tmp_path: Path) -> None:
    """Trained, chosen on validation, tested once; the folder opens without this package's classes."""
    metrics = main(args(shards, tmp_path / "run", feed=feed, mixup=0.2, class_weights="sqrt"))

    assert 0 < metrics["test_oa"] < 1
    saved = json.loads((tmp_path / "run" / "test_results.json").read_text())
    assert saved["test_kappa"] == metrics["test_kappa"]
    model = AutoModelForImageClassification.from_pretrained(tmp_path / "run")
    processor = AutoImageProcessor.from_pretrained(tmp_path / "run", trust_remote_code=True)
    pixels = processor(torch.rand(10, 32, 32), return_tensors="pt")
    assert model(**pixels).logits.shape == (1, 17)
    assert json.loads((tmp_path / "run" / "so2sat.json").read_text())["preset"]["name"] == "rgb"
    with pytest.raises(FolderError, match="a finished run"):
        main(args(shards, tmp_path / "run", feed=feed))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "feed": ({"feed": "disk"}, "--feed: disk; expected table or stream or resident"),
    "freeze": ({"freeze": True}, "--freeze: a model from scratch"),
    "init": ({"init": "mean"}, "--init: no effect"),
    "layer decay": ({"layer_decay": 0}, "--layer_decay: 0.0"),
    "smoothing": ({"label_smoothing": 1}, "--label_smoothing: 1.0"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_arguments_that_cannot_be(what: str, tmp_path: Path) -> None:
    """Said before data are looked at."""
    options, message = REFUSED[what]
    with pytest.raises(So2SatError, match=message):
        parse(args(tmp_path, tmp_path / "run", **options))


def test_models_and_data_that_are_not_there(shards: Path, tmp_path: Path) -> None:
    """One line each."""
    with pytest.raises(FolderError, match=r"manifest\.json"):
        main(args(tmp_path, tmp_path / "run"))
    with pytest.raises(So2SatError, match="cannot be loaded"):
        main(args(shards, tmp_path / "run", model=str(tmp_path / "nothing")))
