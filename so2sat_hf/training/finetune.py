"""Fine-tune an image classifier on So2Sat LCZ42: ``so2sat train``, ``python -m so2sat_hf.training.finetune``.

The best checkpoint is chosen on validation; test is looked at once, at the end.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoModelForImageClassification, HfArgumentParser, set_seed
from transformers.trainer_utils import get_last_checkpoint

from so2sat_hf import facts
from so2sat_hf.errors import FolderError, So2SatError
from so2sat_hf.load.files import open_place
from so2sat_hf.load.place import Place
from so2sat_hf.load.resident import Resident
from so2sat_hf.load.stream import PatchStream
from so2sat_hf.load.table import PatchTable
from so2sat_hf.training.arguments import DataArguments, FineTuneArguments, ModelArguments
from so2sat_hf.training.feed import Feed
from so2sat_hf.training.loss import class_weights
from so2sat_hf.training.optimizer import freeze_backbone
from so2sat_hf.training.trainer import So2SatTrainer
from so2sat_hf.vision.augmentation import Augmentation
from so2sat_hf.vision.catalogue import preset, with_statistics_of
from so2sat_hf.vision.from_scratch import names, scratch_model
from so2sat_hf.vision.image_size import resize_model
from so2sat_hf.vision.patch_embedding import adapt_patch_embedding
from so2sat_hf.vision.preset import Preset
from so2sat_hf.vision.transform import So2SatTransform

FEEDS = ("table", "stream", "resident")


def main(args: Sequence[str] | None = None) -> dict[str, float]:
    """Fine-tune; return the metrics of test.

    Args:
        args: the command line, or one JSON or YAML file with the same names.

    Raises:
        So2SatError: an argument that cannot be, or data or a model that cannot be had.
    """
    model_args, data_args, training_args = parse(sys.argv[1:] if args is None else list(args))
    place = open_place(data_args.data)
    set_seed(training_args.seed)
    found = preset_of(model_args, place)
    trainer = So2SatTrainer(
        model_of(model_args, found),
        training_args,
        transform=So2SatTransform(found, augment=augmentation(data_args), seed=training_args.seed),
        train_dataset=train_feed(place, found, data_args, training_args),
        eval_dataset=table(place, "validation", found) if "validation" in place.manifest.splits else None,
        class_weights=class_weights(place.manifest.splits["train"].class_counts, data_args.class_weights),
        label_smoothing=data_args.label_smoothing,
        layer_decay=model_args.layer_decay,
    )
    out = Path(str(training_args.output_dir))
    done = trainer.train(resume_from_checkpoint=last_checkpoint(out, training_args.resume_from_checkpoint))
    trainer.save_model()
    trainer.log_metrics("train", done.metrics)
    trainer.save_metrics("train", done.metrics)
    trainer.save_state()
    write_data_of(out, place, found)
    if "test" not in place.manifest.splits:
        return {}
    test: Any = table(place, "test", found)
    metrics = trainer.predict(test, metric_key_prefix="test").metrics or {}
    trainer.log_metrics("test", metrics)
    trainer.save_metrics("test", metrics)
    return metrics


def parse(args: list[str]) -> tuple[ModelArguments, DataArguments, FineTuneArguments]:
    """Read the command line, or one file.

    Raises:
        So2SatError: a flag that has no effect, or a value that cannot be.
    """
    parser = HfArgumentParser((ModelArguments, DataArguments, FineTuneArguments))  # type: ignore[arg-type]
    if len(args) == 1 and args[0].endswith((".json", ".yaml", ".yml")):
        read = parser.parse_json_file if args[0].endswith(".json") else parser.parse_yaml_file
        parsed: Any = read(args[0])
    else:
        parsed = parser.parse_args_into_dataclasses(args)
    model_args, data_args, training_args = parsed
    is_scratch = model_args.model in names()
    rules = (
        (data_args.feed in FEEDS, "--feed", data_args.feed, " or ".join(FEEDS)),
        (not (is_scratch and model_args.freeze), "--freeze", "a model from scratch", "a pretrained model"),
        (not (is_scratch and model_args.init != "named"), "--init", "no effect", "a pretrained model"),
        (0 < model_args.layer_decay <= 1, "--layer_decay", f"{model_args.layer_decay}", "above 0, at most 1"),
        (
            0 <= data_args.label_smoothing < 1,
            "--label_smoothing",
            f"{data_args.label_smoothing}",
            "0 to below 1",
        ),
    )
    for is_right, name, found, expected in rules:
        if not is_right:
            raise So2SatError(name, found=str(found), expected=expected)
    return model_args, data_args, training_args


def preset_of(arguments: ModelArguments, place: Place) -> Preset:
    """Return the preset with its numbers and the size of the model's input."""
    found = preset(arguments.preset)
    missing = [sensor for sensor in found.sensors if sensor not in place.manifest.columns]
    if missing:
        raise So2SatError(
            place.name, found=f"no {missing[0]}", expected=f"what preset {found.name} shows",
            remedy="take another preset, or data with both sensors",
        )  # fmt: skip
    if not found.is_complete:
        found = with_statistics_of(found, place)
    return found if arguments.image_size is None else replace(found, size=arguments.image_size)


