"""Files of version 3, made of those of version 2: the same patches in other groups and another order."""

from pathlib import Path

import h5py
import numpy as np

from so2sat_hf.convert.patches import SPLIT_OF_FILE, parse_id, row_id

KEYS = ("sen1", "sen2", "label")
TRAIN_SHARE = 0.8
"""Of all patches; version 3 puts about so many into the training files of random and block."""


def write_version_3(raw: Path, out: Path, seed: int = 0) -> dict[str, list[str]]:
    """Write ``random/``, ``block/`` and ``culture_10/``, each with ``training.h5`` and ``testing.h5``.

    As in the published files, every patch is once in each of the three, ``culture_10/training.h5`` is
    ``training.h5`` row by row, and ``culture_10/testing.h5`` holds validation and test. The rows of the
    other five files are shuffled. Who is in train is drawn anew for random and for block (and so has nothing
    to do with where the patches lie).

    Args:
        raw: folder with ``training.h5``, ``validation.h5`` and ``testing.h5``.
        out: where to; may be the same folder.
        seed: other groups and another order for other seeds.

    Returns:
        File without extension, e.g. ``"random/training"`` -> the id of version 2, e.g.
        ``"validation/000012"``, of each of its rows, in their order.
    """
    ids = {stem: ids_of(raw, stem) for stem in SPLIT_OF_FILE}
    everything = [name for stem in ids for name in ids[stem]]
    rng = np.random.default_rng(seed)
    files = {}
    for group in ("random", "block"):
        drawn = [everything[i] for i in rng.permutation(len(everything))]
        num_train = round(TRAIN_SHARE * len(drawn))
        files[f"{group}/training"], files[f"{group}/testing"] = drawn[:num_train], drawn[num_train:]
    files["culture_10/training"] = ids["training"]
    held_back = ids["validation"] + ids["testing"]
    files["culture_10/testing"] = [held_back[i] for i in rng.permutation(len(held_back))]
    for name, rows in files.items():
        write_rows(raw, out / f"{name}.h5", rows)
    return files


def ids_of(raw: Path, stem: str) -> list[str]:
    """Return the id of every row of ``training.h5``, ``validation.h5`` or ``testing.h5``."""
    with h5py.File(raw / f"{stem}.h5") as file:
        return [row_id(stem, row) for row in range(len(file["label"]))]


def write_rows(raw: Path, target: Path, ids: list[str]) -> None:
    """Write an image file with these rows of version 2, in this order; a row may occur more than once."""
    wanted = [parse_id(name) for name in ids]
    target.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(target, "w") as file:
        for key in KEYS:
            arrays = {}
            for stem in {stem for stem, _ in wanted}:
                with h5py.File(raw / f"{stem}.h5") as source:
                    arrays[stem] = source[key][:]
            file[key] = np.stack([arrays[stem][row] for stem, row in wanted])
