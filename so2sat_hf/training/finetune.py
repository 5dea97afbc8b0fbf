"""Fine-tune an image classifier on So2Sat LCZ42: ``so2sat train``, ``python -m so2sat_hf.training.finetune``.

The best checkpoint is chosen on validation; test is looked at once, at the end.
"""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import set_seed
from transformers.trainer_utils import IntervalStrategy

from so2sat_hf import facts
from so2sat_hf.convert.lock import held
from so2sat_hf.convert.writing import drop_parts
from so2sat_hf.errors import FolderError, So2SatError
from so2sat_hf.load.place import Place
from so2sat_hf.load.resident import Resident
from so2sat_hf.load.stream import PatchStream
from so2sat_hf.training.arguments import FineTuneArguments, parse
from so2sat_hf.training.classifier import loaded
from so2sat_hf.training.data import Splits, open_data, splits_of
from so2sat_hf.training.evaluate import check_bands
from so2sat_hf.training.feed import Feed
from so2sat_hf.training.loss import class_weights
from so2sat_hf.training.optimizer import freeze_backbone
from so2sat_hf.training.options import DataArguments, ModelArguments
from so2sat_hf.training.outcome import finish, record_of
from so2sat_hf.training.run import is_finished, newest_checkpoint
from so2sat_hf.training.trainer import So2SatTrainer
from so2sat_hf.vision.augmentation import Augmentation
from so2sat_hf.vision.catalogue import preset, statistics_of, with_statistics_of
from so2sat_hf.vision.from_scratch import names, scratch_model
from so2sat_hf.vision.image_size import resize_model
from so2sat_hf.vision.patch_embedding import adapt_patch_embedding
from so2sat_hf.vision.preset import Preset
from so2sat_hf.vision.transform import So2SatTransform


def main(args: Sequence[str] | None = None) -> dict[str, float]:
    """Fine-tune; return the metrics of test.

    Args:
        args: the command line, or one JSON or YAML file with the same names.

    Raises:
        So2SatError: an argument that cannot be, or data or a model that cannot be had.
    """
    model_args, data_args, training_args = parse(sys.argv[1:] if args is None else list(args))
    out = Path(str(training_args.output_dir))
    with held(out) if training_args.process_index == 0 else nullcontext():
        return train(model_args, data_args, training_args)


def train(
    model_args: ModelArguments, data_args: DataArguments, training_args: FineTuneArguments
) -> dict[str, float]:
    """Fine-tune, or go on; return the metrics of test. One run at a time in a folder: see :func:`main`."""
    out = Path(str(training_args.output_dir))
    checkpoint = last_checkpoint(out, training_args.resume_from_checkpoint)
    if training_args.process_index == 0:
        drop_parts(out)
    with training_args.main_process_first(desc="data"):
        place = open_data(data_args.data)
        splits = splits_of(place, data_args.version, data_args.split_file, data_args.fold)
    set_seed(training_args.seed)
    found = preset_of(model_args, data_args, splits.place)
    columns = (*found.sensors, "label")
    without_validation(splits, training_args)
    trainer = So2SatTrainer(
        model_of(model_args, found),
        training_args,
        transform=So2SatTransform(found, augment=augmentation(data_args), seed=training_args.seed),
        train_dataset=train_feed(splits, found, data_args, training_args),
        eval_dataset=splits.table("validation", columns) if "validation" in splits.known else None,
        class_weights=class_weights(splits.class_counts("train"), data_args.class_weights),
        label_smoothing=data_args.label_smoothing,
        layer_decay=model_args.layer_decay,
    )
    done = trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_model()
    trainer.log_metrics("train", done.metrics)
    trainer.save_metrics("train", done.metrics)
    trainer.save_state()
    record = record_of(trainer, splits, model_args, data_args, done.metrics, is_resumed=bool(checkpoint))
    if "test" not in splits.known:
        finish(trainer, record, None, splits, data_args.data)
        return {}
    test: Any = splits.table("test", columns)
    predicted = trainer.predict(test, metric_key_prefix="test")
    trainer.log_metrics("test", predicted.metrics)
    trainer.save_metrics("test", predicted.metrics)
    finish(trainer, record, predicted, splits, data_args.data)
    return predicted.metrics or {}


