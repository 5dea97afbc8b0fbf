"""Made patches and the published rows of validation, and indices of them."""

import io
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa

from so2sat_hf.companions.index import IndexEncoder, plan_index
from so2sat_hf.convert.cells import Cell
from so2sat_hf.convert.geolocation import RawGeo, locate
from so2sat_hf.convert.patches import COLUMNS, GeoBlock, PatchBlock, row_id

NUM_ROWS = 24_119
PLAIN = tuple(name for name in COLUMNS if name not in ("sen1", "sen2"))
SHARDS = [
    (Cell("validation", "1", "0"), [("data/validation/r1b0-00000-of-00001.parquet", 2000)]),
    (
        Cell("validation", "0", "x"),
        [
            ("data/validation/r0bx-00000-of-00002.parquet", 5),
            ("data/validation/r0bx-00001-of-00002.parquet", 4),
        ],
    ),
]


def made_patches(rows: range, *, pixels: bool = True) -> PatchBlock:
    """Patches near Munich that tell their HDF5 row by their label, position and pixels."""
    number = np.array(rows)
    rng = np.random.default_rng(0)
    place = [691_600.0 + 100 * number, 5_334_800.0 - 100 * number, 11.0 + number, 48.0 - number]
    return PatchBlock(
        ids=[row_id("validation", row) for row in rows],
        label=number % 17,
        sen1=(rng.normal(size=(len(rows), 8, 32, 32)) + number[:, None, None, None]).astype("f4")
        if pixels
        else None,
        sen2=(rng.integers(1, 20_000, (len(rows), 10, 32, 32)) / 10_000).astype("f4") if pixels else None,
        geo=GeoBlock(["munich"] * len(rows), np.full(len(rows), 32632, np.int32), *place),
    )


def written(encoder: IndexEncoder, tables: list[pa.Table], suffix: str = ".parquet") -> bytes:
    sink = io.BytesIO()
    with encoder.writer(sink, suffix) as writer:
        for table in tables:
            writer.write_table(table)
    return sink.getvalue()


class Real:
    """The 24,119 published validation rows, without pixels."""

    def __init__(self, path: Path) -> None:
        with h5py.File(path) as file:
            raw = RawGeo(file["tfw"][:], file["epsg"][:].reshape(-1).astype(np.int64), None)
            self.raster = file["coord"][:, 2:].astype(np.int32)
        self.geo = locate(raw, path)
        first = ("data/validation/00000-of-00002.parquet", 15_000)
        second = ("data/validation/00001-of-00002.parquet", NUM_ROWS - 15_000)
        self.encoder = plan_index(
            [(Cell("validation"), [first, second])],
            columns=PLAIN,
            first_number=352_366,
            geo=[self.geo],
            raster=self.raster,
        )

    def block(self, start: int, stop: int) -> PatchBlock:
        rows, geo = slice(start, stop), self.geo
        return PatchBlock(
            ids=[row_id("validation", row) for row in range(start, stop)],
            label=np.arange(start, stop) % 17,
            geo=GeoBlock(
                geo.city[rows],
                geo.epsg[rows],
                geo.x_ul[rows],
                geo.y_ul[rows],
                geo.longitude[rows],
                geo.latitude[rows],
            ),
        )

    def tables(self, size: int) -> list[pa.Table]:
        starts = range(0, NUM_ROWS, size)
        return [self.encoder.table(self.block(start, min(start + size, NUM_ROWS)), start) for start in starts]
