"""What a user of ``datasets`` writes, from_generator and to_parquet: ``from_generator.py RAW OUT --jobs N``.

The generator reads the HDF5 row by row and yields float32 arrays, channels first, and the class; features
are typed (Array3D, ClassLabel). No id, no geolocation, no proof, no statistics, no hashes, no fsync: less
work than our build does. Timed: generation into a fresh Arrow cache and to_parquet, of every split. With N
> 1 ``num_proc=N`` generates.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
from datasets import Array3D, ClassLabel, Dataset, Features, disable_progress_bars
from report import report

FEATURES = Features(
    {
        "sen1": Array3D((8, 32, 32), "float32"),
        "sen2": Array3D((10, 32, 32), "float32"),
        "label": ClassLabel(num_classes=17),
    }
)


def patches(ranges):
    """Yield rows; ``ranges`` is a list of (path, start, stop), which num_proc shares out."""
    for path, start, stop in ranges:
        with h5py.File(path, "r") as file:
            sen1, sen2, label = file["sen1"], file["sen2"], file["label"]
            for row in range(start, stop):
                yield {
                    "sen1": sen1[row].astype(np.float32).transpose(2, 0, 1),
                    "sen2": sen2[row].astype(np.float32).transpose(2, 0, 1),
                    "label": int(label[row].argmax()),
                }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("raw", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    disable_progress_bars()
    arguments.out.mkdir(parents=True)

    def job():
        rows = size = files = 0
        for stem in ("training", "validation", "testing"):
            path = str(arguments.raw / f"{stem}.h5")
            with h5py.File(path, "r") as file:
                count = len(file["label"])
            bounds = [index * count // arguments.jobs for index in range(arguments.jobs + 1)]
            dataset = Dataset.from_generator(
                patches,
                features=FEATURES,
                cache_dir=str(arguments.out / "cache"),
                gen_kwargs={"ranges": [(path, *pair) for pair in pairwise(bounds)]},
                num_proc=arguments.jobs if arguments.jobs > 1 else None,
            )
            target = arguments.out / f"{stem}.parquet"
            dataset.to_parquet(target)
            rows, size, files = rows + len(dataset), size + target.stat().st_size, files + 1
        return {"rows": rows, "bytes": size, "files": files}

    report(job, ("datasets", "h5py", "numpy", "pyarrow"))


if __name__ == "__main__":
    main()
