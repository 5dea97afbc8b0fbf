"""The card of a build: every number and picture is that of its files, and its code runs."""

import json
import re

import h5py
import numpy as np
import pytest
from card_folder import out, raw, rows_of, split_card

from so2sat_hf import facts
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.raw import open_raw
from so2sat_hf.convert.source import open_source
from so2sat_hf.convert.verify import verify
from so2sat_hf.hub import card, tables
from so2sat_hf.hub.contents import PICTURE
from so2sat_hf.pages.classes import class_picture

__all__ = ["out", "raw"]  # fixtures


# the card of a build


def test_a_build_writes_the_card(out):
    """YAML and page are what the manifest renders to, and verification accepts them."""
    assert (out / "README.md").read_text() == card.readme_of(out)
    assert verify(out).problems == ()


def test_every_config_of_the_yaml_is_on_the_page_with_its_numbers(out):
    """Rows of each split, download and disk are those that ``datasets`` checks."""
    head, page = split_card((out / "README.md").read_text())
    columns, *rows = rows_of(page, "Configs")
    table = {row[0].split("`")[1]: dict(zip(columns, row, strict=True)) for row in rows}
    infos = {info["config_name"]: info for info in head["dataset_info"]}

    assert list(table) == [config["config_name"] for config in head["configs"]]
    assert set(table) == set(infos) >= {"culture_10", "v1", "random", "block", "sen2", "index", "rgb", "mini"}
    for name, row in table.items():
        info = infos[name]
        counted = {split["name"]: f"{split['num_examples']:,}" for split in info["splits"]}
        shown = {split: row[split] for split in ("train", "validation", "test")}
        assert {split: cell for split, cell in shown.items() if cell != tables.NOTHING} == counted
        disk = info["download_size"] + info["dataset_size"]
        sizes = [row[column].replace("\N{NO-BREAK SPACE}", " ") for column in ("download", "disk")]
        assert sizes == [tables.size(info["download_size"]), tables.size(disk)]


def test_downloads_are_the_sizes_of_the_files(out):
    """Of each config, and of the split that is streamed."""
    head, page = split_card((out / "README.md").read_text())
    for config, info in zip(head["configs"], sorted_like(head), strict=True):
        sizes = {
            file["split"]: sum(
                path.stat().st_size
                for pattern in np.atleast_1d(file["path"]).tolist()
                for path in out.glob(pattern)
            )
            for file in config["data_files"]
        }
        assert info["download_size"] == sum(sizes.values()), config["config_name"]
        if config.get("default"):
            assert f"one pass reads {tables.size(sizes['train'])}\n" in page


def sorted_like(head):
    """``dataset_info`` in the order of the configs."""
    infos = {info["config_name"]: info for info in head["dataset_info"]}
    return [infos[config["config_name"]] for config in head["configs"]]


def test_a_view_takes_less_memory_by_the_column_it_leaves_out(out):
    """What ``datasets`` holds of the config, to a tenth of a per cent."""
    from datasets import load_dataset

    head, _ = split_card((out / "README.md").read_text())
    for name in ("sen1", "sen2"):
        stated = next(info["dataset_size"] for info in head["dataset_info"] if info["config_name"] == name)
        loaded = load_dataset(str(out), name)
        assert stated == pytest.approx(sum(split.data.nbytes for split in loaded.values()), rel=1e-3)


def test_a_copy_that_is_not_the_published_dataset_says_so(out):
    page = split_card((out / "README.md").read_text())[1]

    assert "not the published dataset: it holds 120 patches" in page
    assert "not the published dataset" not in card.published()


def test_statistics_are_those_of_the_build(out):
    _, *rows = rows_of((out / "README.md").read_text(), "Statistics")
    bands = json.loads((out / "statistics.json").read_text())["bands"]

    assert [row[0].strip("`") for row in rows] == list(bands)
    for name, unit, mean, deviation, low, high in rows:
        band = bands[name.strip("`")]
        assert float(low) == pytest.approx(band["p1"], rel=1e-3)
        assert float(high) == pytest.approx(band["p99"], rel=1e-3)
        assert float(mean) == pytest.approx(band["mean"], rel=1e-3)
        assert float(deviation) == pytest.approx(band["std"], rel=1e-3)
        assert unit == (f"asinh(x / {band['scale']:g})" if "scale" in band else band["unit"])


