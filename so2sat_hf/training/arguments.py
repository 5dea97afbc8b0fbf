"""The command line of ``so2sat train``: our options, and everything that TrainingArguments knows."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from transformers import HfArgumentParser, TrainingArguments

from so2sat_hf.errors import So2SatError
from so2sat_hf.training.loss import WEIGHTINGS
from so2sat_hf.training.options import FEEDS, DataArguments, ModelArguments
from so2sat_hf.vision.from_scratch import names

FILES = (".json", ".yaml", ".yml")
"""Endings of files that arguments may come from."""


@dataclass
class FineTuneArguments(TrainingArguments):
    """TrainingArguments with defaults for this dataset; every flag of transformers works."""

    per_device_train_batch_size: int = field(default=256, metadata={"help": "Patches of a step and device."})
    per_device_eval_batch_size: int = field(
        default=512, metadata={"help": "Patches of a step of evaluation."}
    )
    learning_rate: float = field(default=5e-4, metadata={"help": "Highest learning rate."})
    weight_decay: float = field(default=0.05, metadata={"help": "Of AdamW."})
    num_train_epochs: float = field(default=20.0, metadata={"help": "Epochs."})
    warmup_steps: float = field(default=0.05, metadata={"help": "Below 1: share of all steps."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Course of the learning rate."})
    eval_strategy: str = field(default="epoch", metadata={"help": "When validation is looked at."})
    save_strategy: str = field(default="epoch", metadata={"help": "When a checkpoint is written."})
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints kept, the best one too."})
    load_best_model_at_end: bool = field(default=True, metadata={"help": "Keep the best of validation."})
    metric_for_best_model: str | None = field(default="macro_f1", metadata={"help": "What is best."})
    greater_is_better: bool | None = field(default=True, metadata={"help": "Whether more is better."})
    logging_steps: float = field(default=50, metadata={"help": "Steps between two lines of the log."})

    def __post_init__(self) -> None:
        """Refuse to train into a folder that nobody named."""
        if self.output_dir is None:
            raise So2SatError("--output_dir", found="missing", expected="a folder for model and report")
        super().__post_init__()  # type: ignore[no-untyped-call]


class _Parser(HfArgumentParser):
    """Says what is wrong in one line, without the hundreds of flags that there are."""

    def error(self, message: str) -> NoReturn:
        raise So2SatError(
            "arguments", found=message, expected="flags as `so2sat train --help` and --help-all list them"
        )


def parse(args: list[str]) -> tuple[ModelArguments, DataArguments, FineTuneArguments]:
    """Read the command line, or one JSON or YAML file with the same names.

    Raises:
        So2SatError: a flag that has no effect, or a value that cannot be.
    """
    parser = _Parser((ModelArguments, DataArguments, FineTuneArguments), prog="so2sat train")  # type: ignore[arg-type]
    try:
        if len(args) == 1 and args[0].endswith(FILES):
            read = parser.parse_json_file if args[0].endswith(".json") else parser.parse_yaml_file
            parsed: Any = read(args[0])
        else:
            parsed = parser.parse_args_into_dataclasses(args)
    except (ValueError, TypeError, KeyError, ImportError) as error:
        text = str(error).strip() or type(error).__name__
        raise So2SatError(
            "arguments", found=text.splitlines()[0], expected="what `so2sat train --help-all` lists"
        ) from error
    model, data, training = parsed
    if training.device.type == "cpu":
        training.dataloader_pin_memory = False  # torch warns of it in every epoch
    for is_wrong, name, found, expected in _rules(model, data, training):
        if is_wrong:
            raise So2SatError(name, found=found, expected=expected)
    return model, data, training


def _rules(
    model: ModelArguments, data: DataArguments, training: FineTuneArguments
) -> Iterator[tuple[bool, str, str, str]]:
    """Yield whether something is wrong, with the name of the option, what was found, what expected."""
    is_scratch = model.model in names()
    yield data.feed not in FEEDS, "--feed", data.feed, " or ".join(FEEDS)
    known = data.class_weights in WEIGHTINGS
    yield not known, "--class_weights", data.class_weights, " or ".join(WEIGHTINGS)
    for name, value, largest in (
        ("label_smoothing", data.label_smoothing, "below 1"),
        ("band_drop", data.band_drop, "below 1"),
        ("jitter", data.jitter, "below 1"),
    ):
        yield not 0 <= value < 1, f"--{name}", f"{value}", f"0 to {largest}"
    for name, value in (("mixup", data.mixup), ("cutmix", data.cutmix)):
        yield not value >= 0, f"--{name}", f"{value}", "0 or more"
    yield not 0 < model.layer_decay <= 1, "--layer_decay", f"{model.layer_decay}", "above 0, at most 1"
    both = data.split_file is not None and data.version is not None
    yield both, "--version", "no effect with --split_file", "one of them"
    alone = bool(data.fold) and data.split_file is None
    yield alone, "--fold", "no effect", "--split_file, whose fold it is"
    size = model.image_size
    yield size is not None and size < 8, "--image_size", f"{size}", "at least 8"
    yield is_scratch and model.freeze, "--freeze", "a model from scratch", "a pretrained model"
    yield is_scratch and model.init != "named", "--init", "no effect", "a pretrained model"
    frozen = model.freeze and model.layer_decay != 1
    yield frozen, "--layer_decay", "no effect", "no --freeze: its layers do not learn"
    token = bool(training.hub_token)  # others see command lines, and training_args.bin keeps it
    yield token, "--hub_token", "a token that would be kept in files", "HF_TOKEN or `hf auth login`"
    smoothed = bool(training.label_smoothing_factor)
    yield smoothed, "--label_smoothing_factor", "no effect", "--label_smoothing, which knows blended labels"
    workers = training.dataloader_num_workers
    idle = data.feed != "table" and workers > 0
    yield idle, "--dataloader_num_workers", f"{workers}, no effect on --feed {data.feed}", "--feed table"
