"""The file of the index: the same bytes whoever writes it, and readable by everybody."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import pytest
from datasets import load_dataset
from index_rows import NUM_ROWS, PLAIN, SHARDS, Real, made_patches, written

from so2sat_hf import facts
from so2sat_hf.companions.footprint import bounds_of, corners_of
from so2sat_hf.companions.geoparquet import CRS84, GROUP_ROWS, GatheringWriter
from so2sat_hf.companions.index import features, plan_index
from so2sat_hf.convert.patches import COLUMNS
from so2sat_hf.errors import So2SatError


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Real:
    return Real(shared_data / "real_validation_geo_2025.h5")


@pytest.fixture(scope="module")
def path(real: Real, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of the published validation rows."""
    path = tmp_path_factory.mktemp("index") / "validation.parquet"
    path.write_bytes(written(real.encoder, real.tables(1024)))
    return path


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
