"""What ``so2sat train`` is told of the model and the data; the rest are flags of transformers."""

from dataclasses import dataclass, field

FEEDS = ("table", "stream", "resident")


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

    data: str = field(
        metadata={
            "help": "A folder that `so2sat build` wrote, OWNER/NAME on the Hub, or the published HDF5 files."
        }
    )
    version: str | None = field(
        default=None,
        metadata={"help": "Whose splits: v1, culture_10_v3, random or block, if built. Default: culture_10."},
    )
    split_file: str | None = field(
        default=None, metadata={"help": "Splits of your own: what `so2sat split` wrote; --fold says which."}
    )
    fold: int = field(default=0, metadata={"help": "Fold of --split_file."})
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
