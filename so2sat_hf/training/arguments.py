"""What ``so2sat train`` is told: about the model, the data, and everything that TrainingArguments knows."""

from dataclasses import dataclass, field

from transformers import TrainingArguments


@dataclass
class ModelArguments:
    """The model and what it eats."""

    model: str = field(
        default="vit-small-8",
        metadata={
            "help": "vit-{tiny,small,base}-{4,8} from scratch, or a folder or Hub id of an image classifier."
        },
    )
    preset: str = field(
        default="s2", metadata={"help": "What the model eats: a name of `so2sat presets`, or a TOML file."}
    )
    init: str = field(
        default="named",
        metadata={"help": "Kernels of new channels of a pretrained model: named, repeat, mean or random."},
    )
    image_size: int | None = field(
        default=None, metadata={"help": "Pixels of the model's input. Default: that of the preset."}
    )
    freeze: bool = field(default=False, metadata={"help": "Linear probe: only the head learns."})
    layer_decay: float = field(
        default=1.0, metadata={"help": "Factor of the learning rate from a layer to the one before it."}
    )


@dataclass
class DataArguments:
    """The data, and what happens to them."""

    data: str = field(metadata={"help": "A folder that `so2sat build` wrote, or OWNER/NAME on the Hub."})
    feed: str = field(
        default="table",
        metadata={
            "help": "table: any patch by number. stream: whole row groups. resident: all on the device."
        },
    )
    flips: bool = field(default=True, metadata={"help": "Flips and quarter turns in training."})
    band_drop: float = field(default=0.0, metadata={"help": "Probability that a channel shows its mean."})
    jitter: float = field(default=0.0, metadata={"help": "Sentinel-2 bands times 1 - jitter to 1 + jitter."})
    mixup: float = field(default=0.0, metadata={"help": "Alpha of mixup; 0: off."})
    cutmix: float = field(default=0.0, metadata={"help": "Alpha of cutmix; 0: off."})
    label_smoothing: float = field(
        default=0.0, metadata={"help": "Share of a label spread over all classes."}
    )
    class_weights: str = field(default="none", metadata={"help": "none, inverse or sqrt of class counts."})


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
