"""How well does a window of row groups mix a split? Orders only: no patch is read.

    python benchmarks/window.py [--out results/window.json]

For the training split of the published size in row groups of 1,024: the mean distance in the file between
patches that follow each other in the stream, how often neighbours of the file come in one batch, and the mix
of classes in a batch if the file were sorted by class (the published ones are shuffled: the worst case), all
beside a shuffle of the whole split.
"""

import argparse
from pathlib import Path

import measure
import numpy as np

from so2sat_hf import facts
from so2sat_hf.convert.plan import ROW_GROUP_ROWS
from so2sat_hf.load.order import Topology, layout
from so2sat_hf.load.quality import class_mix, neighbour_distance, neighbours_together

WINDOWS = (1, 2, 4, 8, 16, 64)
BATCH = 256


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=measure.HERE / "results" / "window.json")
    arguments = parser.parse_args()
    rows = next(file.rows for file in facts.version("2").files if file.path == "training.h5")
    groups = [ROW_GROUP_ROWS] * (rows // ROW_GROUP_ROWS) + [rows % ROW_GROUP_ROWS]
    by_class = np.sort(np.arange(rows) % len(facts.classes()))
    windows = []
    for window in WINDOWS:
        order = layout(groups, Topology(BATCH, window=window), seed=0, epoch=0).given(0, 0)
        windows.append({"window": window, **quality(order, by_class)})
    whole = quality(np.random.default_rng(0).permutation(rows), by_class)
    for found in (*windows, {"window": "all", **whole}):
        print(" ".join(f"{name} {value:<8}" for name, value in found.items()))
    measure.write_result(arguments.out, {"rows": rows, "batch": BATCH, "windows": windows, "all": whole})


def quality(order, classes):
    return {
        "neighbour_distance": round(neighbour_distance(order), 3),
        "neighbours_together": round(neighbours_together(order, BATCH), 1),
        "class_mix_if_sorted": round(class_mix(classes[order], BATCH), 3),
    }


if __name__ == "__main__":
    main()
