"""What of each patch goes into a batch: columns and bands by their names, and the dtype of each. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from so2sat_hf import facts
from so2sat_hf.convert.patches import GEO_COLUMNS
from so2sat_hf.convert.table import NUM_BANDS
from so2sat_hf.convert.views import is_list, is_number, is_string, storage_type
from so2sat_hf.errors import So2SatError, SourceError


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of each patch goes into a batch."""

    columns: tuple[str, ...]
    """In stored order."""

    bands: Mapping[str, tuple[int, ...] | None]
    """Column of pixels -> numbers of its bands in the order wanted, from 0; None: all, as stored."""


def wanted(stored: Sequence[str], columns: Iterable[str] | None, bands: Iterable[str] | None) -> Wanted:
    """Decide what goes into a batch.

    Args:
        stored: the columns there are.
        columns: those wanted (``geo`` for all of the geolocation); None: all.
        bands: names of bands of either sensor, e.g. ``("B04", "B03", "B02", "VV_lee")``. Each sensor keeps
            those bands, in the order given; one without any is left out. None: all.

    Raises:
        So2SatError: a column or a band that is not there.

    >>> wanted(("id", "sen1", "sen2", "label"), ("sen2", "label"), ("B04", "B03"))
    Wanted(columns=('sen2', 'label'), bands={'sen2': (2, 1)})
    """
    names = _columns(stored, columns)
    if bands is None:
        return Wanted(names, {name: None for name in names if name in NUM_BANDS})
    chosen = [facts.band(name) for name in ([bands] if isinstance(bands, str) else bands)]
    for band in chosen:
        if band.sensor not in names:
            raise So2SatError(
                "bands",
                found=f"{band.name} is in column {band.sensor}, which is not among {', '.join(names)}",
                expected="bands of the columns that are read",
                remedy=f"add {band.sensor} to the columns" if band.sensor in stored else "leave it out",
            )
    numbers = {
        sensor: tuple(band.index for band in chosen if band.sensor == sensor)
        for sensor in NUM_BANDS
        if any(band.sensor == sensor for band in chosen)
    }
    return Wanted(tuple(name for name in names if name in numbers or name not in NUM_BANDS), numbers)


def _columns(stored: Sequence[str], columns: Iterable[str] | None) -> tuple[str, ...]:
    """Return the columns wanted, in stored order."""
    if columns is None:
        return tuple(stored)
    names = [columns] if isinstance(columns, str) else list(columns)
    names = [each for name in names for each in (GEO_COLUMNS if name == "geo" else (name,))]
    missing = [name for name in names if name not in stored]
    if missing or not names:
        raise So2SatError(
            "columns",
            found=f"no column {missing[0]!r}" if missing else "none at all",
            expected=f"columns out of {', '.join(stored)}",
        )
    return tuple(name for name in stored if name in names)


def dtypes(schema: pa.Schema, columns: Iterable[str]) -> dict[str, np.dtype[Any]]:
    """Return the dtype of each column in a batch; object for strings.

    Raises:
        SourceError: a column that is neither pixels nor a number nor a string.
    """
    found: dict[str, np.dtype[Any]] = {}
    for name in columns:
        kind, depth = storage_type(schema.field(name).type), 0
        while is_list(kind):
            kind, depth = kind.value_type, depth + 1
        if depth == 0 and is_string(kind):
            found[name] = np.dtype(object)
        elif is_number(kind) and depth in (0, 3):
            found[name] = np.dtype(kind.to_pandas_dtype())
        else:
            raise SourceError(
                f"column {name}",
                found=f"type {schema.field(name).type}",
                expected="pixels (bands, rows, columns), numbers or strings",
                remedy="leave it out of the columns",
            )
    return found
