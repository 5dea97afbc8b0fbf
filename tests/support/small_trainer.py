"""What a small Trainer needs: a dataset, arguments, the weights to compare."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import load_dataset
from torch import nn
from transformers import TrainingArguments

from so2sat_hf.convert.build import build
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.load.table import PatchTable

BATCH = 32
COLUMNS = ("sen2", "label")
SMALL = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 64}


@pytest.fixture(scope="module")
def built(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "out"
    build(source, folder, jobs=1)
    return folder


def arguments(folder: Path, **options: Any) -> TrainingArguments:
    known = {
        "output_dir": str(folder), "per_device_train_batch_size": BATCH, "per_device_eval_batch_size": BATCH,
        "learning_rate": 1e-3, "num_train_epochs": 2, "save_strategy": "no", "logging_steps": 4,
        "use_cpu": True, "disable_tqdm": True, "seed": 5,
    }  # fmt: skip
    return TrainingArguments(**known | options)


def table(built: Path, split: str) -> PatchTable:
    return PatchTable(load_dataset(str(built), split=split), columns=COLUMNS)


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}
