"""What a training leaves: the record of how the model came about, its report and its card."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import torch

from so2sat_hf import __version__
from so2sat_hf.errors import So2SatError
from so2sat_hf.training.data import Splits
from so2sat_hf.training.evaluate import PAGE, about_of, write_report
from so2sat_hf.training.options import DataArguments, ModelArguments
from so2sat_hf.training.predictions import Predictions
from so2sat_hf.training.run import libraries, write_card, write_record
from so2sat_hf.training.trainer import So2SatTrainer
from so2sat_hf.vision.from_scratch import names

RECORDED = (
    "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps",
    "learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "optim", "seed", "bf16", "fp16",
    "torch_compile",
)  # fmt: skip
"""What of TrainingArguments a card tells."""

NOT_RECORDED = ("model", "data", "version", "split_file", "fold", "preset")
"""What of our options the record tells apart from the others."""


def record_of(
    trainer: So2SatTrainer,
    splits: Splits,
    model: ModelArguments,
    data: DataArguments,
    done: Mapping[str, float],
    *,
    is_resumed: bool,
) -> dict[str, Any]:
    """Return how a model came about, as plain values.

    Args:
        trainer: that has trained.
        splits: of the data.
        model: its options.
        data: their options.
        done: metrics of the training.
        is_resumed: it was interrupted before; nobody knows how long it took then.
    """
    args, state, place = trainer.args, trainer.state, splits.place
    metric, step = str(args.metric_for_best_model), state.best_global_step
    best = {"metric": metric, "value": state.best_metric, "step": step}
    options = {name: value for name, value in {**vars(model), **vars(data)}.items() if value is not None}
    rates = [line["patches_per_second"] for line in state.log_history if "patches_per_second" in line]
    network: Any = trainer.model
    return {
        "so2sat_hf": __version__,
        "name": Path(str(args.output_dir)).name,
        "model": {
            "base": model.model, "scratch": model.model in names(), "architecture": type(network).__name__,
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
        },
        "data": {
            "name": splits.name_of_data, "digest": place.digest, "format": place.manifest.format_version,
            "version": splits.version, "rows": place.manifest.num_rows,
            "splits": {split: splits.rows(split) for split in splits.known},
        },
        "preset": trainer.transform.preset.to_dict(),
        "arguments": {
            **{name: getattr(args, name) for name in RECORDED},
            "devices": args.world_size,
            **{name: value for name, value in options.items() if name not in NOT_RECORDED},
        },
        "best": best if args.load_best_model_at_end and state.best_metric is not None else None,
        "seconds": None if is_resumed else done["train_runtime"],
        "patches_per_second": median(rates) if rates else None,
        "device": device_name(args.device),
        "libraries": libraries(),
    }  # fmt: skip


def device_name(device: Any) -> str:  # noqa: ANN401
    """Return what a model was trained on, for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{os.cpu_count()} CPU cores" if device.type == "cpu" else str(device)


def finish(
    trainer: So2SatTrainer,
    record: dict[str, Any],
    predicted: Any,  # noqa: ANN401
    splits: Splits,
    data: str,
) -> None:
    """Write how the model came about, its report and its card, and say what comes next; one process does."""
    if not trainer.is_world_process_zero():
        return
    out = Path(str(trainer.args.output_dir))
    write_record(out, record)
    if predicted is not None:
        rows = splits.rows_of("test")
        if list(predicted.label_ids) != rows.label.tolist():
            raise So2SatError("test", found="predictions in another order", expected="that of the files")
        probabilities = torch.softmax(torch.from_numpy(predicted.predictions).float(), dim=-1).numpy()
        about = about_of(trainer.model, out.name, trainer.transform.preset, splits, "test")
        write_report(Predictions(rows, probabilities), about, splits.place, out)
    write_card(out)
    print(out / PAGE if predicted is not None else out)  # noqa: T201 (where to look)
    print(next_steps(out, trainer.transform.preset.sensors, data), file=sys.stderr)  # noqa: T201


def next_steps(out: Path, sensors: tuple[str, ...], data: str) -> str:
    """Return what can be done with a model, as commands."""
    steps = [f"so2sat evaluate {out} --data {data} --split validation"]
    if sensors == ("sen2",):
        steps.append(f"so2sat map {out} SCENE city.tif")
    steps.append(f"so2sat push {out} OWNER/NAME")
    return "Next: " + "\n      ".join(steps)
