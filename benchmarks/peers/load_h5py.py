"""h5py with one open handle: ``load_h5py.py RAW PATTERN`` (see ``loading.py``).

Batches of float32, channels first. ``sequential`` reads slices of a batch. ``shuffled`` reads a patch at a
time straight into a float64 batch (``read_direct``) and converts the batch at once, which is the fastest way
that we know: selections by lists of rows are slower. A band subset still reads every band of its sensor,
which is how the files are laid out.
"""

from pathlib import Path

import h5py
import numpy as np
from loading import BATCH, RGB, arguments_of, timed
from report import report

S2 = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")


def channels_first(array, bands):
    """(b, 32, 32, c) float64 to (b, c, 32, 32) float32."""
    chosen = array if bands is None else array[..., bands]
    return np.ascontiguousarray(chosen.transpose(0, 3, 1, 2), dtype=np.float32)


def reader(arguments, *, shuffled):
    """Start an epoch."""
    file = h5py.File(Path(arguments.place) / "training.h5", "r")
    names = ("sen1", "sen2") if arguments.bands == "all" else ("sen2",)
    bands = {"sen2": [S2.index(band) for band in RGB]} if arguments.bands == "rgb" else {}
    sensors = {name: file[name] for name in names}
    label = file["label"][:].argmax(axis=1)
    random = np.random.default_rng(0)

    def epoch():
        order = random.permutation(len(label)) if shuffled else np.arange(len(label))
        for start in range(0, len(label), BATCH):
            rows = order[start : start + BATCH]
            batch = {"label": label[rows]}
            for name, data in sensors.items():
                if shuffled:
                    read = np.empty((len(rows), *data.shape[1:]))
                    for place, row in enumerate(rows):
                        data.read_direct(read, np.s_[row], np.s_[place])
                else:
                    read = data[start : start + BATCH]
                batch[name] = channels_first(read, bands.get(name))
            yield batch

    return epoch


PATTERNS = {"sequential": False, "shuffled": True}


def main():
    arguments = arguments_of(PATTERNS)
    epoch = reader(arguments, shuffled=PATTERNS[arguments.pattern])
    report(lambda: timed(epoch, arguments.seconds), ("h5py", "numpy"))


if __name__ == "__main__":
    main()
