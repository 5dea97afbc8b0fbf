"""Generated version 2 -> the three splits of version 3: the same patches, regrouped and shuffled."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from so2sat_hf.convert import hdf5, split_file
from so2sat_hf.convert.cells import SPLITS
from so2sat_hf.convert.patches import FILE_OF_SPLIT
from so2sat_hf.errors import So2SatError, SourceError
from so2sat_hf.synthetic.files import Chunk, Progress, check_room, write_all, write_patches
from so2sat_hf.synthetic.layout import Layout, lay_out

TRAIN_SHARE = 320_777 / 400_673
"""Of the rows, in the training file of ``random``: as published, by its band means. ``block`` takes the same,
because nobody states how many rows that file has."""

COPY_ROWS = 256
"""Rows in memory at a time; 38 MB."""

RANDOM, BLOCK = 7, 8
"""What random numbers are for; with the seed, the key of their stream."""

Rows = NDArray[np.int64]


def write_version_3(raw: Path, *, seed: int = 0, progress: Progress | None = None) -> None:
    """Write ``random``, ``block`` and ``culture_10`` into a folder that ``write_raw`` filled.

    Each gets ``training.h5`` and ``testing.h5`` in the published layout, without validation and geo files,
    and holds every patch once:

    * ``random``: 80.06 % of all rows by chance, and the others.
    * ``block``: the western 80 % of each city, and the rest of it.
    * ``culture_10``: ``training.h5`` as it is (the same file, where the disk can link it), and the rows of
      ``validation.h5`` before those of ``testing.h5``; that order is a guess, no source states it.

    The rows of ``random`` and ``block`` are shuffled. The same files and seed give the same bytes. Files get
    their names when all of them are complete.

    Args:
        raw: holds ``training.h5``, ``validation.h5`` and ``testing.h5``.
        seed: the one that they were written with.
        progress: told after every block, with names like ``random/training.h5``.

    Raises:
        So2SatError: a file is missing or was written with another seed, there are too few rows for a split,
            a file is in the way, or there is too little room.
    """
    paths = [raw / f"{FILE_OF_SPLIT[split]}.h5" for split in SPLITS]
    counts = [split_file.count_rows(path) for path in paths]
    layouts = [lay_out(split, count, seed=seed) for split, count in zip(SPLITS, counts, strict=True)]
    _check_seed(paths, layouts)
    held_out = np.arange(counts[0], sum(counts))
    groups = {
        "random": _random(sum(counts), seed),
        "block": _block(layouts, seed),
        "culture_10": (None, held_out),
    }
    writers: dict[Path, Callable[[Path], None]] = {}
    for folder, (train, test) in groups.items():
        for name, rows in (("training.h5", train), ("testing.h5", test)):
            writers[raw / folder / name] = (
                partial(_repeat, paths[0])
                if rows is None
                else partial(_write_rows, paths, rows, _with_folder(folder, progress))
            )
    check_room(raw, list(writers), 2 * sum(counts) + len(held_out))
    _write_into_folders(raw, list(groups), writers)


def _check_seed(paths: Sequence[Path], layouts: Sequence[Layout]) -> None:
    """Refuse files of another seed: ``block`` needs to know where their patches lie."""
    for path, layout in zip(paths, layouts, strict=True):
        if not np.array_equal(split_file.read_labels(path), layout.label):
            raise SourceError(
                path,
                found="other labels than generated files have with this seed",
                expected="the files that `so2sat synth` wrote with the same seed",
                remedy="write them anew, into another folder",
            )


def _random(num_rows: int, seed: int) -> tuple[Rows, Rows]:
    """Deal out all rows by chance: training and testing, shuffled."""
    rows = np.random.default_rng([seed, RANDOM]).permutation(num_rows)
    num_train = round(TRAIN_SHARE * num_rows)
    return _both_filled("random", rows[:num_train], rows[num_train:])


def _block(layouts: Sequence[Layout], seed: int) -> tuple[Rows, Rows]:
    """Cut each city from north to south: training west of the cut and testing east of it, shuffled."""
    city = np.concatenate([layout.city for layout in layouts])
    x_ul = np.concatenate([layout.x_ul for layout in layouts])
    is_train = np.zeros(len(city), bool)
    for index in np.unique(city):
        rows = np.flatnonzero(city == index)
        easting = np.sort(x_ul[rows])
        num_train = round(TRAIN_SHARE * len(rows))
        cut = easting[num_train] if num_train < len(rows) else np.inf
        is_train[rows] = x_ul[rows] < cut
    rng = np.random.default_rng([seed, BLOCK])
    train, test = (rng.permutation(np.flatnonzero(group)) for group in (is_train, ~is_train))
    return _both_filled("block", train, test)


def _both_filled(name: str, train: Rows, test: Rows) -> tuple[Rows, Rows]:
    if not len(train) or not len(test):
        raise So2SatError(
            f"split {name}",
            found=f"{len(train)} rows to train and {len(test)} to test",
            expected="at least one of each",
            remedy="ask for more patches",
        )
    return train, test


def _with_folder(folder: str, progress: Progress | None) -> Progress | None:
    if progress is None:
        return None
    return lambda name, done, total: progress(f"{folder}/{name}", done, total)


def _write_into_folders(
    raw: Path, folders: Sequence[str], writers: dict[Path, Callable[[Path], None]]
) -> None:
    """Write all files; folders that get none do not stay."""
    try:
        for folder in folders:
            (raw / folder).mkdir(exist_ok=True)
        write_all(raw, writers)
    finally:
        for folder in folders:
            with contextlib.suppress(OSError):
                (raw / folder).rmdir()  # fails when there is anything in it


def _repeat(original: Path, path: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    try:
        os.link(original, path)
    except OSError:
        shutil.copyfile(original, path)


def _write_rows(paths: Sequence[Path], rows: Rows, progress: Progress | None, path: Path) -> None:
    write_patches(path, len(rows), _gathered(paths, rows), progress)


def _gathered(paths: Sequence[Path], rows: Rows) -> Iterator[Chunk]:
    """Yield rows in a given order; they count through all files, one after the other."""
    files = [_mapped(path) for path in paths]
    ends = np.cumsum([len(file["label"]) for file in files])
    for start in range(0, len(rows), COPY_ROWS):
        chunk = rows[start : start + COPY_ROWS]
        number = np.searchsorted(ends, chunk, side="right")
        taken = {key: np.empty((len(chunk), *shape)) for key, shape in split_file.ROW_SHAPES.items()}
        for index, file in enumerate(files):
            here = number == index
            first = ends[index] - len(file["label"])
            for key, values in taken.items():
                values[here] = file[key][chunk[here] - first]
        yield start, taken["sen1"], taken["sen2"], taken["label"]


def _mapped(path: Path) -> dict[str, NDArray[np.float64]]:
    """Map the arrays of an image file: picking single rows through h5py takes 20 times as long."""
    with hdf5.open_hdf5(path) as file:
        return {key: _map(path, file[key]) for key in split_file.ROW_SHAPES}


def _map(path: Path, dataset: Any) -> NDArray[np.float64]:  # noqa: ANN401
    offset = dataset.id.get_offset()
    if offset is None:
        raise SourceError(path, found="rows in chunks", expected="contiguous rows, as `so2sat synth` writes")
    return np.memmap(path, "<f8", "r", offset=offset, shape=dataset.shape)
