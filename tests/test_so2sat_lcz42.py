"""The builder: the same rows as a built folder, from the HDF5 alone."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, load_dataset

from so2sat_hf.convert.build import build
from so2sat_hf.convert.patches import COLUMNS
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.errors import SourceError
from so2sat_hf.so2sat_lcz42 import So2SatLCZ42
from so2sat_hf.synthetic import write_raw, write_version_3

ROWS = {
    "culture_10": {"train": 260, "validation": 90, "test": 70},
    "v1": {"train": 260, "validation": 90},
    "culture_10_v3": {"train": 260, "test": 160},
}


@pytest.fixture(scope="module")
def built(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("builder") / "out"
    build(source, out, jobs=1)
    return out


@pytest.fixture(scope="module")
def raw_v3(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated files with the folders of version 3 beside them."""
    folder = shutil.copytree(raw, tmp_path_factory.mktemp("builder_v3") / "raw")
    write_version_3(folder, seed=3)
    return folder


def builder(raw: Path, tmp_path: Path, name: str = "culture_10", **options: object) -> So2SatLCZ42:
    return So2SatLCZ42(config_name=name, data_dir=str(raw), cache_dir=str(tmp_path / "cache"), **options)


def loaded(raw: Path, tmp_path: Path, name: str, **options: object) -> dict[str, Dataset]:
    made = builder(raw, tmp_path, name, **options)
    made.download_and_prepare()
    return made.as_dataset()


def equal(a: Dataset, b: Dataset) -> bool:
    """Whether two datasets have the same features and, value for value, the same rows."""
    tables = [data.with_format("arrow")[:] for data in (a, b)]
    return a.features == b.features and tables[0].equals(tables[1])


@pytest.mark.parametrize("config", ["culture_10", "v1", "culture_10_v3", "sen1", "sen2"])
def test_rows_are_those_of_a_built_folder(raw: Path, built: Path, tmp_path: Path, config: str) -> None:
    """Map style, for every config that needs no file of version 3."""
    splits = loaded(raw, tmp_path, config)

    assert {split: len(data) for split, data in splits.items()} == ROWS.get(config, ROWS["culture_10"])
    for split, data in splits.items():
        assert equal(data, load_dataset(str(built), config, split=split))


def test_two_processes_give_the_same_rows(raw: Path, tmp_path: Path) -> None:
    """``num_proc`` shares out the rows of both files of a split."""
    made = builder(raw, tmp_path, "culture_10_v3")
    made.download_and_prepare(str(tmp_path / "two"), num_proc=2)

    alone = loaded(raw, tmp_path, "culture_10_v3")
    assert equal(made.as_dataset(split="test"), alone["test"])


@pytest.mark.parametrize("config", ["random", "block"])
@pytest.mark.parametrize("inside", [False, True])
def test_version_3_is_read_from_its_own_files(
    raw_v3: Path, tmp_path: Path, config: str, *, inside: bool
) -> None:
    """``data_dir`` is the folder itself or the one above it; ids name file and row, in their order."""
    splits = loaded(raw_v3 / config if inside else raw_v3, tmp_path, config)

    assert list(splits) == ["train", "test"]
    for stem, data in zip(("training", "testing"), splits.values(), strict=True):
        assert list(data.features) == ["id", "sen1", "sen2", "label"]
        with h5py.File(raw_v3 / config / f"{stem}.h5") as file:
            assert data["id"][:] == [f"{config}/{stem}/{row:06d}" for row in range(len(file["label"]))]
            assert np.array_equal(data["label"][:], file["label"][:].argmax(axis=1))
            arrays = data.with_format("numpy")[:]
            for key in ("sen1", "sen2"):
                assert np.array_equal(arrays[key], file[key][:].transpose(0, 3, 1, 2).astype(np.float32))


def test_culture_10_of_version_3_can_stand_alone(raw_v3: Path, tmp_path: Path) -> None:
    """Same patches in the same order as from version 2, without geolocation and with ids of their own."""
    from_version_2 = loaded(raw_v3, tmp_path, "culture_10_v3")
    alone = loaded(raw_v3 / "culture_10", tmp_path, "culture_10_v3")

    assert from_version_2["test"][0]["id"] == "validation/000000"
    assert from_version_2["test"][159]["id"] == "testing/000069"
    assert alone["test"][0]["id"] == "culture_10/testing/000000"
    pixels = [splits["test"].select_columns(["sen1", "sen2", "label"]) for splits in (from_version_2, alone)]
    assert equal(*pixels)


