"""What others read the files with: DuckDB, Polars, pandas, and other releases of datasets."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from so2sat_hf.convert.build import build
from so2sat_hf.convert.patches import COLUMNS
from so2sat_hf.convert.raw import RawSource


@pytest.fixture(scope="module")
def out(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readers") / "out"
    build(source, folder, jobs=1)
    return folder


def test_duckdb_reads_plain_columns(out: Path) -> None:
    """Names and values as they are, without any extension."""
    duckdb = pytest.importorskip("duckdb")

    files = f"{out}/data/train/*.parquet"
    names = [row[0] for row in duckdb.sql(f"DESCRIBE FROM '{files}'").fetchall()]
    cities = duckdb.sql(f"SELECT city, count(*) FROM '{files}' GROUP BY city").fetchall()
    pixel = duckdb.sql(f"SELECT sen2[3][1][1] FROM '{files}' WHERE id = 'training/000007'").fetchall()

    assert tuple(names) == COLUMNS
    assert sum(count for _, count in cities) == 260
    assert 0 < pixel[0][0] < 2.81


def test_polars_reads_plain_columns(out: Path, source: RawSource) -> None:
    """The README's line turns a Polars column into numpy, value for value."""
    polars = pytest.importorskip("polars")

    table = polars.read_parquet(f"{out}/data/train/*.parquet", columns=["id", "sen2"])
    sen2 = table["sen2"].ext.storage().cast(polars.Array(polars.Float32, (10, 32, 32))).to_numpy()

    (block,) = source.blocks("train", range(260), columns=("sen2",), size=1000)
    assert table["id"].to_list() == block.ids
    assert np.array_equal(sen2, block.sen2)


def test_pandas_reads_plain_columns(out: Path, source: RawSource) -> None:
    """Nested lists become one array, value for value; the rest are plain columns."""
    pandas = pytest.importorskip("pandas")

    frame = pandas.read_parquet(out / "data" / "train", columns=["id", "label", "city", "sen2"])
    sen2 = np.array([[np.stack(band) for band in patch] for patch in frame["sen2"]], np.float32)

    (block,) = source.blocks("train", range(260), columns=("label", "sen2"), size=1000)
    assert frame["id"].tolist() == block.ids
    assert frame["label"].tolist() == block.label.tolist()
    assert np.array_equal(sen2, block.sen2)


LEGACY = """
import json, os, sys
import datasets
from datasets import load_dataset
train = load_dataset(sys.argv[1], split="train")
stream = load_dataset(sys.argv[1], "sen2", split="train", streaming=True)
row = train.with_format("numpy")[7]
first = next(iter(stream))
print(json.dumps({
    "version": datasets.__version__,
    "rows": len(train),
    "features": {name: repr(feature) for name, feature in train.features.items()},
    "sen1": row["sen1"].astype(float).tolist(),
    "label": int(row["label"]),
    "streamed": [sorted(first), first["id"]],
}), flush=True)
os._exit(0)  # threads of pyarrow can hang at exit where a stream was half read
"""


@pytest.mark.parametrize("version", ["4.8.5", "3.6.0", "2.21.0"])
def test_other_releases_of_datasets_read_the_files(
    out: Path, source: RawSource, tmp_path: Path, version: str
) -> None:
    """Array3D and ClassLabel are intact in releases that know nothing of this package."""
    variable = f"SO2SAT_PYTHON_DATASETS_{version.replace('.', '_')}"
    python = os.environ.get(variable)
    if not python:
        pytest.skip(
            f"{variable} does not name a Python with datasets {version}; .ci/run or .ci/compat makes one"
        )
    environment = {**os.environ, "HF_HOME": str(tmp_path), "PYTHONPATH": ""}

    args = [python, "-c", LEGACY, str(out)]
    done = subprocess.run(args, capture_output=True, text=True, env=environment, check=False)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    (block,) = source.blocks("train", range(7, 8), columns=("sen1",), size=1)
    assert found["version"] == version
    assert found["rows"] == 260
    assert found["features"]["sen1"].startswith("Array3D(shape=(8, 32, 32), dtype='float32'")
    assert found["features"]["label"].startswith("ClassLabel(names=['Compact high-rise'")
    assert np.array_equal(np.array(found["sen1"]), block.sen1[0])
    assert found["label"] == block.label[0]
    assert found["streamed"] == [sorted(set(COLUMNS) - {"sen1"}), "training/000000"]
