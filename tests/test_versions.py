"""One copy, every version: what a build of versions 2 and 3 holds, and how each config of it loads."""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from datasets import Dataset, load_dataset, load_dataset_builder
from regrouped import write_rows, write_version_3

from so2sat_hf.assemble import extras, membership_of
from so2sat_hf.convert.build import build
from so2sat_hf.convert.built import open_built
from so2sat_hf.convert.cells import Cell
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.patches import GEO_COLUMNS
from so2sat_hf.convert.raw import open_raw
from so2sat_hf.convert.verify import verify
from so2sat_hf.errors import SourceError
from so2sat_hf.synthetic import write_raw

VERSION_2 = {"train": "training", "validation": "validation", "test": "testing"}
VERSION_3 = {"train": "training", "test": "testing"}
TWINS = 3
"""Patches that are in testing.h5 twice, as some of Guangzhou are."""

CONFIGS = {
    "culture_10": {"train": 260, "validation": 90, "test": 70},
    "v1": {"train": 260, "validation": 90},
    "culture_10_v3": {"train": 260, "test": 160},
    "random": {"train": 336, "test": 84},
    "block": {"train": 336, "test": 84},
    "sen1": {"train": 260, "validation": 90, "test": 70},
    "sen2": {"train": 260, "validation": 90, "test": 70},
    "index": {"train": 260, "validation": 90, "test": 70},
    "rgb": {"train": 260, "validation": 90, "test": 70},
}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions 2 and 3 with geolocation: shuffled rows, and a few patches that occur twice."""
    folder = tmp_path_factory.mktemp("everything")
    write_raw(folder, train=260, validation=90, test=70, seed=5, geo="2025")
    with h5py.File(folder / "testing.h5", "a") as images, h5py.File(folder / "testing_geo.h5", "a") as geo:
        for file, keys in ((images, ("sen1", "sen2", "label")), (geo, ("coord", "epsg", "tfw"))):
            for key in keys:
                file[key][70 - TWINS :] = file[key][:TWINS]
    write_version_3(folder, folder, seed=2)
    return folder


@pytest.fixture(scope="module")
def out(everything: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, folder = open_raw(everything), tmp_path_factory.mktemp("built") / "out"
    known = membership_of(source, complete=True, jobs=1)
    build(source, folder, BuildOptions(rows_per_shard=60), extras=extras(source, known), jobs=2)
    return folder


def patches_of(path: Path) -> Counter:
    """Bytes of the stored values and the label of every row of an HDF5 file."""
    with h5py.File(path) as file:
        sen1 = file["sen1"][:].astype(np.float32).transpose(0, 3, 1, 2)
        sen2 = file["sen2"][:].astype(np.float32).transpose(0, 3, 1, 2)
        label = file["label"][:].argmax(axis=1)
        return Counter((sen1[i].tobytes(), sen2[i].tobytes(), int(label[i])) for i in range(len(label)))


def loaded_patches(split: Dataset) -> Counter:
    rows = split.with_format("numpy")
    return Counter((row["sen1"].tobytes(), row["sen2"].tobytes(), int(row["label"])) for row in rows)


@pytest.mark.parametrize(
    ("config", "folder", "files"),
    [
        ("culture_10", ".", VERSION_2),
        ("v1", ".", {"train": "training", "validation": "validation"}),
        ("culture_10_v3", "culture_10", VERSION_3),
        ("random", "random", VERSION_3),
        ("block", "block", VERSION_3),
    ],
)
def test_each_config_holds_the_patches_of_its_version(
    everything: Path, out: Path, config: str, folder: str, files: dict[str, str]
) -> None:
    """The multiset of pixels and label equals that of the version's own HDF5 files."""
    data = load_dataset(str(out), config)

    assert set(data) == set(files)
    for split, stem in files.items():
        assert loaded_patches(data[split]) == patches_of(everything / folder / f"{stem}.h5")


def test_random_and_block_carry_geolocation(everything: Path, out: Path) -> None:
    """Each row has the id, city and position of its row in version 2; twins share them out."""
    source = open_raw(everything)
    where = {}
    for split, count in source.num_rows.items():
        (block,) = source.blocks(split, range(count), columns=GEO_COLUMNS, size=count)
        places = zip(block.geo.city, block.geo.x_ul, block.geo.y_ul, strict=True)
        where |= dict(zip(block.ids, places, strict=True))
    for config in ("random", "block"):
        data = load_dataset(str(out), config).select_columns(["id", "city", "x_ul", "y_ul"])
        rows = [row for split in data.values() for row in split]
        assert {row["id"]: (row["city"], row["x_ul"], row["y_ul"]) for row in rows} == where
        assert len(rows) == len(where)


