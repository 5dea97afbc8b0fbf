"""The formats of ``datasets``: ``load_hf.py PLACE PATTERN`` (see ``loading.py``).

PLACE is a built Parquet folder or the name of a repository. Map style reads the Arrow cache that
``load_dataset`` makes (``HF_DATASETS_CACHE``; not timed). ``torch`` is what its documentation shows:
``with_format("torch")`` in a DataLoader. ``numpy`` takes batches without a DataLoader. ``arrow`` takes Arrow
batches and turns each column into one array through its buffers, by hand, which is the fastest that
``datasets`` allows. Shuffled streams have a buffer of 512, half of the default, of single examples. A band
subset can drop a sensor; single bands of one are cut out of it afterwards.
"""

import numpy as np
from loading import BATCH, RGB, arguments_of, finish, timed
from report import report

S2 = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
BUFFER = 512
BANDS = {"sen1": 8, "sen2": 10}


def opened(arguments, *, streaming):
    """Open the train split with the columns wanted."""
    from datasets import load_dataset

    columns = ["sen1", "sen2", "label"] if arguments.bands == "all" else ["sen2", "label"]
    if streaming:
        return load_dataset(arguments.place, split="train", streaming=True, columns=columns)
    return load_dataset(arguments.place, split="train").select_columns(columns)


def cut(arguments, batch):
    """Keep the bands wanted."""
    if arguments.bands == "rgb":
        batch = {**batch, "sen2": batch["sen2"][:, [S2.index(band) for band in RGB]]}
    return batch


def from_arrow(table):
    """Turn an Arrow table into arrays that own their memory."""
    batch = {"label": table["label"].to_numpy()}
    for name, count in BANDS.items():
        if name in table.column_names:
            parts = []
            for chunk in table[name].chunks:
                flat = getattr(chunk, "storage", chunk)
                while hasattr(flat, "flatten") and hasattr(flat, "offsets"):
                    flat = flat.flatten()
                parts.append(flat.to_numpy().reshape(-1, count, 32, 32))
            batch[name] = np.concatenate(parts)
    return batch


def map_torch(arguments):
    """A DataLoader over torch tensors."""
    from torch.utils.data import DataLoader

    data = opened(arguments, streaming=False).with_format("torch")
    loader = DataLoader(
        data,
        batch_size=BATCH,
        shuffle=True,
        num_workers=arguments.workers,
        persistent_workers=arguments.workers > 0,
    )
    return lambda: (cut(arguments, batch) for batch in loader)


def map_lists(arguments, form, *, shuffle):
    """Batches by lists of rows."""
    data = opened(arguments, streaming=False).with_format(form)
    random = np.random.default_rng(0)

    def epoch():
        order = random.permutation(len(data)) if shuffle else np.arange(len(data))
        for start in range(0, len(data), BATCH):
            batch = data[order[start : start + BATCH]] if shuffle else data[start : start + BATCH]
            yield cut(arguments, from_arrow(batch) if form == "arrow" else batch)

    return epoch


def stream(arguments, form, *, shuffle):
    """A stream of batches."""
    from torch.utils.data import DataLoader

    data = opened(arguments, streaming=True).with_format(form)
    if shuffle:
        data = data.shuffle(seed=0, buffer_size=BUFFER)
    if form == "torch":
        loader = DataLoader(
            data, batch_size=BATCH, num_workers=arguments.workers, persistent_workers=arguments.workers > 0
        )
        return lambda: (cut(arguments, batch) for batch in loader)
    convert = from_arrow if form == "arrow" else dict
    return lambda: (cut(arguments, convert(batch)) for batch in data.iter(batch_size=BATCH))


PATTERNS = {
    "map torch": map_torch,
    "map numpy": lambda options: map_lists(options, "numpy", shuffle=True),
    "map arrow": lambda options: map_lists(options, "arrow", shuffle=True),
    "map arrow sequential": lambda options: map_lists(options, "arrow", shuffle=False),
    "stream torch sequential": lambda options: stream(options, "torch", shuffle=False),
    "stream numpy sequential": lambda options: stream(options, "numpy", shuffle=False),
    "stream arrow sequential": lambda options: stream(options, "arrow", shuffle=False),
    "stream torch": lambda options: stream(options, "torch", shuffle=True),
    "stream numpy": lambda options: stream(options, "numpy", shuffle=True),
    "stream arrow": lambda options: stream(options, "arrow", shuffle=True),
}
"""Name -> what starts its epochs; shuffled where it is not said to be sequential."""


def main():
    arguments = arguments_of(PATTERNS)
    epoch = PATTERNS[arguments.pattern](arguments)
    report(lambda: timed(epoch, arguments.seconds), ("datasets", "torch", "numpy", "pyarrow"))
    finish()


if __name__ == "__main__":
    main()
