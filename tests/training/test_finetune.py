"""The script: from a folder to a model and its test, and what it refuses before anything begins."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from trained import train_args
from transformers import AutoImageProcessor, AutoModelForImageClassification

from so2sat_hf.errors import FolderError, So2SatError
from so2sat_hf.training.finetune import main, parse


@pytest.mark.parametrize("feed", ["table", "stream", "resident"])
def test_from_a_folder_to_a_tested_model(feed: str, shards: Path, tmp_path: Path) -> None:
    """Trained, chosen on validation, tested once; the folder opens without this package's classes."""
    metrics = main(train_args(shards, tmp_path / "run", feed=feed, mixup=0.2, class_weights="sqrt"))

    assert 0 < metrics["test_oa"] < 1
    saved = json.loads((tmp_path / "run" / "test_results.json").read_text())
    assert saved["test_kappa"] == metrics["test_kappa"]
    model = AutoModelForImageClassification.from_pretrained(tmp_path / "run")
    processor = AutoImageProcessor.from_pretrained(tmp_path / "run", trust_remote_code=True)
    pixels = processor(torch.rand(10, 32, 32), return_tensors="pt")
    assert model(**pixels).logits.shape == (1, 17)
    assert json.loads((tmp_path / "run" / "so2sat.json").read_text())["preset"]["name"] == "rgb"
    with pytest.raises(FolderError, match="a finished run"):
        main(train_args(shards, tmp_path / "run", feed=feed))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "feed": ({"feed": "disk"}, "--feed: disk; expected table or stream or resident"),
    "freeze": ({"freeze": True}, "--freeze: a model from scratch"),
    "init": ({"init": "mean"}, "--init: no effect"),
    "layer decay": ({"layer_decay": 0}, "--layer_decay: 0.0"),
    "smoothing": ({"label_smoothing": 1}, "--label_smoothing: 1.0"),
    "theirs": ({"label_smoothing_factor": 0.1}, "--label_smoothing_factor: no effect"),
    "weights": ({"class_weights": "cube"}, "--class_weights: cube; expected none or inverse or sqrt"),
    "mixup": ({"mixup": -1}, "--mixup: -1.0"),
    "size": ({"image_size": 4}, "--image_size: 4"),
    "workers": ({"feed": "stream", "dataloader_num_workers": 2}, "no effect on --feed stream"),
    "decay of frozen": (
        {"model": "some/model", "freeze": True, "layer_decay": 0.5},
        "--layer_decay: no effect; expected no --freeze",
    ),
    "transformers": ({"eval_strategy": "sometimes"}, "arguments: .*sometimes"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_arguments_that_cannot_be(what: str, tmp_path: Path) -> None:
    """Said before data are looked at."""
    options, message = REFUSED[what]
    with pytest.raises(So2SatError, match=message):
        parse(train_args(tmp_path, tmp_path / "run", **options))


def test_models_and_data_that_are_not_there(shards: Path, tmp_path: Path) -> None:
    """One line each."""
    with pytest.raises(FolderError, match=r"manifest\.json"):
        main(train_args(tmp_path, tmp_path / "run"))
    with pytest.raises(So2SatError, match="cannot be loaded"):
        main(train_args(shards, tmp_path / "run", model=str(tmp_path / "nothing")))
