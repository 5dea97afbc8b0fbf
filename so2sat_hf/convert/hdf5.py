"""HDF5 files, opened and checked: the only file that reads with h5py.

Nothing is followed out of a file: external links, external storage and virtual datasets are refused,
because they would read other files.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from so2sat_hf.convert.limits import check_dataset
from so2sat_hf.convert.patches import Rows
from so2sat_hf.errors import SourceError


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading; every way it can be unreadable is a :class:`SourceError`."""
    if not path.is_file():
        raise SourceError(path, found="no such file", expected="an HDF5 file", remedy="check the path")
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except OSError as error:
        if "truncated file" in str(error):
            found, expected = f"truncated, {path.stat().st_size:,} bytes", "the whole file"
        elif "signature not found" in str(error):
            found, expected = "not an HDF5 file", "an HDF5 file"
        else:
            found, expected = f"cannot be read ({error})", "a readable HDF5 file"
        raise SourceError(path, found=found, expected=expected, remedy="download it again") from error
    except (KeyError, RuntimeError, TypeError, ValueError) as error:  # what h5py makes of damaged metadata
        raise SourceError(
            path, found=f"damaged ({error})", expected="a readable HDF5 file", remedy="download it again"
        ) from error


def dataset_of(file: h5py.File, path: Path, key: str) -> h5py.Dataset:
    """Return a dataset that lies in this very file.

    Raises:
        SourceError: missing, not a dataset, kept in another file, or larger than the file can hold.
    """
    keys = list(file.keys())
    if key not in keys:
        raise SourceError(
            path,
            found=f"no dataset {key!r} among {', '.join(map(repr, keys)) or 'no datasets at all'}",
            expected="the published layout: sen1, sen2, label (and city or coord, epsg, tfw in geo files)",
            remedy="check that this is a file of So2Sat LCZ42",
        )
    if not isinstance(file.get(key, getlink=True), h5py.HardLink):
        raise SourceError(path, found=f"{key!r} is a link", expected="a dataset in the file itself")
    dataset = file[key]
    if not isinstance(dataset, h5py.Dataset):
        raise SourceError(path, found=f"{key!r} is a group", expected="a dataset")
    if dataset.is_virtual or dataset.external:
        kind = "a virtual dataset" if dataset.is_virtual else "stored in another file"
        raise SourceError(path, found=f"{key!r} is {kind}", expected="a dataset in the file itself")
    shape, stored = dataset.shape or (), dataset.id.get_storage_size()
    itemsize = dataset.dtype.itemsize
    check_dataset(path, key, shape=shape, itemsize=itemsize, stored=stored, chunk=dataset.chunks)
    return dataset


def read_into(dataset: h5py.Dataset, rows: Rows, out: NDArray[np.float64]) -> None:
    """Read increasing rows into the head of ``out``, each run of neighbours at once."""
    numbers = np.asarray(rows)
    ends = [*(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
    begin = 0
    for end in ends:
        first = int(numbers[begin])
        dataset.read_direct(out, np.s_[first : first + end - begin], np.s_[begin:end])
        begin = end
