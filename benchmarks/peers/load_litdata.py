"""litdata: ``load_litdata.py PLACE PATTERN`` (see ``loading.py``), or ``PLACE write ARRAYS DTYPE``.

Run by a Python of its own, with ``requirements-loaders.txt``. Chunks of 64 MB as its documentation has them,
tensors, no compression, all files local. ``shuffled`` and ``sequential`` are its StreamingDataLoader;
``random`` asks for single samples in a random order. With ``items`` no batches are made of them: samples are
then views of mapped files, and nobody touches their pixels. ``batch_decode=0`` decodes a sample when it is
asked for; the default decodes the 256 around it each time, which is about ten times slower as soon as the
order is shuffled.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
from loading import BATCH, arguments_of, declare_operators, finish, timed
from report import report

CHUNK = "64MB"


def sample_of(row, arrays, dtype):
    """Return one sample as litdata stores it."""
    import torch

    source = {
        name: np.load(Path(arrays) / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in ("sen1", "sen2", "label")
    }
    sen2 = source["sen2"][row]
    sen2 = np.rint(sen2 * 10_000).astype(np.uint16) if dtype == "uint16" else sen2.copy()
    tensors = {"sen1": torch.from_numpy(source["sen1"][row].copy()), "sen2": torch.from_numpy(sen2)}
    return {**tensors, "label": int(source["label"][row])}


def write(place, arrays, dtype):
    """Write the arrays of a folder as chunks of litdata."""
    import litdata

    rows = len(np.load(Path(arrays) / "label.npy", allow_pickle=False))
    litdata.optimize(
        partial(sample_of, arrays=arrays, dtype=dtype),
        list(range(rows)),
        output_dir=place,
        chunk_bytes=CHUNK,
        num_workers=1,
        verbose=False,
    )


def dataset(arguments, *, shuffle):
    """Open the chunks."""
    import litdata

    return litdata.StreamingDataset(arguments.place, shuffle=shuffle, seed=0, batch_decode=0)


def loader(arguments, *, shuffle):
    """Start an epoch of its own loader."""
    from litdata import StreamingDataLoader

    batches = StreamingDataLoader(
        dataset(arguments, shuffle=shuffle),
        batch_size=BATCH,
        num_workers=arguments.workers,
        persistent_workers=arguments.workers > 0,
    )
    return lambda: batches


def items(arguments):
    """Start an epoch of samples that are not made into batches."""
    data = dataset(arguments, shuffle=True)

    def epoch():
        labels = []
        for sample in data:
            labels.append(int(sample["label"]))
            if len(labels) == BATCH:
                yield {"label": np.array(labels)}
                labels = []
        if labels:
            yield {"label": np.array(labels)}

    return epoch


def random(arguments, *, collate):
    """Start an epoch of single samples."""
    from torch.utils.data import default_collate

    data = dataset(arguments, shuffle=False)
    order = np.random.default_rng(0)

    def epoch():
        rows = order.permutation(len(data)).tolist()
        for start in range(0, len(rows), BATCH):
            samples = [data[row] for row in rows[start : start + BATCH]]
            if collate:
                yield default_collate(samples)
            else:
                yield {"label": np.array([sample["label"] for sample in samples])}

    return epoch


PATTERNS = {
    "sequential": lambda options: loader(options, shuffle=False),
    "shuffled": lambda options: loader(options, shuffle=True),
    "shuffled items": items,
    "random": lambda options: random(options, collate=True),
    "random items": lambda options: random(options, collate=False),
}


def main():
    operators = declare_operators()
    if sys.argv[2] == "write":
        write(sys.argv[1], *sys.argv[3:])
        print('{"rows": 0, "seconds": 1}')
        return
    arguments = arguments_of(PATTERNS)
    epoch = PATTERNS[arguments.pattern](arguments)
    report(lambda: timed(epoch, arguments.seconds), ("litdata", "torch", "numpy"))
    del operators
    finish()


if __name__ == "__main__":
    main()