def test_every_column_is_explained(out):
    """Those of the data files, of the index, and of the pictures."""
    _, page = split_card((out / "README.md").read_text())
    section = page.partition("\n## Configs\n")[2].partition("\n## Versions\n")[0]
    manifest = Manifest.read(out)
    index = {name for plan in manifest.companions for name in plan.features}
    means = {f"mean_{band.name}" for band in facts.bands()}
    explained = set(re.findall(r"`(\w+)`", section))

    assert means <= index
    assert {*manifest.columns, *index} - means <= explained
    assert {"mean_VH_real", "mean_B12"} <= explained
    bands = [f"`{band.sensor}[{band.index}]`" for band in facts.bands()]
    assert [row[0] for row in rows_of(page, "Bands")[1:]] == bands


def test_the_code_of_the_card_runs(out, raw):
    """As printed, but for the name of the repository; the last block gives back the published values."""
    page = split_card((out / "README.md").read_text())[1]
    names_there = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        assert all(".with_format(" in line for line in block.splitlines() if "load_dataset(" in line)
        local = block.replace('repo = "."', f'repo = "{out}"').replace("FROM '", f"FROM '{out}/")
        if "duckdb" not in block:
            exec(compile(local, "README.md", "exec"), names_there)
        elif pytest.importorskip("duckdb"):
            exec(compile(local.replace("duckdb.sql", "found = duckdb.sql"), "README.md", "exec"), names_there)
            assert sum(count for _, count in names_there["found"].fetchall()) == 120

    assert names_there["batch"]["sen2"].shape == (70, 10, 32, 32)
    assert "sen1" not in next(iter(names_there["optical"]))
    assert names_there["rgb"][0]["image"].shape == (32, 32, 3)
    assert names_there["place"]["id"] == names_there["index"][:]["id"][0]
    file, row = names_there["patch"]["id"].split("/")
    with h5py.File(raw / f"{file}.h5") as published:
        for name in ("sen1", "sen2", "label"):
            assert np.array_equal(names_there[name], published[name][int(row)])


def test_the_row_group_of_a_place_holds_the_patch(out):
    """The block that fetches one patch, for every place of a split."""
    import pyarrow.parquet as pq
    from datasets import load_dataset

    index = load_dataset(str(out), "index", split="test").with_format("pandas")
    for place in index[:].to_dict("records"):
        group = pq.ParquetFile(out / place["file"]).read_row_group(place["row_group"], columns=["id"])
        assert group.slice(place["row"] % 1024, 1)["id"].to_pylist() == [place["id"]]


# the picture


def test_the_picture_is_that_of_the_source(out, raw):
    """The same bytes from HDF5 and from the built folder, with the colour of every class that is there."""
    from io import BytesIO

    from PIL import Image

    source = open_source(out)
    picture = class_picture(source)
    colours = {colour for _, colour in Image.open(BytesIO(picture)).getcolors(1 << 20)}
    present = np.unique(source.labels("train"))

    assert picture == class_picture(open_raw(raw)) == (out / PICTURE).read_bytes()
    for lcz in facts.classes():
        colour = tuple(bytes.fromhex(lcz.color[1:]))
        assert (colour in colours) == (lcz.index in present) or lcz.color in ("#000000", "#bcbcbc", "#555555")


def test_the_picture_shows_what_may_be_read(out):
    """One sensor alone, and nothing where there are no pixels."""
    source = open_source(out)
    both, optical, radar = (
        class_picture(source, columns=columns)
        for columns in ((), ("id", "sen2", "label"), ("id", "sen1", "label"))
    )

    assert len({both, optical, radar}) == 3
    assert class_picture(source, columns=("id", "label")) is None
