"""What every config of the builder holds, map style and streaming, in a form that can be compared.

Run as a script by a Python with datasets < 4, it loads through the loading script and prints JSON.
"""

import hashlib
import json
import sys

import numpy as np

CONFIGS = ("culture_10", "v1", "culture_10_v3", "random", "block", "sen1", "sen2", "rgb")


def summary(splits):
    """Split -> rows, kinds of the columns, and a hash of the values of each column."""
    return {split: _of(data) for split, data in splits.items()}


def _of(data):
    hashes = {name: hashlib.sha256() for name in data.features}
    rows = 0
    for row in data:
        rows += 1
        for name, value in row.items():
            hashes[name].update(_bytes(value))
    return {
        "rows": rows,
        "columns": {name: _kind(feature) for name, feature in data.features.items()},
        "sha256": {name: value.hexdigest() for name, value in hashes.items()},
    }


def _kind(feature):
    shape = getattr(feature, "shape", None)
    return [type(feature).__name__, str(feature.dtype), list(shape or ()), getattr(feature, "names", None)]


def _bytes(value):
    if isinstance(value, str | int | float):
        return f"{value!r} ".encode()
    array = np.asarray(value)  # a picture, nested lists (datasets 3.6) or an array (2.21)
    return array.astype(np.uint8 if array.dtype == np.uint8 else np.float32).tobytes()


if __name__ == "__main__":
    import datasets

    script, raw = sys.argv[1:]
    builder = datasets.load_dataset_builder(script, data_dir=raw, trust_remote_code=True)
    found = {"version": datasets.__version__, "module": type(builder).__module__, "configs": {}}
    for config in CONFIGS:
        options = {"data_dir": raw, "trust_remote_code": True}
        num_proc = 2 if config == "culture_10" else None
        found["configs"][config] = {
            "map": summary(datasets.load_dataset(script, config, num_proc=num_proc, **options)),
            "stream": summary(datasets.load_dataset(script, config, streaming=True, **options)),
        }
    print(json.dumps(found))
