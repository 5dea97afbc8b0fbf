"""What TensorFlow Datasets makes of version 1: ``read_with_tfds.py RAW OUT``, run by a Python that has it.

The released builder, unchanged but for its download: it gets RAW/training.h5 and RAW/validation.h5 in place
of the files on the publisher's server. Writes OUT/CONFIG-SPLIT.npz with what ``as_dataset`` yields, stacked,
and prints versions, label names and the first bytes of a stored picture as JSON.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.datasets.so2sat.so2sat_dataset_builder import Builder


class LocalFiles:
    """Stands in for the download manager."""

    def __init__(self, raw):
        self.paths = {"train": str(raw / "training.h5"), "val": str(raw / "validation.h5")}

    def download(self, urls):
        return {key: self.paths[key] for key in urls}


def main():
    raw, out = map(Path, sys.argv[1:])
    tfds.disable_progress_bar()
    local, published = LocalFiles(raw), Builder._split_generators
    Builder._split_generators = lambda self, dl_manager: published(self, local)
    found = {"tfds": tfds.__version__}
    for config in ("rgb", "all"):
        builder = Builder(config=config, data_dir=str(out / "tfds"))
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
        for split in builder.info.splits:
            rows = list(tfds.as_numpy(builder.as_dataset(split=split)))
            np.savez(
                out / f"{config}-{split}.npz", **{key: np.stack([r[key] for r in rows]) for key in rows[0]}
            )
        found[config] = {"version": str(builder.version), "names": builder.info.features["label"].names}
    stored = Builder(config="rgb", data_dir=str(out / "tfds")).as_dataset(
        split="train", decoders={"image": tfds.decode.SkipDecoding()}
    )
    found["first_bytes"] = next(iter(tfds.as_numpy(stored)))["image"][:8].hex()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
