"""TensorFlow Datasets ``so2sat/all``: ``tfds_so2sat.py RAW OUT``.

Run by a Python of its own, with ``requirements-tfds.txt``. The released builder, unchanged but for its
download: it gets our files in place of those on the publisher's server. It knows version 1 (training and
validation), so its rows are those of two files; rates are per row it wrote. Timed: ``download_and_prepare``
into a fresh folder (read row by row, shuffle, TFRecord). Not timed: imports.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import tensorflow_datasets as tfds
from report import report
from tensorflow_datasets.datasets.so2sat.so2sat_dataset_builder import Builder


class LocalFiles:
    """Stands in for the download manager: the same two files, already here."""

    def __init__(self, raw):
        self.paths = {"train": str(raw / "training.h5"), "val": str(raw / "validation.h5")}

    def download(self, urls):
        """Return a path for each URL."""
        return {key: self.paths[key] for key in urls}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("raw", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    tfds.disable_progress_bar()
    local, published = LocalFiles(arguments.raw), Builder._split_generators  # noqa: SLF001
    Builder._split_generators = lambda self, dl_manager: published(self, local)  # noqa: ARG005, SLF001

    def job():
        builder = Builder(config="all", data_dir=str(arguments.out))
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
        files = [path for path in arguments.out.rglob("*.tfrecord*") if path.is_file()]
        return {
            "rows": sum(split.num_examples for split in builder.info.splits.values()),
            "bytes": sum(path.stat().st_size for path in files),
            "files": len(files),
        }

    report(job, ("tensorflow-datasets", "tensorflow-cpu", "h5py", "numpy"))


if __name__ == "__main__":
    main()
