"""The index: true to the patches, and readable by everybody."""

import io
import itertools
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import pytest
from datasets import load_dataset

from so2sat_hf import facts
from so2sat_hf.companions.footprint import bounds_of, corners_of, to_wkb
from so2sat_hf.companions.geoparquet import CRS84, GROUP_ROWS, GatheringWriter
from so2sat_hf.companions.index import (
    RASTER,
    VERSIONS,
    IndexEncoder,
    features,
    plan_index,
    rows_before,
    splits_of_cell,
)
from so2sat_hf.convert.cells import Cell, splits_of
from so2sat_hf.convert.geolocation import RawGeo, locate
from so2sat_hf.convert.patches import COLUMNS, GeoBlock, PatchBlock, row_id
from so2sat_hf.errors import So2SatError

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


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Real:
    return Real(shared_data / "real_validation_geo_2025.h5")


@pytest.fixture(scope="module")
def path(real: Real, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of the published validation rows."""
    path = tmp_path_factory.mktemp("index") / "validation.parquet"
    path.write_bytes(written(real.encoder, real.tables(1024)))
    return path


# ---- rows


def test_every_row_is_that_of_its_patch() -> None:
    """Columns of the data files, means of all bands and numbers of others belong to the patch in that row."""
    raster = np.arange(4 * 3000, dtype=np.int32).reshape(-1, 4)
    encoder = plan_index(SHARDS, columns=COLUMNS, first_number=30, raster=raster)
    patches = made_patches(range(5, 2014))

    table = pa.concat_tables(
        [encoder.table(made_patches(range(5, 6)), 0), encoder.table(made_patches(range(6, 2014)), 1)]
    )

    assert table.column_names == list(features(COLUMNS, with_raster=True))
    assert table["id"].to_pylist() == patches.ids
    assert np.array_equal(table["label"], patches.label)
    assert table["city"].to_pylist() == ["munich"] * 2009
    for name in ("epsg", "x_ul", "y_ul", "longitude", "latitude"):
        assert np.array_equal(table[name], getattr(patches.geo, name))
    assert table["m_so2sat"].to_pylist() == [f"id_{30 + row:04d}" for row in range(5, 2014)]
    assert table["m_so2sat"][0].as_py() == "id_0035"
    assert np.array_equal(np.stack([table[name] for name in RASTER], axis=1), raster[5:2014])
    corners = corners_of(patches.geo)
    assert table["geometry"].to_pylist() == [record.tobytes() for record in to_wkb(corners)]
    assert [list(box.values()) for box in table["bbox"].to_pylist()] == bounds_of(corners).tolist()


def test_means_are_those_of_the_stored_values() -> None:
    """Each band by its own name, summed in float64 over 32 x 32 values and rounded once."""
    patches = made_patches(range(7))
    table = plan_index(SHARDS, columns=COLUMNS).table(patches, 0)

    for sensor, pixels in (("sen1", patches.sen1), ("sen2", patches.sen2)):
        for band in facts.bands(sensor):
            column = table[f"mean_{band.name}"]
            exact = pixels[:, band.index].astype(np.float64).sum(axis=(1, 2)) / 1024
            assert column.type == pa.float32()
            assert np.array_equal(column, exact.astype(np.float32))


def test_file_and_row_point_to_the_pixels() -> None:
    """Over the ends of files and cells; row groups of a data file have 1,024 rows."""
    table = plan_index(SHARDS, columns=PLAIN).table(made_patches(range(1000, 2009), pixels=False), 1000)

    expected = [
        (path, row, row // 1024) for _, shards in SHARDS for path, rows in shards for row in range(rows)
    ]
    found = zip(*(table[name].to_pylist() for name in ("file", "row", "row_group")), strict=True)
    assert list(found) == expected[1000:]
    assert [table[name].type for name in ("row", "row_group")] == [pa.int32(), pa.int32()]


def test_versions_are_those_of_the_cell() -> None:
    """Null where a version leaves the patch out."""
    table = plan_index(SHARDS, columns=PLAIN).table(made_patches(range(2009), pixels=False), 0)

    for row, splits in [
        (1999, ["validation", "validation", "test", "train", "test"]),
        (2000, ["validation", "validation", "test", "test", None]),
    ]:
        assert [table[version][row].as_py() for version in VERSIONS] == splits
    assert table["block"].null_count == 9


def test_versions_agree_with_the_configs() -> None:
    """A cell is in a split of a version exactly where the config of that version lists it."""
    cells = [Cell(*key) for key in itertools.product(("train", "validation", "test"), "10x", "10x")]

    listed: dict[Cell, dict[str, str | None]] = {cell: dict.fromkeys(VERSIONS) for cell in cells}
    for version, splits in splits_of(cells).items():
        for split, members in splits.items():
            for cell in members:
                listed[cell][version] = split
    assert {cell: splits_of_cell(cell) for cell in cells} == listed
    assert splits_of_cell(Cell("test"))["random"] is None


def test_a_split_of_version_3_alone_knows_itself_only() -> None:
    """Nobody knows which rows of the other versions its patches are."""
    shards = [(Cell("train"), [("data/train/00000-of-00001.parquet", 3)])]
    encoder = plan_index(shards, columns=PLAIN, layout="random", first_number=0)
    table = encoder.table(made_patches(range(3), pixels=False), 0)

    assert table["random"].to_pylist() == ["train"] * 3
    for name in ("v1", "culture_10", "culture_10_v3", "block", "m_so2sat"):
        assert table[name].to_pylist() == [None] * 3


def test_running_numbers_start_where_the_split_before_ends() -> None:
    """In the order of the published files; unknown where one of those before is missing."""
    rows = {"train": 352_366, "validation": 24_119, "test": 24_188}

    assert [rows_before(split, rows) for split in rows] == [0, 352_366, 376_485]
    assert rows_before("test", {"train": 10, "test": 5}) is None
    assert rows_before("validation", {"validation": 5}) is None


@pytest.mark.parametrize("columns", [("id", "sen2", "label"), ("id", "sen1", "sen2", "label")])
def test_without_geolocation_the_file_is_plain_parquet(columns: tuple[str, ...]) -> None:
    """No position, no footprint, no ``geo``; means of the sensors that are there."""
    encoder = plan_index(SHARDS, columns=columns)
    content = written(encoder, [encoder.table(made_patches(range(9)), 0)])

    schema = pq.read_schema(io.BytesIO(content))
    assert not {"city", "epsg", "geometry", "bbox", *RASTER} & set(schema.names)
    assert ("mean_VH_real" in schema.names, "mean_B12" in schema.names) == ("sen1" in columns, True)
    assert b"geo" not in schema.metadata
    assert encoder.columns == columns


def test_a_block_that_lacks_a_column_is_refused() -> None:
    """Positions or pixels: the message says which."""
    encoder = plan_index(SHARDS, columns=COLUMNS)
    patches = made_patches(range(3), pixels=False)

    with pytest.raises(So2SatError, match="means of sen1: not in the source"):
        encoder.table(patches, 0)
    with pytest.raises(So2SatError, match="column city: not in the source"):
        encoder.table(PatchBlock(patches.ids, patches.label), 0)


def test_more_rows_than_the_data_files_have_are_refused() -> None:
    """A row that no data file holds has no place in the index."""
    encoder = plan_index(SHARDS, columns=PLAIN)

    with pytest.raises(So2SatError, match="2,010 rows; expected 2,009"):
        encoder.table(made_patches(range(2), pixels=False), 2008)


def test_a_table_survives_its_block() -> None:
    """The source may overwrite a block while its rows wait for their row group."""
    encoder = plan_index(SHARDS, columns=COLUMNS)
    patches = made_patches(range(4))
    table = encoder.table(patches, 0)
    before = table.to_pylist()

    for array in (patches.label, patches.sen1, patches.sen2, patches.geo.epsg, patches.geo.x_ul):
        array[:] = 0
    for array in (patches.geo.y_ul, patches.geo.longitude, patches.geo.latitude):
        array[:] = 0

    assert table.to_pylist() == before


# ---- the file


def test_bytes_do_not_depend_on_the_size_of_blocks(real: Real, path: Path) -> None:
    """However the rows are cut, row groups hold 8,192 of them and the file is the same."""
    assert written(real.encoder, real.tables(777)) == path.read_bytes()
    groups = pq.read_metadata(path)
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [
        GROUP_ROWS,
        GROUP_ROWS,
        NUM_ROWS - 2 * GROUP_ROWS,
    ]


def test_arrow_holds_the_same_rows(real: Real, path: Path) -> None:
    """Types and values as in Parquet, in record batches of 8,192."""
    content = written(real.encoder, real.tables(1024), ".arrow")

    with pa.ipc.open_file(content) as file:
        assert file.num_record_batches == 3
        assert file.read_all().equals(pq.read_table(path))
        assert b"huggingface" in file.schema.metadata


def test_an_interrupted_file_is_not_finished(real: Real) -> None:
    """When a block fails, the rows before it are dropped and the reason is what the user sees."""
    writer = Written()

    with pytest.raises(So2SatError, match="disk: full"), GatheringWriter(writer) as gathering:
        fail_after(gathering, real.encoder.table(real.block(0, 5), 0))
    assert writer.calls == ["close"]


class Written:
    """A writer that notes what is asked of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def write_table(self, table: pa.Table) -> None:
        self.calls.append(f"write {len(table)}")

    def close(self) -> None:
        self.calls.append("close")


def fail_after(gathering: GatheringWriter, table: pa.Table) -> None:
    gathering.write_table(table)
    raise So2SatError("disk", found="full")


CHILD = """
import pickle, sys
encoder, block = pickle.load(sys.stdin.buffer)
with open(sys.argv[1], "wb") as sink, encoder.writer(sink, ".parquet") as writer:
    writer.write_table(encoder.table(block, 0))
assert not {"datasets", "pandas"} & sys.modules.keys()
"""


def test_a_worker_writes_the_same_file_without_heavy_libraries(tmp_path: Path) -> None:
    """The encoder travels by pickle; neither ``datasets`` nor pandas is needed, nor do they change a byte."""
    raster = np.zeros((9, 4), np.int32)
    encoder = plan_index(SHARDS, columns=COLUMNS, first_number=0, raster=raster)
    patches = made_patches(range(9))

    command = [sys.executable, "-c", CHILD, str(tmp_path / "child")]
    subprocess.run(command, input=pickle.dumps((encoder, patches)), check=True)

    assert (tmp_path / "child").read_bytes() == written(encoder, [encoder.table(patches, 0)])
    assert pickle.loads(pickle.dumps(encoder)) == encoder


def test_the_geo_metadata_are_those_of_geoparquet(real: Real, path: Path) -> None:
    """In the schema that pyarrow shows and in the footer, beside the features of ``datasets``."""
    table = pq.read_table(path)
    bounds = bounds_of(corners_of(real.geo))

    for metadata in (pq.read_schema(path).metadata, pq.read_metadata(path).metadata):
        geo = json.loads(metadata[b"geo"])
        column = geo["columns"]["geometry"]
        assert (geo["version"], geo["primary_column"]) == ("1.1.0", "geometry")
        assert (column["encoding"], column["geometry_types"]) == ("WKB", ["Polygon"])
        assert column["orientation"] == "counterclockwise"
        assert column["bbox"] == [*bounds[:, :2].min(axis=0), *bounds[:, 2:].max(axis=0)]
        assert column["covering"]["bbox"] == {name: ["bbox", name] for name in table["bbox"][0]}
        assert pyproj.CRS(column["crs"]).equals("OGC:CRS84")
        assert b"huggingface" in metadata
    assert pq.ParquetFile(path).schema.column(8).physical_type == "BYTE_ARRAY"


def test_the_crs_is_longitude_before_latitude() -> None:
    """As PROJ knows OGC:CRS84, and not EPSG:4326."""
    assert pyproj.CRS(CRS84).equals("OGC:CRS84")
    assert pyproj.CRS(CRS84).to_authority() == ("OGC", "CRS84")
    assert not pyproj.CRS(CRS84).equals("EPSG:4326")


# ---- readers


def test_geopandas_opens_it(real: Real, path: Path) -> None:
    """Valid squares in WGS 84; a box reads only what it touches."""
    geopandas = pytest.importorskip(
        "geopandas", reason="GeoPandas is not installed: GeoParquet is not read back"
    )

    frame = geopandas.read_parquet(path)
    assert len(frame) == NUM_ROWS
    assert frame.crs.equals("OGC:CRS84")
    assert frame.geometry.is_valid.all()
    assert (frame.geometry.geom_type == "Polygon").all()
    assert np.array_equal(frame.geometry.bounds.to_numpy(), bounds_of(corners_of(real.geo)))
    box = geopandas.read_parquet(path, bbox=(11, 47, 13, 49))
    assert set(box["city"]) == {"munich"}
    assert len(box) == real.geo.city.count("munich")


def test_duckdb_reads_it_as_a_plain_table(real: Real, path: Path) -> None:
    """Text, numbers, boxes and polygons, without any extension."""
    duckdb = pytest.importorskip("duckdb")

    rows = duckdb.sql(
        "SELECT city, count(geometry), min(bbox.xmin), max(sen2_col)"
        f" FROM '{path}' WHERE v1 = 'validation' AND random IS NULL GROUP BY city ORDER BY city"
    ).fetchall()
    cities = [city for city in facts.cities() if city.validation]
    assert [row[:2] for row in rows] == [(city.key, city.validation) for city in cities]
    here = np.array(real.geo.city) == "munich"
    west = bounds_of(corners_of(real.geo))[here, 0].min()
    (munich,) = [row for row in rows if row[0] == "munich"]
    assert munich[2:] == (west, real.raster[here, 3].max())


def test_duckdb_spatial_measures_it(path: Path) -> None:
    """With the spatial extension of the same release the footprints are polygons."""
    duckdb = pytest.importorskip("duckdb")
    spatial = pytest.importorskip(
        "duckdb_extension_spatial", reason="DuckDB's spatial extension is not installed"
    )
    extension = Path(spatial.__file__).parent / f"extensions/v{duckdb.__version__}/spatial.duckdb_extension"
    if not extension.is_file():
        pytest.skip(f"the spatial extension that is installed is not one of DuckDB {duckdb.__version__}")
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    connection.execute(f"LOAD '{extension}'")

    area = "ST_Area_Spheroid(ST_FlipCoordinates(geometry))"
    found = connection.sql(
        f"SELECT count(*), min({area}), max({area}), bool_and(ST_IsValid(geometry)) FROM '{path}'"
    ).fetchall()
    assert found[0][0] == NUM_ROWS
    assert 319**2 < found[0][1] < found[0][2] < 321**2
    assert found[0][3]


@pytest.mark.parametrize("name", ["polars", "pandas"])
def test_data_frames_read_it(real: Real, path: Path, name: str) -> None:
    """Every value as the encoder wrote it."""
    library = pytest.importorskip(name)

    frame = library.read_parquet(path)
    table = pa.concat_tables(real.tables(1024))
    for column in ("id", "label", "y_ul", "geometry", "bbox", "culture_10_v3", "file", "row", "sen1_row"):
        assert list(frame[column]) == table[column].to_pylist()
    assert frame["block"].isna().all() if name == "pandas" else frame["block"].is_null().all()


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_datasets_knows_the_types(
    real: Real, path: Path, tmp_path: Path, suffix: str, *, streaming: bool
) -> None:
    """The file alone says what the label means."""
    file = path if suffix == "parquet" else tmp_path / "validation.arrow"
    if suffix == "arrow":
        file.write_bytes(written(real.encoder, real.tables(1024), ".arrow"))

    found = load_dataset(
        suffix, data_files=str(file), split="train", cache_dir=str(tmp_path), streaming=streaming
    )
    assert found.features == features(PLAIN, with_raster=True)
    assert found.features["label"].int2str(16) == "Water"
    assert next(iter(found)) == real.encoder.table(real.block(0, 1), 0).to_pylist()[0]
    assert sum(1 for _ in found.select_columns(["id"])) == NUM_ROWS


LEGACY = """
import json, os, sys
import datasets
from datasets import load_dataset
index = load_dataset("parquet", data_files=sys.argv[1], split="train")
stream = load_dataset("parquet", data_files=sys.argv[1], split="train", streaming=True)
row = index[20000]
row["geometry"] = row["geometry"].hex()
first = next(iter(stream))
found = [datasets.__version__, len(index), repr(index.features["label"]), row, first["bbox"]]
print(json.dumps(found), flush=True)
os._exit(0)  # threads of pyarrow can hang at exit where a stream was half read
"""


@pytest.mark.parametrize("version", ["3.6.0", "2.21.0"])
def test_datasets_before_version_4_reads_it(real: Real, path: Path, tmp_path: Path, version: str) -> None:
    """Labels, boxes and polygons are intact in releases that know nothing of this package."""
    variable = f"SO2SAT_PYTHON_DATASETS_{version.replace('.', '_')}"
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{variable} does not name a Python with datasets {version}; .ci/run makes one")
    environment = {**os.environ, "HF_HOME": str(tmp_path), "PYTHONPATH": ""}

    args = [python, "-c", LEGACY, str(path)]
    done = subprocess.run(args, capture_output=True, text=True, env=environment, check=False)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    (row,) = real.encoder.table(real.block(20_000, 20_001), 20_000).to_pylist()
    row["geometry"] = row["geometry"].hex()
    assert found[:2] == [version, NUM_ROWS]
    assert found[2].startswith("ClassLabel(names=['Compact high-rise'")
    assert found[3] == row
    assert list(found[4]) == ["xmin", "ymin", "xmax", "ymax"]