def model_of(arguments: ModelArguments, found: Preset) -> Any:  # noqa: ANN401
    """Return the model, with as many channels as the preset has slots and 17 classes."""
    if arguments.model in names():
        return scratch_model(arguments.model, found)
    classes = facts.class_names()
    try:
        model = AutoModelForImageClassification.from_pretrained(
            arguments.model,
            num_labels=len(classes),
            id2label=dict(enumerate(classes)),
            label2id={name: number for number, name in enumerate(classes)},
            ignore_mismatched_sizes=True,  # the head of other classes
        )
    except (OSError, ValueError) as error:
        raise So2SatError(
            f"model {arguments.model!r}",
            found=f"cannot be loaded ({str(error).strip().splitlines()[0]})",
            expected="a folder or Hub id of an image classifier, or one of " + ", ".join(names()),
        ) from error
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


def columns(found: Preset) -> tuple[str, ...]:
    """Return the columns that are read."""
    return (*found.sensors, "label")


def table(place: Place, split: str, found: Preset) -> PatchTable:
    """Return a split, any patch by number: Arrow shards mapped, Parquet through the cache of datasets."""
    if place.manifest.file_format == "arrow" and Path(place.name).is_dir():
        return PatchTable(place.name, split, columns=columns(found))
    from datasets import load_dataset  # noqa: PLC0415 (seconds; not needed for Arrow shards)

    repo_id, _, revision = place.name.partition("@")
    options = {"revision": revision} if revision else {}
    return PatchTable(load_dataset(repo_id, split=split, **options), columns=columns(found))


def train_feed(place: Place, found: Preset, data: DataArguments, training: FineTuneArguments) -> Any:  # noqa: ANN401
    """Return what the Trainer takes training batches from."""
    if data.feed == "table":
        return table(place, "train", found)
    batch_size, bands = training.train_batch_size, found.bands
    shared: dict[str, Any] = {"columns": columns(found), "bands": bands}
    ranks: dict[str, Any] = {"rank": training.process_index, "world_size": training.world_size}
    if data.feed == "stream":
        stream = PatchStream(
            place, batch_size=batch_size, seed=training.seed, form="torch", **shared, **ranks
        )
        return Feed(stream, stream.num_patches)
    resident = Resident(place, **shared, **ranks, device=training.device)
    return Feed(resident.epochs(batch_size, seed=training.seed), len(resident) * training.world_size)


def last_checkpoint(out: Path, wanted: str | None) -> str | None:
    """Return the checkpoint to go on from: the one named, or the last one of an interrupted run.

    Raises:
        FolderError: the folder holds a finished run.
    """
    if wanted is not None:
        return wanted
    if (out / "train_results.json").is_file():
        raise FolderError(
            out, found="a finished run", expected="an empty folder, or an interrupted run to go on with",
            remedy="choose another --output_dir, or remove it",
        )  # fmt: skip
    return get_last_checkpoint(str(out)) if out.is_dir() else None  # type: ignore[no-untyped-call]


def write_data_of(out: Path, place: Place, found: Preset) -> None:
    """Write which data and preset a model was trained with."""
    known = {"data": place.digest, "format": place.manifest.format_version, "preset": found.to_dict()}
    (out / "so2sat.json").write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
