"""What flows from a source to a shard: a block of consecutive patches. Pure: no file is opened here."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from so2sat_hf.convert.cells import Cell
from so2sat_hf.errors import SourceError

PATCH_SIZE = 32
"""Rows and columns of a patch, in pixels of 10 m."""

PIXEL_SIZE = 10.0
"""Metres; every band is resampled to the 10 m Sentinel-2 grid."""

SPLIT_OF_FILE = {"training": "train", "validation": "validation", "testing": "test"}
"""Published file stem -> split name of the Hugging Face dataset, in the order of the paper."""

FILE_OF_SPLIT = {split: stem for stem, split in SPLIT_OF_FILE.items()}

GEO_COLUMNS = ("city", "epsg", "x_ul", "y_ul", "longitude", "latitude")
COLUMNS = ("id", "sen1", "sen2", "label", *GEO_COLUMNS)
"""Every column of a row, in the order of the data contract."""

DN_PER_REFLECTANCE = 10_000
"""sen2 is published as k / 10000.0 with a whole digital number k."""

Rows = range | NDArray[np.int64]
"""Positions of patches in the stored order of a split, increasing, from 0."""

MAX_ROWS_IN_MEMORY = 4096
"""No Arrow table ever holds more rows: 2**31 list offsets would be reached at 209,715 rows of sen2."""


@dataclass(frozen=True, slots=True)
class GeoBlock:
    """Where ``n`` patches lie."""

    city: list[str]
    """Key of the publisher, e.g. ``"munich"``; length n."""

    epsg: NDArray[np.int32]
    """(n,) UTM zone as EPSG code."""

    x_ul: NDArray[np.float64]
    """(n,) UTM metres of the upper-left corner of the patch, eastwards."""

    y_ul: NDArray[np.float64]
    """(n,) UTM metres of the upper-left corner of the patch, northwards."""

    longitude: NDArray[np.float64]
    """(n,) WGS 84 degrees of the centre of the patch."""

    latitude: NDArray[np.float64]
    """(n,) WGS 84 degrees of the centre of the patch."""


@dataclass(frozen=True, slots=True)
class PatchBlock:
    """Consecutive patches as they are stored: channels first, float32, in memory once."""

    ids: list[str]
    """``training/000123``: HDF5 file and row (from 0); length n."""

    label: NDArray[np.int64]
    """(n,) 0 = LCZ 1 ... 9 = LCZ 10, 10 = LCZ A ... 16 = LCZ G."""

    sen1: NDArray[np.float32] | None = None
    """(n, 8, 32, 32) linear; None if the column was not asked for."""

    sen2: NDArray[np.float32] | None = None
    """(n, 10, 32, 32) reflectance; None if the column was not asked for."""

    geo: GeoBlock | None = None
    """None if the source has no geolocation, or none was asked for."""

    rounding: Mapping[str, float] = field(default_factory=dict)
    """Column -> largest |stored - published|; empty when every value is exact."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One published file that patches came from."""

    name: str
    """File name, e.g. ``"training.h5"``."""

    bytes: int
    """Size of the file."""

    sha256: str | None = None
    """Hash of the file, hexadecimal; None if nobody computed it."""


class Source(Protocol):
    """Whatever yields patches: the published HDF5 files, a built folder, arrays in a test. Picklable."""

    @property
    def num_rows(self) -> Mapping[str, int]:
        """Split -> number of patches, in the order train, validation, test."""
        ...

    @property
    def layout(self) -> str:
        """The config that the split names belong to: ``culture_10``, or that of a version-3 split alone."""
        ...

    @property
    def cells(self) -> Mapping[Cell, int]:
        """Cell -> number of patches; cells of a split follow each other in its stored order."""
        ...

    def hdf5_rows(self, split: str) -> NDArray[np.int64]:
        """(n,) the row in the HDF5 file of every patch of a split, in stored order."""
        ...

    def raster(self, split: str) -> NDArray[np.int32] | None:
        """(n, 4) the publisher's row and column numbers of every HDF5 row of a split, or None without.

        Row and column of the centre of the patch in its city's Sentinel-1 raster, then in that of Sentinel-2.
        """
        ...

    def labels(self, split: str) -> NDArray[np.int64]:
        """(n,) the class index of every patch of a split, in stored order."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns this source can give, in the order of :data:`COLUMNS`."""
        ...

    @property
    def geo_generation(self) -> str | None:
        """``"2025"``, ``"2026"``, or None without geolocation."""
        ...

    def fingerprint(self) -> Mapping[str, object]:
        """What identifies the input: per file its name, size and modification time. Plain JSON values."""
        ...

    def records(self) -> tuple[SourceRecord, ...]:
        """The published files that the patches come from in the end."""
        ...

    def blocks(
        self,
        split: str,
        rows: Rows,
        *,
        columns: tuple[str, ...],
        size: int,
        reuse: bool = False,
    ) -> Iterator[PatchBlock]:
        """Yield the patches at some positions of a split in blocks of at most ``size`` rows.

        With ``reuse`` a block may be overwritten by the next one.

        Raises:
            SourceError: a value that the data contract does not allow (NaN, a label that is not one-hot).
            LossyError: a value that float32 or the 1/10000 grid cannot hold.
        """
        ...


def row_id(file: str, row: int) -> str:
    """Return the id of a patch.

    >>> row_id("training", 123)
    'training/000123'
    """
    return f"{file}/{row:06d}"


def parse_id(text: str) -> tuple[str, int]:
    """Return file stem and row of an id.

    >>> parse_id("training/000123"), parse_id("random/testing/000004")
    (('training', 123), ('random/testing', 4))
    """
    file, _, row = text.rpartition("/")
    return file, int(row)


def chosen_splits(wanted: Collection[str], known: Collection[str], place: object) -> tuple[str, ...]:
    """Return the splits that somebody wants, in the order of the source; all of them for none.

    Args:
        wanted: names of splits; empty for all.
        known: splits of the source, in order.
        place: what an error is about.

    Raises:
        SourceError: the source has no such split.

    >>> chosen_splits(("test", "train"), ("train", "validation", "test"), "raw")
    ('train', 'test')
    """
    for name in wanted:
        if name not in known:
            raise SourceError(
                place,
                found=f"no split {name}",
                expected=" or ".join(known),
                remedy="leave it out, or give the files that hold it",
            )
    return tuple(name for name in known if name in (wanted or known))