def test_the_data_is_stored_once(everything: Path, out: Path, tmp_path: Path) -> None:
    """Cells cost less than 3 % more than version 2 alone, at more than a few rows per file."""
    source = open_raw(everything)
    build(source, tmp_path / "plain", jobs=1)
    known = membership_of(source, jobs=1)
    build(source, tmp_path / "cells", extras=extras(source, known, companions=()), jobs=1)
    sizes = [open_built(tmp_path / name).manifest.num_bytes for name in ("plain", "cells")]

    assert len({shard.path for shard in open_built(tmp_path / "cells").manifest.shards}) == 12
    assert sizes[1] / sizes[0] < 1.03


def mini_rows(out: Path) -> dict[str, int]:
    """Split -> rows of mini, as the manifest has them."""
    mini = next(plan for plan in Manifest.read(out).companions if plan.name == "mini")
    return {file.split: file.rows for file in mini.files}


@pytest.mark.parametrize("config", [*CONFIGS, "mini"])
def test_every_config_loads_and_streams_with_exact_counts(out: Path, config: str) -> None:
    """Map style and streaming, sizes checked by datasets itself."""
    expected = CONFIGS.get(config) or mini_rows(out)
    info = load_dataset_builder(str(out), config).info

    data = load_dataset(str(out), config)
    streams = load_dataset(str(out), config, streaming=True)

    assert {split: rows.num_rows for split, rows in data.items()} == dict(expected)
    assert {split: part.num_examples for split, part in info.splits.items()} == dict(expected)
    assert {split: sum(1 for _ in stream) for split, stream in streams.items()} == dict(expected)
    assert data["train"].features == streams["train"].features == info.features


def test_culture_10_is_the_default(out: Path) -> None:
    """What load_dataset gives when nobody says which."""
    assert load_dataset_builder(str(out)).config.name == "culture_10"


def test_a_folder_without_its_readme_loads_the_right_splits(out: Path, tmp_path: Path) -> None:
    """The only folders named after splits are those of culture-10, whatever lies beside them."""
    for path in [path for path in out.rglob("*") if path.is_file() and path.parts[-1] != "README.md"]:
        target = tmp_path / path.relative_to(out)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())

    data = load_dataset(str(tmp_path))

    assert {split: rows.num_rows for split, rows in data.items()} == CONFIGS["culture_10"]
    for split, stem in VERSION_2.items():
        assert {name.partition("/")[0] for name in data[split]["id"]} == {stem}


def test_the_index_follows_the_data(out: Path) -> None:
    """Row i of index is row i of culture_10, and says where it is in the files and in every version."""
    index, data = load_dataset(str(out), "index"), load_dataset(str(out))
    members = {
        config: {name: split for split, rows in load_dataset(str(out), config).items() for name in rows["id"]}
        for config in ("v1", "culture_10", "culture_10_v3", "random", "block")
    }
    for split in data:
        assert index[split]["id"] == data[split]["id"]
        assert index[split]["label"] == data[split]["label"]
        sen2 = np.array(data[split].with_format("numpy")["sen2"])
        assert np.allclose(index[split]["mean_B08"], sen2[:, 6].mean(axis=(1, 2)), rtol=1e-5)
        for row in index[split]:
            assert {config: row[config] for config in members} == {
                config: names.get(row["id"]) for config, names in members.items()
            }
        assert index[split].features["sen1_row"].dtype == "int32"  # the geo files are those of 2025


def test_the_running_number_is_that_of_geo_bench(out: Path) -> None:
    """Over train, validation and test in the order of the HDF5 files."""
    index = load_dataset(str(out), "index")
    numbers = {row["id"]: row["m_so2sat"] for split in index.values() for row in split}

    assert numbers["training/000007"] == "id_0007"
    assert numbers["validation/000000"] == "id_0260"
    assert numbers["testing/000069"] == "id_0419"
    assert len(set(numbers.values())) == 420


