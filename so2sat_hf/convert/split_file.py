"""One split: an image file and its geo file, read as one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from so2sat_hf.convert.decode import CHUNK_ROWS, Decoder
from so2sat_hf.convert.geo_file import read_geo
from so2sat_hf.convert.geolocation import locate
from so2sat_hf.convert.hdf5 import dataset_of, open_hdf5, read_into
from so2sat_hf.convert.patches import GEO_COLUMNS, GeoBlock, PatchBlock, Rows, row_id
from so2sat_hf.errors import SourceError

ROW_SHAPES = {"sen1": (32, 32, 8), "sen2": (32, 32, 10), "label": (17,)}
"""Dataset -> shape of a row, channels last, as published."""


def count_rows(path: Path) -> int:
    """Check the layout of an image file and return how many patches it holds.

    Raises:
        SourceError: it is not laid out as published.
    """
    with open_hdf5(path) as file:
        rows = {}
        for key, shape in ROW_SHAPES.items():
            dataset = dataset_of(file, path, key)
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
        dataset = dataset_of(file, path, "label")
        chunks = [
            decoder.label(dataset[start : start + 65_536], range(start, start + 65_536))
            for start in range(0, dataset.shape[0], 65_536)
        ]
    return np.concatenate(chunks)


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
            datasets = {key: dataset_of(file, self.path, key) for key in ROW_SHAPES}
            for first in range(0, len(rows), size):
                yield self._block(datasets, decoder, rows[first : first + size], columns, buffers)

    def _block(
        self,
        datasets: Mapping[str, Any],
        decoder: Decoder,
        rows: Rows,
        columns: tuple[str, ...],
        buffers: Buffers,
    ) -> PatchBlock:
        stored: dict[str, NDArray[np.float32]] = {}
        for column, decode in (("sen1", decoder.sen1), ("sen2", decoder.sen2)):
            if column not in columns:
                continue
            out = stored[column] = buffers.stored(column, len(rows))
            raw = buffers.raw(column)
            for first in range(0, len(rows), CHUNK_ROWS):
                chunk = rows[first : first + CHUNK_ROWS]
                read_into(datasets[column], chunk, raw)
                decode(raw[: len(chunk)], chunk, out[first : first + len(chunk)])
        one_hot = np.empty((len(rows), 17))
        read_into(datasets["label"], rows, one_hot)
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
            dataset = dataset_of(file, self.path, column)
            raw = np.empty((min(CHUNK_ROWS, len(rows)), *ROW_SHAPES[column]))
            for first in range(0, len(rows), CHUNK_ROWS):
                chunk = rows[first : first + CHUNK_ROWS]
                read_into(dataset, chunk, raw)
                yield first, raw[: len(chunk)]
