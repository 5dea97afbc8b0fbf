"""One split: an HDF5 file and its geo file, read as one. The only file that reads with h5py.

Nothing is followed out of a file: external links, external storage and virtual datasets are refused,
because they would read other files.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from so2sat_hf.convert.decode import CHUNK_ROWS, Decoder
from so2sat_hf.convert.geolocation import RawGeo, generation, locate
from so2sat_hf.convert.limits import check_dataset
from so2sat_hf.convert.patches import GEO_COLUMNS, GeoBlock, PatchBlock, Rows, row_id
from so2sat_hf.errors import SourceError

ROW_SHAPES = {"sen1": (32, 32, 8), "sen2": (32, 32, 10), "label": (17,)}
"""Dataset -> shape of a row, channels last, as published."""

CITY_KEYS = ("city", "cityList")


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


def _dataset(file: h5py.File, path: Path, key: str) -> h5py.Dataset:
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


def count_rows(path: Path) -> int:
    """Check the layout of an image file and return how many patches it holds.

    Raises:
        SourceError: it is not laid out as published.
    """
    with open_hdf5(path) as file:
        rows = {}
        for key, shape in ROW_SHAPES.items():
            dataset = _dataset(file, path, key)
            if dataset.shape is None or dataset.shape[1:] != shape or not dataset.shape[0]:
                raise SourceError(
                    path,
                    found=f"{key} has shape {dataset.shape}",
                    expected=f"(N, {', '.join(map(str, shape))}) with N > 0",
                )
            if dataset.dtype != np.dtype("<f8"):
                raise SourceError(
                    path, found=f"{key} has dtype {dataset.dtype}", expected="float64, as published"
                )
            rows[key] = dataset.shape[0]
        if len(set(rows.values())) != 1:
            counts = ", ".join(f"{key} {count:,}" for key, count in rows.items())
            raise SourceError(path, found=f"different row counts: {counts}", expected="equal ones")
        return int(rows["label"])


def read_labels(path: Path) -> NDArray[np.int64]:
    """Return every class index of an image file, (n,)."""
    decoder = Decoder(path)
    with open_hdf5(path) as file:
        dataset = _dataset(file, path, "label")
        chunks = [
            decoder.label(dataset[start : start + 65_536], range(start, start + 65_536))
            for start in range(0, dataset.shape[0], 65_536)
        ]
    return np.concatenate(chunks)


def read_geo(path: Path, num_rows: int, start: int = 0, stop: int | None = None) -> RawGeo:
    """Read rows of a geo file of either generation.

    Args:
        path: the geo file.
        num_rows: rows of the image file it belongs to.
        start: first row.
        stop: row after the last; default: all.

    Raises:
        SourceError: not laid out as published, or another number of rows than the image file.
    """
    stop = num_rows if stop is None else stop
    with open_hdf5(path) as file:
        tfw, epsg = _dataset(file, path, "tfw"), _dataset(file, path, "epsg")
        names = list(file.keys())
        city_key = next((key for key in CITY_KEYS if key in names), None)
        city = _dataset(file, path, city_key) if city_key else None
        shapes = {"tfw": (num_rows, 6), "epsg": (num_rows,), "city": (num_rows,)}
        for key, dataset in {"tfw": tfw, "epsg": epsg, "city": city}.items():
            if dataset is not None and dataset.shape not in (shapes[key], (num_rows, 1)):
                raise SourceError(
                    path,
                    found=f"{key} has shape {dataset.shape}",
                    expected=f"{shapes[key]}, one row for each patch of the image file",
                    remedy="use the geo file that belongs to this image file",
                )
        if epsg.dtype.kind not in "iu" or tfw.dtype.kind != "f":
            raise SourceError(
                path,
                found=f"epsg has dtype {epsg.dtype}, tfw {tfw.dtype}",
                expected="integers and floating-point numbers",
            )
        return RawGeo(
            tfw=tfw[start:stop].astype(np.float64),
            epsg=epsg[start:stop].reshape(-1).astype(np.int64),
            city=None if city is None else [_text(value) for value in city[start:stop].reshape(-1)],
        )


def read_raster(path: Path, num_rows: int) -> NDArray[np.int32] | None:
    """Return (n, 4): row and column of every centre in its city's Sentinel-1 and Sentinel-2 raster.

    They are the last four numbers of ``coord`` in geo files of 2025; None where a file has no ``coord``.

    Raises:
        SourceError: not laid out as published, or not whole numbers.
    """
    with open_hdf5(path) as file:
        if "coord" not in list(file.keys()):
            return None
        dataset = _dataset(file, path, "coord")
        if dataset.shape != (num_rows, 6):
            raise SourceError(path, found=f"coord has shape {dataset.shape}", expected=f"({num_rows}, 6)")
        numbers = dataset[:, 2:]
    if not (np.rint(numbers) == numbers).all() or np.abs(numbers).max() > np.iinfo(np.int32).max:
        raise SourceError(path, found="coord has broken row numbers", expected="whole numbers of pixels")
    return numbers.astype(np.int32)


def _text(value: object) -> str:
    text = value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
    return text.strip("\0 ").lower()


def is_geo(path: Path) -> bool:
    """Whether an HDF5 file is laid out like a geo file rather than an image file."""
    with open_hdf5(path) as file:
        names = list(file.keys())
    return "tfw" in names and "sen1" not in names


def count_geo_rows(path: Path) -> int:
    """Return how many rows a geo file has."""
    with open_hdf5(path) as file:
        dataset = _dataset(file, path, "tfw")
        if dataset.ndim != 2 or not dataset.shape[0]:
            raise SourceError(path, found=f"tfw has shape {dataset.shape}", expected="(N, 6) with N > 0")
        return int(dataset.shape[0])


def locate_all(path: Path, num_rows: int) -> GeoBlock:
    """Return the checked positions of every row of a geo file."""
    return locate(read_geo(path, num_rows), path)


def geo_generation(path: Path, num_rows: int) -> str:
    """``"2025"`` or ``"2026"``, read from the values."""
    return generation(read_geo(path, num_rows, 0, min(num_rows, 1024)).tfw, path)


class Buffers:
    """Memory for the pixels of a block: fresh for each, or the same again, which saves the page faults."""

    def __init__(self, size: int, *, reuse: bool) -> None:
        self._size = size
        self._reuse = reuse
        self._stored: dict[str, NDArray[np.float32]] = {}
        self._raw: dict[str, NDArray[np.float64]] = {}

    def raw(self, column: str) -> NDArray[np.float64]:
        """Room for one chunk as published; overwritten by the next chunk."""
        if column not in self._raw:
            self._raw[column] = np.empty((min(CHUNK_ROWS, self._size), *ROW_SHAPES[column]))
        return self._raw[column]

    def stored(self, column: str, num_rows: int) -> NDArray[np.float32]:
        """Room for a block of ``num_rows`` as stored, (n, c, 32, 32)."""
        height, width, num_bands = ROW_SHAPES[column]
        if not self._reuse:
            return np.empty((num_rows, num_bands, height, width), np.float32)
        if column not in self._stored:
            self._stored[column] = np.empty((self._size, num_bands, height, width), np.float32)
        return self._stored[column][:num_rows]


@dataclass(frozen=True, slots=True)
class SplitFile:
    """The image file of one split and its geo file."""

    split: str
    """``train``, ``validation`` or ``test``."""

    stem: str
    """``training``, ``validation`` or ``testing``, with the folder of a version-3 split before it
    (``random/training``); the first part of every id."""

    path: Path
    """The image file."""

    geo_path: Path | None
    """The geo file, or None."""

    num_rows: int
    """Patches in the file."""

    def locate(self, rows: Rows | None = None) -> GeoBlock:
        """Positions and cities of some rows, by default of all; the split must have a geo file."""
        if self.geo_path is None:
            raise SourceError(self.path, found="no geo file beside it", expected=f"{self.stem}_geo.h5")
        rows = range(self.num_rows) if rows is None else rows
        first, end = int(rows[0]), int(rows[-1]) + 1
        raw = read_geo(self.geo_path, self.num_rows, first, end)
        return locate(raw if end - first == len(rows) else raw.take(np.asarray(rows) - first), self.geo_path)

    def blocks(
        self,
        rows: Rows,
        *,
        columns: tuple[str, ...],
        size: int,
        reuse: bool = False,
        allow_rounding: bool = False,
    ) -> Iterator[PatchBlock]:
        """Yield some rows of the file in blocks of at most ``size`` rows; see :class:`Source`."""
        decoder = Decoder(self.path, allow_rounding=allow_rounding)
        buffers = Buffers(min(size, len(rows)), reuse=reuse)
        with open_hdf5(self.path) as file:
            datasets = {key: _dataset(file, self.path, key) for key in ROW_SHAPES}
            for first in range(0, len(rows), size):
                yield self._block(datasets, decoder, rows[first : first + size], columns, buffers)

    def _block(
        self,
        datasets: dict[str, h5py.Dataset],
        decoder: Decoder,
        rows: Rows,
        columns: tuple[str, ...],
        buffers: "Buffers",
    ) -> PatchBlock:
        stored: dict[str, NDArray[np.float32]] = {}
        for column, decode in (("sen1", decoder.sen1), ("sen2", decoder.sen2)):
            if column not in columns:
                continue
            out = stored[column] = buffers.stored(column, len(rows))
            raw = buffers.raw(column)
            for first in range(0, len(rows), CHUNK_ROWS):
                chunk = rows[first : first + CHUNK_ROWS]
                _read(datasets[column], chunk, raw)
                decode(raw[: len(chunk)], chunk, out[first : first + len(chunk)])
        one_hot = np.empty((len(rows), 17))
        _read(datasets["label"], rows, one_hot)
        with_geo = self.geo_path is not None and any(name in columns for name in GEO_COLUMNS)
        return PatchBlock(
            ids=[row_id(self.stem, row) for row in rows],
            label=decoder.label(one_hot, rows),
            sen1=stored.get("sen1"),
            sen2=stored.get("sen2"),
            geo=self.locate(rows) if with_geo else None,
            rounding=dict(decoder.rounding),
        )

    def raw_chunks(self, column: str, rows: Rows) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Yield (position among ``rows``, values as published) in chunks, for verification."""
        with open_hdf5(self.path) as file:
            dataset = _dataset(file, self.path, column)
            raw = np.empty((min(CHUNK_ROWS, len(rows)), *ROW_SHAPES[column]))
            for first in range(0, len(rows), CHUNK_ROWS):
                chunk = rows[first : first + CHUNK_ROWS]
                _read(dataset, chunk, raw)
                yield first, raw[: len(chunk)]


def _read(dataset: h5py.Dataset, rows: Rows, out: NDArray[np.float64]) -> None:
    """Read increasing rows into the head of ``out``, each run of neighbours at once."""
    numbers = np.asarray(rows)
    ends = [*(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
    begin = 0
    for end in ends:
        first = int(numbers[begin])
        dataset.read_direct(out, np.s_[first : first + end - begin], np.s_[begin:end])
        begin = end
