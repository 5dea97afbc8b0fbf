"""Our ways to load: ``load_so2sat.py PLACE PATTERN`` (see ``loading.py``).

PLACE is a built folder, Parquet or Arrow, or a repository, ``hf://datasets/OWNER/NAME``. ``stream`` is
PatchStream with its own window, ``table`` is PatchTable asked for lists of rows, ``table loader`` the same
behind a stock DataLoader with its default collate function, ``cache`` PatchTable over a ``datasets.Dataset``
and its Arrow cache, ``examples`` PatchStream over a ``datasets.IterableDataset``, ``resident`` Resident on
the CPU. ``memory`` reads five epochs of a shuffled stream and looks at the resident memory of this process
all the time.
"""

import threading

import numpy as np
from loading import BATCH, RGB, arguments_of, finish, rss, timed
from report import report

LOOK_SECONDS = 0.005
EPOCHS = 5


def selection(arguments):
    """Return what is read, as keyword arguments."""
    columns = ("sen1", "sen2", "label") if arguments.bands == "all" else ("sen2", "label")
    return {"columns": columns, "bands": RGB} if arguments.bands == "rgb" else {"columns": columns}


def loader(arguments, data, **options):
    """Return a DataLoader over what makes batches itself or by the default collate function."""
    from torch.utils.data import DataLoader

    workers = arguments.workers
    return DataLoader(data, num_workers=workers, persistent_workers=workers > 0, **options)


def stream(arguments, *, shuffle, source=None):
    """Start an epoch of a stream."""
    from so2sat_hf.load.stream import PatchStream

    form = "torch" if arguments.workers else "numpy"
    threads = None if arguments.workers else arguments.threads  # workers share out the cores
    options = {"batch_size": BATCH, "shuffle": shuffle, "threads": threads, "form": form}
    data = PatchStream(source or arguments.place, "train", **options, **selection(arguments))
    batches = loader(arguments, data, batch_size=None) if arguments.workers else data
    return lambda: batches


def examples(arguments):
    """Start an epoch of a stream over a stream of ``datasets``."""
    from datasets import load_dataset

    columns = list(selection(arguments)["columns"])
    data = load_dataset(arguments.place, split="train", streaming=True, columns=columns)
    return stream(arguments, shuffle=True, source=data)


def table(arguments, *, source=None):
    """Start an epoch of batches of random rows."""
    from so2sat_hf.load.table import PatchTable

    data = PatchTable(source or arguments.place, **selection(arguments))
    random = np.random.default_rng(0)

    def epoch():
        order = random.permutation(len(data))
        for start in range(0, len(order), BATCH):
            yield data[order[start : start + BATCH]]

    return epoch


def cache(arguments):
    """Start an epoch of batches of random rows out of the cache of ``datasets``."""
    from datasets import load_dataset

    return table(arguments, source=load_dataset(arguments.place, split="train"))


def table_loader(arguments):
    """Start an epoch of a stock DataLoader."""
    from so2sat_hf.load.table import PatchTable

    data = PatchTable(arguments.place, form="torch", **selection(arguments))
    batches = loader(arguments, data, batch_size=BATCH, shuffle=True)
    return lambda: batches


def resident(arguments):
    """Start an epoch out of memory."""
    from so2sat_hf.load.resident import Resident

    data = Resident(arguments.place, "train", device="cpu", **selection(arguments))
    return lambda: data.epochs(batch_size=BATCH)


def memory(arguments):
    """Read some epochs; return by how much resident memory rose above what it was before the stream."""
    start, over, found = sum(rss()), threading.Event(), [[] for _ in range(EPOCHS)]
    epoch, now = stream(arguments, shuffle=True), [0]

    def look():
        while not over.wait(LOOK_SECONDS):
            found[now[0]].append(sum(rss()) - start)

    watching = threading.Thread(target=look, daemon=True)
    watching.start()
    rows = 0
    for now[0] in range(EPOCHS):  # the other thread reads it
        for batch in epoch():
            rows += len(batch["label"])
    over.set()
    watching.join()
    return {
        "rows": rows,
        "start_mb": round(start / 1e6, 1),
        "above_mb": [round(max(p) / 1e6, 1) for p in found],
    }


PATTERNS = {
    "stream": lambda options: stream(options, shuffle=True),
    "stream sequential": lambda options: stream(options, shuffle=False),
    "examples": examples,
    "table": table,
    "table loader": table_loader,
    "cache": cache,
    "resident": resident,
    "memory": memory,
}


def main():
    arguments = arguments_of(PATTERNS)
    libraries = ("so2sat_hf", "torch", "datasets", "numpy", "pyarrow")
    if arguments.pattern == "memory":
        import so2sat_hf.load.stream  # noqa: F401 (its memory is not that of the stream)

        report(lambda: memory(arguments), libraries)
    else:
        epoch = PATTERNS[arguments.pattern](arguments)
        report(lambda: timed(epoch, arguments.seconds, whole=True), libraries)
    finish()


if __name__ == "__main__":
    main()
