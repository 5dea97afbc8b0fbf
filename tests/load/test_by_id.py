"""Single patches by id: the right ones, in the order asked for; and what is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from by_id_folders import EVERY_ID, OPTIONS, built, built_folders, check_pixels, folder, small_groups
from regrouped import write_version_3

from so2sat_hf.assemble import extras, membership_of
from so2sat_hf.convert.build import build
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.patches import FILE_OF_SPLIT, GEO_COLUMNS, parse_id, row_id
from so2sat_hf.convert.raw import RawSource, open_raw
from so2sat_hf.errors import FolderError, So2SatError, SourceError
from so2sat_hf.load import lookup
from so2sat_hf.load.by_id import patches
from so2sat_hf.synthetic import write_raw

__all__ = ["folder", "small_groups"]  # fixtures


@pytest.fixture(scope="module")
def folders(
    source: RawSource, small_groups: None, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Path]:
    """(kind, where places come from) -> a folder; every kind."""
    return built_folders(source, tmp_path_factory.mktemp("by_id"), OPTIONS)


# ---- the right patches


@pytest.mark.parametrize(
    "which",
    [("parquet", "index"), ("parquet", "data"), ("arrow", "index"), ("arrow", "data"), ("uint16", "data")],
)
def test_patches_are_those_of_the_hdf5(
    folders: dict[tuple[str, str], Path], source: RawSource, raw: Path, which: tuple[str, str]
) -> None:
    """In the order asked for, one of them twice; digital numbers come back as reflectance."""
    ids = np.random.default_rng(1).permutation(EVERY_ID)[:60].tolist()
    ids.insert(40, ids[3])

    block = patches(ids, folders[which])

    check_pixels(block, raw, ids)
    assert (block.sen1.dtype, block.sen2.dtype, block.label.dtype) == ("float32", "float32", "int64")
    for split in source.num_rows:
        rows = range(source.num_rows[split])
        (whole,) = source.blocks(split, rows, columns=("id", "label", *GEO_COLUMNS), size=1000)
        here = [i for i, text in enumerate(ids) if parse_id(text)[0] == FILE_OF_SPLIT[split]]
        origin = [parse_id(ids[i])[1] for i in here]
        assert [block.geo.city[i] for i in here] == [whole.geo.city[row] for row in origin]
        for name in GEO_COLUMNS[1:]:
            found, expected = getattr(block.geo, name), getattr(whole.geo, name)
            assert found.dtype == expected.dtype
            assert np.array_equal(found[here], expected[origin])


@pytest.mark.parametrize("told", ["index", "data"])
def test_every_patch_is_found(folders: dict[tuple[str, str], Path], source: RawSource, told: str) -> None:
    """First and last rows of row groups and files included."""
    ids = EVERY_ID[::-1]

    block = patches(ids, folders["parquet", told], columns=())

    assert block.ids == ids
    expected = np.concatenate([source.labels(split) for split in source.num_rows])
    assert np.array_equal(block.label, expected[::-1])


@pytest.mark.parametrize("companions", [(), ("index",)])
def test_cells_and_splits_of_version_3_alone(tmp_path: Path, companions: tuple[str, ...]) -> None:
    """Ids name the HDF5 row, wherever membership has put it; a split alone has ids of its own."""
    raw = tmp_path / "raw"
    write_raw(raw, train=30, validation=12, test=10, seed=4)
    write_version_3(raw, raw, seed=4)
    source, alone = open_raw(raw), open_raw(raw / "random")
    options, membership = BuildOptions(rows_per_shard=7), membership_of(source, jobs=1)
    all_extras = extras(source, membership, companions=companions)
    build(source, tmp_path / "cells", options, extras=all_extras, jobs=1)
    built(alone, tmp_path / "alone", options, companions=companions)
    assert "train/r1b0" in Manifest.read(tmp_path / "cells").cells

    ids = [row_id("training", row) for row in range(29, -1, -1)] + ["testing/000009", "validation/000000"]
    check_pixels(patches(ids, tmp_path / "cells"), raw, ids)
    ids = ["random/testing/000003", "random/training/000041", "random/training/000000"]
    check_pixels(patches(ids, tmp_path / "alone"), raw, ids)
    with pytest.raises(So2SatError, match=r"1 of 1 ids .* random/training/000000 to random/training/000041"):
        patches(["training/000003"], tmp_path / "alone")
    with pytest.raises(So2SatError, match=r"e\.g\. random/testing/000003"):
        patches(["testing/000003", "random/testing/000003"], tmp_path / "cells")


def test_ids_come_in_any_container(folders: dict[tuple[str, str], Path]) -> None:
    """A column of the index as Arrow or numpy gives it, a generator, or nothing at all."""
    folder = folders["parquet", "index"]
    column = pq.read_table(folder / "index/test.parquet", columns=["id"])["id"].slice(3, 5)
    ids = column.to_pylist()

    for asked in (column, column.chunk(0), np.array(ids), (text for text in ids)):
        assert patches(asked, folder, columns=["label"]).ids == ids
    nothing = patches([], folder)
    assert len(nothing) == 0
    assert (nothing.sen1.shape, nothing.sen2.shape) == ((0, 8, 32, 32), (0, 10, 32, 32))
    assert nothing.geo.city == []


def test_only_wanted_columns_come(folders: dict[tuple[str, str], Path]) -> None:
    """Id and label always, geolocation as a whole; the rest is None."""
    folder, ids = folders["parquet", "index"], ["training/000131"]

    def given(*columns: str) -> set[str]:
        block = patches(ids, folder, columns=columns)
        assert len(block.label) == 1
        return {name for name in ("sen1", "sen2", "geo") if getattr(block, name) is not None}

    assert given() == given("id", "label") == set()
    assert given("sen2") == {"sen2"}
    assert given("sen1", "epsg") == {"sen1", "geo"}
    assert given("geo") == {"geo"}
    assert patches(ids, folder, columns="sen2").sen1 is None
    assert patches(ids, str(folder)).geo.epsg.shape == (1,)


CHILD = """
import sys
from so2sat_hf.load.by_id import patches
from so2sat_hf.load.files import open_place
block = patches(["training/000003"], sys.argv[1])
assert not {"datasets", "torch", "h5py", "huggingface_hub"} & sys.modules.keys()
print(block.sen2.sum(dtype="f8"))
"""


@pytest.mark.parametrize("kind", ["parquet", "uint16"])
def test_datasets_is_not_needed(folders: dict[tuple[str, str], Path], kind: str) -> None:
    """Nothing heavy is imported, nor a client of the Hub; the pixels are the same without extension types."""
    args = [sys.executable, "-c", CHILD, str(folders[kind, "data"])]

    done = subprocess.run(args, capture_output=True, text=True, check=True)

    expected = patches(["training/000003"], folders[kind, "data"]).sen2.sum(dtype="f8")
    assert float(done.stdout) == expected


# ---- refusals


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["training/000259", "training/000260", "testing/000070"], "2 of 3 ids .* e.g. training/000260"),
        (["training/000259", "culture_10/training/000001"], "1 of 2 ids .* e.g. culture_10/training/000001"),
        (
            ["training/000000", "train/000001"],
            r"1 of 2 .* train/000001; expected training/000000 to .*259 or val",
        ),
        (
            ["training/000001", "training/12", 7],
            "2 of 3 are malformed, e.g. 'training/12'; expected HDF5 file",
        ),
        (["training/0000001"], "1 of 1 are malformed"),
        (["training/-00001"], "1 of 1 are malformed"),
        ([None], "1 of 1 are malformed, e.g. None"),
        ("training/000001", "'training/000001'; expected a list"),
    ],
)
def test_ids_that_are_not_there_are_refused(
    folders: dict[tuple[str, str], Path], ids: object, message: str
) -> None:
    """With how many there are and an example."""
    with pytest.raises(So2SatError, match=message):
        patches(ids, folders["parquet", "index"])


def test_folder_and_ids_the_wrong_way_round(folder: Path) -> None:
    """The message says which comes first."""
    with pytest.raises(So2SatError, match="the folder comes second"):
        patches(folder, ["training/000001"])


def test_columns_that_are_not_there_are_refused(source: RawSource, folder: Path, tmp_path: Path) -> None:
    """Whether nobody built them or nobody knows them."""
    built(source, tmp_path / "sen2", BuildOptions(columns=("sen2",)), companions=())

    with pytest.raises(
        FolderError, match="column sen1 was not built; expected columns out of id, sen2, label\n"
    ):
        patches(["training/000001"], tmp_path / "sen2", columns=["sen1"])
    with pytest.raises(FolderError, match="column city was not built"):
        patches(["training/000001"], tmp_path / "sen2", columns=["geo"])
    with pytest.raises(So2SatError, match="no column 'red'; expected id, sen1"):
        patches(["training/000001"], folder, columns=["red"])
    block = patches(["training/000001"], tmp_path / "sen2")
    assert (block.sen1, block.geo) == (None, None)


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    """As everywhere."""
    with pytest.raises(FolderError, match=r"no manifest\.json"):
        patches(["training/000001"], tmp_path)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_missing_and_damaged_files_are_named(
    folders: dict[tuple[str, str], Path], tmp_path: Path, kind: str
) -> None:
    """A data file that is gone, cut, or of fewer rows; an index that is cut."""
    folder = Path(shutil.copytree(folders[kind, "index"], tmp_path / "out"))
    path, index = folder / f"data/validation/00000-of-00001.{kind}", folder / f"index/validation.{kind}"
    whole = path.read_bytes()

    path.write_bytes(whole[:-30_000])
    with pytest.raises(SourceError, match=rf"00000-of-00001.{kind}: cannot be read (.*\n)*.*`so2sat verify`"):
        patches(["validation/000001"], folder)
    path.unlink()
    with pytest.raises(SourceError, match=rf"00000-of-00001.{kind}: no such file"):
        patches(["validation/000001"], folder)
    shutil.copy(folder / f"data/test/00000-of-00001.{kind}", path)
    with pytest.raises(SourceError, match=r"cannot be read \(no row 89\)"):
        patches(["validation/000089"], folder)
    lookup.places_of.cache_clear()
    index.write_bytes(index.read_bytes()[:-100])
    with pytest.raises(SourceError, match=rf"index/validation.{kind}: cannot be read"):
        patches(["validation/000001"], folder)


def test_an_index_of_other_patches_is_never_believed(folder: Path) -> None:
    """Neither its ids, nor its rows and files without a look at the patch itself."""
    path = folder / "index/test.parquet"
    table = pq.read_table(path)

    def refused(name: str, values: object) -> str:
        column = table.schema.get_field_index(name)
        changed = table.set_column(column, name, pa.array(values, table.schema.field(name).type))
        pq.write_table(changed, path)
        lookup.places_of.cache_clear()
        with pytest.raises(So2SatError) as caught:
            patches(["testing/000001", "testing/000002"], folder, columns=["label"])
        return str(caught.value)

    rows = table["row"].to_pylist()
    assert "testing/000067 in row 67; expected testing/000002" in refused("row", rows[::-1])
    assert "no row 1070" in refused("row", [row + 1069 for row in rows])
    assert "1 of 2 ids are not in it" in refused("file", [*table["file"].to_pylist()[:2], *["data/x"] * 68])
    other = [text.replace("testing", "training") for text in table["id"].to_pylist()]
    assert "index/test.parquet: ids that are not those of the dataset (not all begin" in refused("id", other)
    beyond = [f"testing/{row + 5:06d}" for row in range(70)]
    assert "ids that are not those of the dataset" in refused("id", beyond)
    pq.write_table(table.drop_columns(["file"]), path)
    lookup.places_of.cache_clear()
    with pytest.raises(SourceError, match=r"index/test\.parquet: cannot be read"):
        patches(["testing/000001"], folder)


def test_a_data_file_without_a_column_is_named(folder: Path) -> None:
    """The manifest promises it."""
    path = folder / "data/test/00000-of-00001.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["sen1"]), path)

    with pytest.raises(SourceError, match=r"00000-of-00001.parquet: cannot be read"):
        patches(["testing/000001"], folder)
    assert json.loads((folder / "manifest.json").read_text())["columns"][1] == "sen1"
