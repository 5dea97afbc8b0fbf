"""Files of the index: small tables gathered into row groups, and the metadata of GeoParquet 1.1."""

import json
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from so2sat_hf.companions.footprint import BOUNDS
from so2sat_hf.convert.encode import arrow_writer

GROUP_ROWS = 8192
"""Rows of a row group or record batch; 3 MB in memory."""

CRS84: dict[str, Any] = {
    "$schema": "https://proj.org/schemas/v0.7/projjson.schema.json",
    "type": "GeographicCRS",
    "name": "WGS 84 (CRS84)",
    "datum": {
        "type": "GeodeticReferenceFrame",
        "name": "World Geodetic System 1984",
        "ellipsoid": {"name": "WGS 84", "semi_major_axis": 6378137, "inverse_flattening": 298.257223563},
    },
    "coordinate_system": {
        "subtype": "ellipsoidal",
        "axis": [
            {"name": "Geodetic longitude", "abbreviation": "Lon", "direction": "east", "unit": "degree"},
            {"name": "Geodetic latitude", "abbreviation": "Lat", "direction": "north", "unit": "degree"},
        ],
    },
    "id": {"authority": "OGC", "code": "CRS84"},
}
"""OGC:CRS84, longitude before latitude, as PROJJSON; spelled out, so that no release of PROJ matters."""


def with_geo(schema: pa.Schema, extent: NDArray[np.float64] | None) -> pa.Schema:
    """Return the schema with the metadata of GeoParquet 1.1 about its columns ``geometry`` and ``bbox``.

    Args:
        schema: its other metadata stay.
        extent: (4,) west, south, east and north end of the whole file in degrees; None: not known.
    """
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "crs": CRS84,
        "edges": "planar",
        "orientation": "counterclockwise",
        "covering": {"bbox": {name: ["bbox", name] for name in BOUNDS}},
    }
    if extent is not None:
        column["bbox"] = extent.tolist()
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    return schema.with_metadata({**(schema.metadata or {}), "geo": json.dumps(geo)})


def open_writer(
    sink: Any,  # noqa: ANN401
    schema: pa.Schema,
    *,
    suffix: str,
    dictionary: tuple[str, ...],
) -> "GatheringWriter":
    """Open a file for tables of that schema.

    Args:
        sink: where to write.
        schema: of the tables.
        suffix: ``.parquet`` or ``.arrow``.
        dictionary: columns with few different values.
    """
    if suffix == ".arrow":
        return GatheringWriter(arrow_writer(sink, schema))
    return GatheringWriter(_parquet_writer(sink, schema, dictionary))


class GatheringWriter:
    """Gathers tables into row groups: how the rows are cut into tables does not change a byte of the file."""

    def __init__(self, writer: Any) -> None:  # noqa: ANN401
        """Take over an open ``pq.ParquetWriter`` or ``pa.RecordBatchFileWriter``."""
        self._writer = writer
        self._pending: list[pa.Table] = []

    def write_table(self, table: pa.Table) -> None:
        """Take some rows."""
        self._pending.append(table)
        if sum(map(len, self._pending)) >= GROUP_ROWS:
            self._write(GROUP_ROWS)

    def _write(self, at_least: int) -> None:
        """Write row groups while so many rows are left."""
        rows = pa.concat_tables(self._pending)
        while len(rows) >= at_least:
            self._writer.write_table(rows.slice(0, GROUP_ROWS).combine_chunks())
            rows = rows.slice(GROUP_ROWS)
        self._pending = [rows]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left, unless something went wrong, and close the file."""
        try:
            if kind is None and self._pending:
                self._write(1)
        finally:
            self._writer.close()


def _parquet_writer(sink: Any, schema: pa.Schema, dictionary: tuple[str, ...]) -> pq.ParquetWriter:  # noqa: ANN401
    floats = [name for name in schema.names if pa.types.is_floating(schema.field(name).type)]
    bounds = [f"bbox.{name}" for name in BOUNDS] if "bbox" in schema.names else []
    unfiltered = ("geometry", "bbox")
    return pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        compression_level=3,
        use_byte_stream_split=[*floats, *bounds],
        use_dictionary=[name for name in dictionary if name in schema.names],
        write_statistics=[*(name for name in schema.names if name not in unfiltered), *bounds],
        write_page_index=True,
        write_page_checksum=True,
    )
