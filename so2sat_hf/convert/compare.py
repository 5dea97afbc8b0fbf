"""A table of a built folder against the same rows of the published HDF5.

The comparison reads the HDF5 on its own and decodes by the published rule, not with the code that wrote
the shards.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.patches import DN_PER_REFLECTANCE, parse_id, row_id
from so2sat_hf.convert.split_file import SplitFile
from so2sat_hf.convert.table import to_array

DEGREES = 1e-9
"""0.1 mm: what processors may differ by in a projection."""


class Comparison:
    """Rows of a table against those of the HDF5 that their ids name.

    Attributes:
        rows: (n,) rows of the HDF5, or empty where the ids cannot be right.
        num_values: values compared so far.
    """

    def __init__(self, path: str, manifest: Manifest, file: SplitFile, table: pa.Table) -> None:
        self.path, self.manifest, self.file, self.table = path, manifest, file, table
        self.num_values = 0
        self.rows = np.zeros(0, np.int64)

    def problems(self) -> Iterator[str]:
        """Yield the first difference of every column."""
        ids = self.table.column("id").to_pylist()
        if problem := self._problem_of(ids):
            yield f"{self.path}: {problem}"
            return
        self.rows = np.array([parse_id(text)[1] for text in ids], np.int64)
        for sensor in ("sen1", "sen2"):
            if sensor in self.manifest.columns:
                yield from self._pixels(sensor)
        yield from self._labels()
        if "city" in self.manifest.columns and self.file.geo_path is not None:
            yield from self._geolocation()

    def _problem_of(self, ids: list[str]) -> str | None:
        """Say what is wrong with ids: they name rows of this file, in increasing order."""
        last = -1
        for text in ids:
            digits = str(text).rpartition("/")[2]
            row = int(digits) if digits.isdecimal() else -1
            if text != row_id(self.file.stem, row) or row >= self.file.num_rows:
                stem, count = self.file.stem, self.file.num_rows
                return f"id {text}, expected {stem}/ and one of the {count:,} rows of {self.file.path.name}"
            if row <= last:
                return f"id {text} after {row_id(self.file.stem, last)}, expected rows in increasing order"
            last = row
        return None

    def _pixels(self, sensor: str) -> Iterator[str]:
        stored = to_array(self.table.column(sensor).combine_chunks(), sensor)
        for first, raw in self.file.raw_chunks(sensor, self.rows):
            chunk = stored[first : first + len(raw)].transpose(0, 2, 3, 1)
            decoded = published_value(chunk) if sensor == "sen2" else chunk
            self.num_values += raw.size
            equal = decoded == raw
            if chunk.dtype == np.float32:
                equal &= raw.astype(np.float32) == chunk  # it was stored as the nearest float32
            if sensor in self.manifest.rounding:
                equal |= self._is_rounded(chunk, raw, sensor)
            if not equal.all():
                where = tuple(int(i) for i in np.argwhere(~equal)[0])
                band = facts.bands(sensor)[where[3]].name
                yield (
                    f"{self.path}: {self._id(first + where[0])}, {band}, "
                    f"pixel ({where[1]}, {where[2]}): {decoded[where]!r}, expected {raw[where]!r}; "
                    f"{np.count_nonzero(~equal):,} values differ in these {len(raw)} rows"
                )
                return

    def _is_rounded(self, chunk: NDArray[Any], raw: NDArray[np.float64], sensor: str) -> NDArray[np.bool_]:
        """Whether values are the rounded ones: the nearest float32, or digital numbers to the tolerance."""
        tolerance = self.manifest.rounding[sensor]
        if chunk.dtype == np.float32:
            grid = published_value(chunk) if sensor == "sen2" else np.full(raw.shape, np.nan)
            from_number = (grid.astype(np.float32) == chunk) & (np.abs(grid - raw) <= tolerance)
            return (chunk == raw.astype(np.float32)) | from_number
        return np.abs(chunk / DN_PER_REFLECTANCE - raw) <= tolerance

    def _labels(self) -> Iterator[str]:
        stored = self.table.column("label").to_numpy()
        for first, raw in self.file.raw_chunks("label", self.rows):
            labels = stored[first : first + len(raw)]
            one_hot = labels[:, None] == np.arange(facts.NUM_CLASSES)
            self.num_values += len(raw)
            bad = np.flatnonzero((one_hot != raw).any(axis=1))
            if len(bad):
                name = self._id(first + int(bad[0]))
                yield f"{self.path}: {name}: label {labels[bad[0]]}, expected {raw[bad[0]].argmax()}"
                return

    def _geolocation(self) -> Iterator[str]:
        geo = self.file.locate(self.rows)
        for column in ("city", "epsg", "x_ul", "y_ul", "longitude", "latitude"):
            stored, wanted = self.table.column(column).to_pylist(), list(getattr(geo, column))
            self.num_values += len(stored)
            close = DEGREES if column in ("longitude", "latitude") else 0
            bad = next((r for r in range(len(stored)) if not _is_equal(stored[r], wanted[r], close)), None)
            if bad is not None:
                yield f"{self.path}: {self._id(bad)}: {column} {stored[bad]!r}, expected {wanted[bad]!r}"

    def _id(self, position: int) -> str:
        return row_id(self.file.stem, int(self.rows[position]))


def _is_equal(stored: Any, wanted: Any, tolerance: float) -> bool:  # noqa: ANN401
    return bool(stored == wanted or (tolerance and abs(stored - wanted) <= tolerance))


def published_value(stored: NDArray[Any]) -> NDArray[np.float64]:
    """Stored ``sen2`` (float32 reflectance or uint16 digital numbers) -> the published float64."""
    exact = stored.astype(np.float64)
    number = exact if stored.dtype == np.uint16 else np.rint(exact * DN_PER_REFLECTANCE)
    return number / DN_PER_REFLECTANCE
