"""What no reader can beat: ``load_limits.py PLACE PATTERN`` (see ``loading.py``).

* ``decode``: pyarrow reads the Parquet files (``sen1``, ``sen2``, ``label``) in as many threads as asked for,
  each with row groups of its own and one thread inside, in record batches of 256 rows, and drops them.
* ``decode groups``: the same with a table of a whole row group at a time, 75 MB of new memory for each.
* ``copy``: random rows of 2,048 patches in memory are copied into memory that is new for each batch.
* ``copy in place``: the same into memory that is used again for each batch.
"""

import queue
import threading
from pathlib import Path

import numpy as np
from loading import BATCH, arguments_of, timed
from report import report

SHAPES = {"sen1": (8, 32, 32), "sen2": (10, 32, 32)}


def decode(arguments, *, whole=False):
    """Start an epoch of row groups."""
    import pyarrow.parquet as pq

    paths = sorted((Path(arguments.place) / "data" / "train").glob("*.parquet"))
    columns = ["sen2", "label"] if arguments.bands == "s2" else ["sen1", "sen2", "label"]
    groups = [(path, group) for path in paths for group in range(pq.read_metadata(path).num_row_groups)]

    def work(todo, done):
        while True:
            try:
                path, group = todo.get_nowait()
            except queue.Empty:
                return
            with pq.ParquetFile(path) as file:
                if whole:
                    done.put(
                        file.read_row_group(group, columns=columns, use_threads=False)["label"].to_numpy()
                    )
                else:
                    chosen = {"row_groups": [group], "columns": columns, "use_threads": False}
                    for batch in file.iter_batches(BATCH, **chosen):
                        done.put(batch["label"].to_numpy())
            done.put(None)

    def epoch():
        todo, done = queue.SimpleQueue(), queue.SimpleQueue()
        for one in groups:
            todo.put(one)
        threads = [threading.Thread(target=work, args=(todo, done)) for _ in range(arguments.threads)]
        for thread in threads:
            thread.start()
        for _ in groups:
            while (label := done.get()) is not None:
                yield {"label": label}
        for thread in threads:
            thread.join()

    return epoch


def copy(_, *, again=False):
    """Start an epoch of copies of random rows."""
    random = np.random.default_rng(0)
    rows = 8 * BATCH
    source = {name: random.random((rows, *shape), dtype=np.float32) for name, shape in SHAPES.items()}
    used = {name: np.zeros((BATCH, *shape), np.float32) for name, shape in SHAPES.items()}

    def epoch():
        order = random.permutation(rows)
        for start in range(0, rows, BATCH):
            chosen = order[start : start + BATCH]
            batch = {}
            for name, array in source.items():
                out = used[name] if again else np.empty((BATCH, *SHAPES[name]), np.float32)
                batch[name] = np.take(array, chosen, axis=0, out=out, mode="clip")
            yield {**batch, "label": np.zeros(BATCH, np.int64)}

    return epoch


PATTERNS = {
    "decode": decode,
    "decode groups": lambda options: decode(options, whole=True),
    "copy": copy,
    "copy in place": lambda options: copy(options, again=True),
}


def main():
    arguments = arguments_of(PATTERNS)
    epoch = PATTERNS[arguments.pattern](arguments)
    report(lambda: timed(epoch, arguments.seconds, whole=True), ("numpy", "pyarrow"))


if __name__ == "__main__":
    main()