def test_verify_reads_every_cell_and_companion(everything: Path, out: Path, tmp_path: Path) -> None:
    """Against the HDF5: all equal, then a row too few."""
    assert verify(out, open_raw(everything), jobs=1).problems == ()

    manifest = Manifest.read(out)
    shard = manifest.shards[3]
    text = (out / "manifest.json").read_text()
    assert Cell.parse(shard.cell).random is not None
    other = tmp_path / "out"
    other.mkdir()
    for path in manifest.paths:
        (other / path).parent.mkdir(parents=True, exist_ok=True)
        os.link(out / path, other / path)
    (other / "README.md").write_text((out / "README.md").read_text())
    (other / "manifest.json").write_text(text)
    (other / "index" / "test.parquet").unlink()
    assert any("index/test.parquet: missing" in text for text in verify(other, jobs=1).problems)


def test_arrow_folders_have_every_version_too(everything: Path, out: Path, tmp_path: Path) -> None:
    """From the Parquet folder, cells and companions kept; no views, which only Parquet readers know."""
    source = open_built(out)

    options = BuildOptions("arrow", rows_per_shard=60)
    report = build(source, tmp_path / "arrow", options, extras=extras(source), jobs=1)

    configs = load_dataset(str(tmp_path / "arrow"), "random", split="test")
    assert set(report.manifest.configs) == {"culture_10", "v1", "culture_10_v3", "random", "block"}
    assert configs["id"] == load_dataset(str(out), "random", split="test")["id"]
    for companion in ("index", "rgb", "mini"):
        ours = load_dataset(str(tmp_path / "arrow"), companion, split="train")
        theirs = load_dataset(str(out), companion, split="train")
        assert ours.features == theirs.features
        assert ours["id"] == theirs["id"]
    assert verify(tmp_path / "arrow", open_raw(everything), jobs=1).problems == ()


def test_version_3_alone_builds_as_plain_splits(everything: Path, tmp_path: Path) -> None:
    """Ids say where the rows are from; there is no geolocation and no other version."""
    source = open_raw(everything / "random")
    build(source, tmp_path / "out", extras=extras(source), jobs=1)

    data = load_dataset(str(tmp_path / "out"))

    assert {split: rows.num_rows for split, rows in data.items()} == {"train": 336, "test": 84}
    assert data["test"]["id"][:2] == ["random/testing/000000", "random/testing/000001"]
    assert load_dataset_builder(str(tmp_path / "out")).config.name == "random"
    assert verify(tmp_path / "out", source, jobs=1).problems == ()
    index = load_dataset(str(tmp_path / "out"), "index", split="train")
    assert set(index["random"]) == {"train"}
    assert set(index["culture_10"]) == {None}
    assert "geometry" not in index.features


def test_without_version_2_a_folder_of_version_3_names_the_way_out(everything: Path, tmp_path: Path) -> None:
    """The parent of random and block is no source."""
    for stem in VERSION_3.values():
        write_rows(everything, tmp_path / "block" / f"{stem}.h5", ["training/000000"])
    with pytest.raises(SourceError, match=r"give one split of version 3, .*block"):
        open_raw(tmp_path)


LEGACY = """
import json, os, sys
from datasets import load_dataset
found = {}
for config in json.loads(sys.argv[2]):
    data = load_dataset(sys.argv[1], config)
    stream = next(iter(load_dataset(sys.argv[1], config, split="train", streaming=True)))
    counts = {split: rows.num_rows for split, rows in data.items()}
    found[config] = [counts, data["train"][0]["id"], stream["id"]]
print(json.dumps(found), flush=True)
os._exit(0)  # threads of pyarrow can hang at exit where a stream was half read
"""


@pytest.mark.parametrize("version", ["4.8.5", "3.6.0", "2.21.0"])
def test_other_releases_of_datasets_load_every_config(out: Path, tmp_path: Path, version: str) -> None:
    """Map style and streaming from the same folder, counts exact."""
    variable = f"SO2SAT_PYTHON_DATASETS_{version.replace('.', '_')}"
    python = os.environ.get(variable)
    if not python:
        pytest.skip(
            f"{variable} does not name a Python with datasets {version}; .ci/run or .ci/compat makes one"
        )
    environment = {**os.environ, "HF_HOME": str(tmp_path), "PYTHONPATH": ""}

    args = [python, "-c", LEGACY, str(out), json.dumps([*CONFIGS, "mini"])]
    done = subprocess.run(args, capture_output=True, text=True, env=environment, check=False)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    counted = {config: counts for config, (counts, _, _) in found.items()}
    assert counted == {**CONFIGS, "mini": mini_rows(out)}
    assert all(mapped == streamed for _, mapped, streamed in found.values())