def preset_of(arguments: ModelArguments, data: DataArguments, place: Place) -> Preset:
    """Return the preset with its numbers and the size of the model's input."""
    found = preset(arguments.preset)
    check_bands(found.sensors, place)
    if data.jitter and "sen2" not in found.sensors:
        raise So2SatError(
            "--jitter", found=f"no effect on preset {found.name}", expected="a preset with Sentinel-2 bands"
        )
    if not found.is_complete:
        found = with_statistics_of(found, place)
    found = found.with_ranges(statistics_of(place))
    return found if arguments.image_size is None else replace(found, size=arguments.image_size)


def model_of(arguments: ModelArguments, found: Preset) -> Any:  # noqa: ANN401
    """Return the model, with as many channels as the preset has slots and 17 classes."""
    if arguments.model in names():
        return scratch_model(arguments.model, found)
    classes = facts.class_names()
    model = loaded(
        arguments.model,
        num_labels=len(classes),
        id2label=dict(enumerate(classes)),
        label2id={name: number for number, name in enumerate(classes)},
        ignore_mismatched_sizes=True,  # the head of other classes
    )
    if getattr(model.config, "num_channels", 3) != len(found.slots) or found.name == "rgb":
        adapt_patch_embedding(model, found, arguments.init)
    model = resize_model(model, found.size)
    if arguments.freeze:
        freeze_backbone(model)
    return model


def augmentation(arguments: DataArguments) -> Augmentation:
    """Return what happens to patches in training."""
    chosen = ("flips", "band_drop", "jitter", "mixup", "cutmix")
    return Augmentation(**{name: getattr(arguments, name) for name in chosen})


def without_validation(splits: Splits, training: FineTuneArguments) -> None:
    """Take the last weights where there is no validation to choose the best on."""
    wants_it = training.load_best_model_at_end or training.eval_strategy != IntervalStrategy.NO
    if "validation" not in splits.known and wants_it:
        print(f"{splits.version} has no validation: the last weights are kept", file=sys.stderr)  # noqa: T201
        training.eval_strategy, training.load_best_model_at_end = IntervalStrategy.NO, False


def train_feed(splits: Splits, found: Preset, data: DataArguments, training: FineTuneArguments) -> Any:  # noqa: ANN401
    """Return what the Trainer takes training batches from."""
    columns = (*found.sensors, "label")
    if data.feed == "table":
        return splits.table("train", columns)
    batch_size, name = training.train_batch_size, splits.name("train")
    tail = "drop" if training.dataloader_drop_last else "pad"
    shared: dict[str, Any] = {"columns": columns, "bands": found.bands, "ids": splits.chosen("train")}
    ranks: dict[str, Any] = {"rank": training.process_index, "world_size": training.world_size}
    if data.feed == "stream":
        stream = PatchStream(
            splits.place,
            name,
            batch_size=batch_size,
            seed=training.seed,
            tail=tail,
            form="torch",
            **shared,
            **ranks,
        )
        return Feed(stream, stream.num_patches)
    resident = Resident(splits.place, name, **shared, **ranks, device=training.device)
    return Feed(
        resident.epochs(batch_size, seed=training.seed, tail=tail), len(resident) * training.world_size
    )


def last_checkpoint(out: Path, wanted: str | None) -> str | None:
    """Return the checkpoint to go on from: the one named, or the last one of an interrupted run.

    Raises:
        FolderError: the folder holds a finished run.
    """
    if wanted is not None:
        return wanted
    if is_finished(out):
        raise FolderError(
            out, found="a finished run", expected="an empty folder, or an interrupted run to go on with",
            remedy="choose another --output_dir, or remove it",
        )  # fmt: skip
    found = newest_checkpoint(out)
    return None if found is None else str(found)


if __name__ == "__main__":
    main()
