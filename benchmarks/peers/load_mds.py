"""mosaicml-streaming: ``load_mds.py PLACE PATTERN`` (see ``loading.py``), or ``PLACE write ARRAYS DTYPE``.

Run by a Python of its own, with ``requirements-loaders.txt``. MDS with arrays of fixed type and shape (no
header, no pickle), no compression, shards of the default size, all files local. ``shuffled`` and
``sequential`` are its StreamingDataLoader; ``random`` asks for single samples in a random order, with
(``random``) or without (``random items``) making batches of them.
"""

import sys
from pathlib import Path

import numpy as np
from loading import BATCH, arguments_of, declare_operators, finish, timed
from report import report

BANDS = {"sen1": 8, "sen2": 10}


def write(place, arrays, dtype):
    """Write the arrays of a folder as MDS."""
    from streaming import MDSWriter

    source = {
        name: np.load(Path(arrays) / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in (*BANDS, "label")
    }
    types = {"sen1": "float32", "sen2": dtype}
    columns = {name: f"ndarray:{types[name]}:{count},32,32" for name, count in BANDS.items()}
    with MDSWriter(out=str(place), columns={**columns, "label": "int"}) as out:
        for row in range(len(source["label"])):
            sample = {"sen1": source["sen1"][row], "label": int(source["label"][row])}
            out.write({**sample, "sen2": stored(source["sen2"][row], dtype)})


def stored(sen2, dtype):
    """Digital numbers where they are wanted."""
    return np.rint(sen2 * 10_000).astype(np.uint16) if dtype == "uint16" else np.asarray(sen2)


def loader(arguments, *, shuffle):
    """Start an epoch of its own loader."""
    from streaming import StreamingDataLoader, StreamingDataset

    data = StreamingDataset(local=arguments.place, batch_size=BATCH, shuffle=shuffle, shuffle_seed=0)
    batches = StreamingDataLoader(
        data,
        batch_size=BATCH,
        num_workers=arguments.workers,
        persistent_workers=arguments.workers > 0,
    )
    return lambda: batches


def random(arguments, *, collate):
    """Start an epoch of single samples."""
    from streaming import StreamingDataset
    from torch.utils.data import default_collate

    data = StreamingDataset(local=arguments.place, batch_size=BATCH)
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
    from streaming.base.util import clean_stale_shared_memory

    clean_stale_shared_memory()
    epoch = PATTERNS[arguments.pattern](arguments)
    report(lambda: timed(epoch, arguments.seconds), ("mosaicml-streaming", "torch", "numpy"))
    del operators
    clean_stale_shared_memory()
    finish()


if __name__ == "__main__":
    main()
