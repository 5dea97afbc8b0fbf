"""The builder: the same rows as a built folder, from the HDF5 alone."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets import Dataset, load_dataset

from so2sat_hf.convert.build import build
from so2sat_hf.convert.patches import COLUMNS
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.errors import SourceError
from so2sat_hf.so2sat_lcz42 import So2SatLCZ42, fingerprint
from so2sat_hf.synthetic import write_raw


@pytest.fixture(scope="module")
def built(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("builder") / "out"
    build(source, out, jobs=1)
    return out


def builder(raw: Path, tmp_path: Path, name: str = "culture_10", **options: object) -> So2SatLCZ42:
    return So2SatLCZ42(config_name=name, data_dir=str(raw), cache_dir=str(tmp_path / "cache"), **options)


def equal(a: Dataset, b: Dataset) -> bool:
    """Whether two datasets have the same features and, value for value, the same rows."""
    tables = [data.with_format("arrow")[:] for data in (a, b)]
    return a.features == b.features and tables[0].equals(tables[1])


@pytest.mark.parametrize("num_proc", [None, 2])
@pytest.mark.parametrize("config", ["culture_10", "sen1", "sen2"])
def test_rows_are_those_of_a_built_folder(
    raw: Path, built: Path, tmp_path: Path, config: str, num_proc: int | None
) -> None:
    """Map style, one process or two, for every config."""
    made = builder(raw, tmp_path, config)
    made.download_and_prepare(num_proc=num_proc)

    for split, rows in (("train", 260), ("validation", 90), ("test", 70)):
        data = made.as_dataset(split=split)
        assert len(data) == rows
        assert equal(data, load_dataset(str(built), config, split=split))


def test_streaming_gives_the_same_rows(raw: Path, built: Path, tmp_path: Path) -> None:
    """Nothing is prepared first; many shards, so that workers can share them."""
    stream = builder(raw, tmp_path).as_streaming_dataset(split="train")

    rows = list(stream.with_format("arrow").iter(batch_size=1000))
    expected = load_dataset(str(built), split="train").with_format("arrow")[:]
    assert rows[0].to_pylist() == expected.to_pylist()
    assert stream.num_shards == 64


def test_parquet_can_be_had_from_the_builder(raw: Path, tmp_path: Path) -> None:
    """``file_format="parquet"`` writes typed files."""
    builder(raw, tmp_path).download_and_prepare(str(tmp_path / "out"), file_format="parquet")

    assert sum(pq.read_metadata(path).num_rows for path in (tmp_path / "out").glob("*.parquet")) == 420


def test_new_files_mean_new_rows(tmp_path: Path) -> None:
    """The cache key covers size, time and head of every raw file, so a replaced RAW is seen."""
    raw = tmp_path / "raw"
    ids, first = [], []
    for seed in (1, 2):
        shutil.rmtree(raw, ignore_errors=True)
        write_raw(raw, train=20, validation=0, test=0, seed=seed)
        made = builder(raw, tmp_path)
        made.download_and_prepare()
        ids.append(made.config_id)
        first.append(made.as_dataset(split="train")[0]["sen1"])

    assert ids[0] != ids[1]
    assert first[0] != first[1]
    assert fingerprint(raw) == fingerprint(raw)


def test_geolocation_can_be_left_out(raw: Path, tmp_path: Path) -> None:
    """As with ``so2sat build --drop-geo``."""
    assert set(builder(raw, tmp_path).info.features) == set(COLUMNS)
    assert set(builder(raw, tmp_path, drop_geo=True).info.features) == {"id", "sen1", "sen2", "label"}


def test_without_data_dir_the_way_is_shown(tmp_path: Path) -> None:
    """The message says what data_dir is, not a traceback about None."""
    with pytest.raises(SourceError, match="data_dir: not given"):
        So2SatLCZ42(cache_dir=str(tmp_path))


def test_it_is_named_after_the_dataset(raw: Path, tmp_path: Path) -> None:
    """``builder.name`` is the module, and the cache folder carries it."""
    assert builder(raw, tmp_path).name == "so2sat_lcz42"
