"""The command line of a small training."""

from pathlib import Path
from typing import Any

NEEDS_TRAIN = "needs pip install 'so2sat_hf[train]'"
"""Why a test is skipped where torch or accelerate are not installed."""


def train_args(data: Path | str, out: Path, **options: Any) -> list[str]:
    """Return a command line of ``so2sat train``."""
    known = {
        "model": "vit-tiny-8", "preset": "rgb", "per_device_train_batch_size": 64, "num_train_epochs": 1,
        "use_cpu": True, "disable_tqdm": True,
    }  # fmt: skip
    pairs = ({"data": data, "output_dir": out} | known | options).items()
    return [text for name, value in pairs for text in (f"--{name}", str(value))]
