"""A stock Trainer: our collator, and nothing of ours beside it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import load_dataset
from transformers import Trainer, TrainingArguments

from so2sat_hf.load.table import PatchTable
from so2sat_hf.vision.catalogue import preset
from so2sat_hf.vision.collate import So2SatCollator
from so2sat_hf.vision.from_scratch import scratch_model
from so2sat_hf.vision.transform import So2SatTransform

SMALL = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 64}


@pytest.mark.parametrize("kind", ["map style", "PatchTable", "streaming"])
def test_it_trains_and_evaluates(kind: str, built: Path, tmp_path: Path) -> None:
    """Over what `datasets` hands out, map style or streaming, and over a PatchTable; the loss falls."""
    s2 = preset("s2", built)
    torch.manual_seed(0)
    model = scratch_model("vit-tiny-8", s2, **SMALL)
    train: Any = load_dataset(str(built), split="train", streaming=kind == "streaming").with_format("numpy")
    validation: Any = load_dataset(str(built), split="validation").with_format("numpy")
    if kind == "PatchTable":
        train, validation = PatchTable(train), PatchTable(validation)
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        remove_unused_columns=False,
        max_steps=24,
        per_device_train_batch_size=32,
        per_device_eval_batch_size=32,
        learning_rate=3e-3,
        logging_steps=8,
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    collator = So2SatCollator(s2, transform=So2SatTransform(s2).eval())

    trainer = Trainer(model, arguments, train_dataset=train, eval_dataset=validation, data_collator=collator)
    trainer.train()

    losses = [each["loss"] for each in trainer.state.log_history if "loss" in each]
    assert losses[-1] < losses[0]
    found = trainer.predict(validation)
    assert found.predictions.shape == (90, 17)
    assert sorted(found.label_ids.tolist()) == sorted(load_dataset(str(built), split="validation")["label"])