def test_rgb_has_a_picture_instead_of_the_bands(raw: Path, tmp_path: Path) -> None:
    """B04, B03, B02 at 3.5 times 255, cut off; a PNG of 32 x 32 pixels."""
    data = loaded(raw, tmp_path, "rgb")["test"]

    with h5py.File(raw / "testing.h5") as file:
        expected = np.clip(file["sen2"][:][..., [2, 1, 0]] * (3.5 * 255.0), 0, 255).astype(np.uint8)
    assert list(data.features) == ["id", "image", "label", "city"]
    assert np.array_equal(np.stack([np.asarray(image) for image in data["image"]]), expected)
    assert "city" not in builder(raw, tmp_path, "rgb", drop_geo=True).info.features


@pytest.mark.parametrize("config", ["culture_10", "culture_10_v3", "rgb"])
def test_streaming_gives_the_same_rows(raw: Path, tmp_path: Path, config: str) -> None:
    """Nothing is prepared first; many shards, so that workers can share them."""
    streams = builder(raw, tmp_path, config).as_streaming_dataset()

    expected = loaded(raw, tmp_path, config)
    for split, stream in streams.items():
        rows = next(iter(stream.with_format("arrow").iter(batch_size=1000)))
        assert rows.equals(expected[split].with_format("arrow")[:])
    assert streams["train"].num_shards == 64
    assert streams["test"].num_shards == (16 if config == "culture_10_v3" else 8)


def test_parquet_can_be_had_from_the_builder(raw: Path, tmp_path: Path) -> None:
    """``file_format="parquet"`` writes typed files."""
    builder(raw, tmp_path).download_and_prepare(str(tmp_path / "out"), file_format="parquet")

    assert sum(pq.read_metadata(path).num_rows for path in (tmp_path / "out").glob("*.parquet")) == 420


def test_new_files_mean_new_rows(tmp_path: Path) -> None:
    """The cache key covers size, time and head of every file, so a replaced RAW is seen."""
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
    assert builder(raw, tmp_path).config_id == ids[1]


def test_the_cache_key_is_that_of_the_files_that_are_read(raw_v3: Path, tmp_path: Path) -> None:
    """Another testing.h5 changes every config that reads it and no other."""
    folder = shutil.copytree(raw_v3, tmp_path / "raw")
    configs = ["culture_10", "v1", "culture_10_v3", "random", "block", "sen2", "rgb"]
    before = {name: builder(folder, tmp_path, name).config_id for name in configs}

    changed = {}
    for file in ("testing.h5", "testing_geo.h5", "random/training.h5", "block/testing.h5", "validation.h5"):
        stat = (folder / file).stat()
        (folder / file).touch()
        after = {name: builder(folder, tmp_path, name).config_id for name in configs}
        changed[file] = {name for name in configs if after[name] != before[name]}
        before = after
        assert (folder / file).stat().st_mtime_ns != stat.st_mtime_ns

    version_2 = {"culture_10", "culture_10_v3", "sen2", "rgb"}
    assert changed == {
        "testing.h5": version_2,
        "testing_geo.h5": version_2,
        "random/training.h5": {"random"},
        "block/testing.h5": {"block"},
        "validation.h5": {*version_2, "v1"},
    }


def test_geolocation_can_be_left_out(raw: Path, tmp_path: Path) -> None:
    """As with ``so2sat build --drop-geo``."""
    assert set(builder(raw, tmp_path).info.features) == set(COLUMNS)
    assert set(builder(raw, tmp_path, drop_geo=True).info.features) == {"id", "sen1", "sen2", "label"}


def test_without_data_dir_the_way_is_shown(tmp_path: Path) -> None:
    """The message says what data_dir is, not a traceback about None."""
    with pytest.raises(SourceError, match="data_dir: not given"):
        So2SatLCZ42(cache_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("folder", "config", "message"),
    [
        (".", "random", "training and validation and testing, which make culture_10, v1, culture_10_v3; exp"),
        (
            "random",
            "culture_10",
            "random/training and random/testing, which make random; expected the folder",
        ),
        ("random", "block", "which make random; expected the folder block of version 3"),
        ("random", "v1", "which make random; expected a folder with training.h5 and validation.h5"),
    ],
)
def test_the_wrong_folder_is_one_clear_error(
    raw: Path, raw_v3: Path, tmp_path: Path, folder: str, config: str, message: str
) -> None:
    """What the files make, and what the config needs."""
    with pytest.raises(SourceError, match=message):
        builder(raw if folder == "." else raw_v3 / folder, tmp_path, config).as_streaming_dataset()


def test_an_unknown_layout_is_refused(raw: Path, tmp_path: Path) -> None:
    """It can be given beside a config's name."""
    with pytest.raises(SourceError, match="layout 'v9': unknown; expected one of culture_10, v1"):
        builder(raw, tmp_path, layout="v9")


def test_it_is_named_after_the_dataset(raw: Path, tmp_path: Path) -> None:
    """``builder.name`` is the module, and the cache folder carries it."""
    assert builder(raw, tmp_path).name == "so2sat_lcz42"
