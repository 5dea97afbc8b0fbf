"""A build: the same bytes however it is reached, resumed, refused, and read back with its README."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from datasets.exceptions import NonMatchingSplitsSizesError
from folders import published

from so2sat_hf.convert.build import build
from so2sat_hf.convert.built import open_built
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.patches import COLUMNS
from so2sat_hf.convert.raw import RawSource, open_raw
from so2sat_hf.convert.workspace import WORK
from so2sat_hf.errors import LossyError, So2SatError

Write = Callable[..., Path]


def test_what_a_build_leaves(out: Path) -> None:
    """Data, README, manifest, statistics; the work folder holds no data any more."""
    files = published(out)

    assert [name for name in files if "/" not in name] == ["README.md", "manifest.json", "statistics.json"]
    assert sum(name.startswith("data/") for name in files) == 5 + 2 + 2
    assert not list((out / WORK).rglob("*.parquet"))
    manifest = Manifest.read(out)
    assert {shard.path: shard.sha256 for shard in manifest.shards}.items() <= files.items()
    assert manifest.geolocation == "2026"
    assert manifest.columns == COLUMNS
    assert sum(manifest.splits["train"].class_counts) == 260


@pytest.mark.parametrize("how", ["two processes", "threads", "second run"])
def test_bytes_do_not_depend_on_the_way(source: RawSource, out: Path, tmp_path: Path, how: str) -> None:
    """One process, several, a borrowed executor, or a rerun: identical files."""
    options = BuildOptions(rows_per_shard=60)
    if how == "threads":
        with ThreadPoolExecutor(3) as executor:
            build(source, tmp_path / "out", options, executor=executor)
            assert executor.submit(int).result() == 0  # still usable
    else:
        build(source, tmp_path / "out", options, jobs=2)
    if how == "second run":
        report = build(source, tmp_path / "out", options, jobs=2)
        assert (report.written, report.reused) == (0, 9)

    assert published(tmp_path / "out") == published(out)


def test_dask_runs_a_build(source: RawSource, out: Path, tmp_path: Path) -> None:
    """A local Dask cluster is an executor like any other."""
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        local_directory=str(tmp_path),
    )
    with cluster, distributed.Client(cluster) as client:
        build(
            source,
            tmp_path / "out",
            BuildOptions(rows_per_shard=60),
            executor=client.get_executor(pure=False),
        )

    assert published(tmp_path / "out") == published(out)


def test_rows_are_those_of_the_hdf5(out: Path, raw: Path) -> None:
    """Parquet read by pyarrow alone holds the values, in the order of the file."""
    table = pq.read_table(out / "data" / "train")
    with h5py.File(raw / "training.h5") as file:
        sen1, sen2, label = file["sen1"][:], file["sen2"][:], file["label"][:]

    assert table["id"].to_pylist() == [f"training/{row:06d}" for row in range(260)]
    assert table["label"].to_pylist() == label.argmax(axis=1).tolist()
    stored = np.array(table["sen1"].to_pylist(), np.float64)
    assert np.array_equal(stored, sen1.transpose(0, 3, 1, 2))
    stored = np.rint(np.array(table["sen2"].to_pylist(), np.float64) * 10_000) / 10_000
    assert np.array_equal(stored, sen2.transpose(0, 3, 1, 2))


def test_files_are_laid_out_as_promised(out: Path) -> None:
    """Zstd everywhere, BYTE_STREAM_SPLIT for sen1, a dictionary for sen2, a page index."""
    group = pq.ParquetFile(next((out / "data" / "train").iterdir())).metadata.row_group(0)
    columns = {
        group.column(i).path_in_schema.split(".")[0]: group.column(i) for i in range(group.num_columns)
    }

    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert "BYTE_STREAM_SPLIT" in columns["sen1"].encodings
    assert "RLE_DICTIONARY" in columns["sen2"].encodings
    assert all(column.has_offset_index for column in columns.values())


@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
@pytest.mark.parametrize("streaming", [False, True])
def test_load_dataset_opens_it(
    source: RawSource, tmp_path: Path, file_format: str, *, streaming: bool
) -> None:
    """Typed features, checked split sizes, map style and streaming, with nothing of ours."""
    build(source, tmp_path / "out", BuildOptions(file_format=file_format), jobs=1)

    data = load_dataset(str(tmp_path / "out"), streaming=streaming)

    assert list(data) == ["train", "validation", "test"]
    assert {name: data[name].info.splits[name].num_examples for name in data} == dict(source.num_rows)
    assert repr(data["train"].features["sen1"]) == "Array3D(shape=(8, 32, 32), dtype='float32')"
    assert sum(1 for _ in data["test"].with_format("numpy")) == 70
    row = next(iter(data["validation"].with_format("numpy")))
    assert row["id"] == "validation/000000"
    assert (row["sen2"].shape, row["sen2"].dtype) == ((10, 32, 32), np.float32)


@pytest.mark.parametrize(("view", "absent"), [("sen1", "sen2"), ("sen2", "sen1")])
def test_views_leave_the_other_sensor_out(out: Path, view: str, absent: str) -> None:
    """One copy of the data, three configs."""
    train = load_dataset(str(out), view, split="train", streaming=True)

    assert set(train.features) == set(COLUMNS) - {absent}
    assert set(next(iter(train))) == set(COLUMNS) - {absent}


def test_a_folder_without_its_readme_still_has_the_right_splits(out: Path, tmp_path: Path) -> None:
    """The paths alone tell train, validation and test."""
    shutil.copytree(out / "data", tmp_path / "bare" / "data")

    data = load_dataset(str(tmp_path / "bare"))

    assert {name: len(split) for name, split in data.items()} == {"train": 260, "validation": 90, "test": 70}


def test_a_missing_file_is_noticed_by_load_dataset(out: Path, tmp_path: Path) -> None:
    """The sizes of the splits are in the README, and datasets checks them."""
    copy = shutil.copytree(out, tmp_path / "out")
    (copy / Manifest.read(copy).shards[0].path).unlink()

    with pytest.raises(NonMatchingSplitsSizesError):
        load_dataset(str(copy), split="train")


def test_parquet_becomes_arrow_without_the_hdf5(out: Path, source: RawSource, tmp_path: Path) -> None:
    """A built folder is a source; Arrow from it equals Arrow from the HDF5, shard for shard."""
    options = BuildOptions(file_format="arrow", rows_per_shard=100)
    build(open_built(out), tmp_path / "from_built", options, jobs=2)
    build(source, tmp_path / "from_raw", options, jobs=1)

    built, raw = published(tmp_path / "from_built"), published(tmp_path / "from_raw")
    assert {k: v for k, v in built.items() if k.startswith("data/")} == {
        k: v for k, v in raw.items() if k.startswith("data/")
    }
    assert built == raw


def test_digital_numbers_are_half_the_size(source: RawSource, tmp_path: Path) -> None:
    """uint16 holds rint(reflectance * 10000), in Arrow only."""
    options = BuildOptions(file_format="arrow", columns=("sen2",), sen2_dtype="uint16")
    build(source, tmp_path / "out", options, jobs=1)

    row = load_dataset(str(tmp_path / "out"), split="train").with_format("arrow")[0]
    first = next(source.blocks("train", range(1), columns=("sen2",), size=1))
    numbers = np.array(row["sen2"].to_pylist())
    assert np.array_equal(numbers, np.rint(first.sen2.astype(float) * 10_000))
    with pytest.raises(So2SatError, match="uint16 with --format parquet"):
        BuildOptions(sen2_dtype="uint16")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (("sen2",), ("id", "sen2", "label")),
        (("geo",), ("id", "label", *COLUMNS[4:])),
        (("epsg", "sen1"), ("id", "sen1", "label", *COLUMNS[4:])),
    ],
)
def test_columns_can_be_chosen(
    source: RawSource, tmp_path: Path, columns: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    """Id and label always come along, and the geolocation as a whole."""
    build(source, tmp_path / "out", BuildOptions(columns=columns), jobs=1)

    assert tuple(load_dataset(str(tmp_path / "out"), split="test").features) == expected


def test_columns_that_the_source_lacks_are_refused(write_h5: Write, tmp_path: Path) -> None:
    """Geolocation cannot be asked of version 2."""
    source = open_raw(write_h5().parent)

    with pytest.raises(So2SatError, match="column city: not in the source"):
        build(source, tmp_path / "out", BuildOptions(columns=("city",)))
    with pytest.raises(So2SatError, match="column sen3: no such column"):
        build(source, tmp_path / "out", BuildOptions(columns=("sen3",)))


def test_rounding_stops_unless_allowed_and_is_on_record(write_h5: Write, tmp_path: Path) -> None:
    """The manifest and the README say by how much."""
    sen2 = np.full((6, 32, 32, 10), 0.12345)
    folder = write_h5(sen2=sen2).parent
    with pytest.raises(LossyError, match="--allow-rounding"):
        build(open_raw(folder), tmp_path / "out", jobs=1)

    build(open_raw(folder, allow_rounding=True), tmp_path / "out", jobs=1)
    build(open_built(tmp_path / "out"), tmp_path / "arrow", BuildOptions(file_format="arrow"), jobs=1)

    error = abs(float(np.float32(0.12345)) - 0.12345)
    assert Manifest.read(tmp_path / "out").rounding == {"sen2": pytest.approx(error)}
    assert Manifest.read(tmp_path / "arrow").rounding == Manifest.read(tmp_path / "out").rounding
    assert "Some values were rounded" in (tmp_path / "out" / "README.md").read_text()


def test_statistics_are_those_of_the_training_rows(out: Path, source: RawSource) -> None:
    """statistics.json equals numpy over train, band by band, in the model unit."""
    statistics = json.loads((out / "statistics.json").read_text())
    (block,) = source.blocks("train", range(260), columns=("sen1", "sen2"), size=1000)

    assert statistics["rows"] == 260
    assert statistics["bands"]["B08"]["mean"] == pytest.approx(block.sen2[:, 6].mean(dtype=float), rel=5e-6)
    decibel = 10 * np.log10(block.sen1[:, 5].astype(float))
    assert statistics["bands"]["VV_lee"]["std"] == pytest.approx(decibel.std(), rel=1e-5)
