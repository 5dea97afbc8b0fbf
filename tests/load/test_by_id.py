"""Single patches by id: the right ones, in the order asked for, read from their row groups alone."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from regrouped import write_version_3

from so2sat_hf.assemble import extras, membership_of
from so2sat_hf.companions import index as index_module
from so2sat_hf.convert import reading
from so2sat_hf.convert import shard as shard_module
from so2sat_hf.convert.build import build
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.patches import FILE_OF_SPLIT, GEO_COLUMNS, PatchBlock, parse_id, row_id
from so2sat_hf.convert.raw import RawSource, open_raw
from so2sat_hf.errors import FolderError, So2SatError, SourceError
from so2sat_hf.load import lookup
from so2sat_hf.load.by_id import patches
from so2sat_hf.load.files import open_place
from so2sat_hf.synthetic import write_raw

GROUP_ROWS = 4
ROWS = {"training": 260, "validation": 90, "testing": 70}
EVERY_ID = [row_id(stem, row) for stem, count in ROWS.items() for row in range(count)]
OPTIONS = {
    "parquet": BuildOptions(rows_per_shard=140),
    "arrow": BuildOptions(file_format="arrow", rows_per_shard=140),
    "uint16": BuildOptions(file_format="arrow", sen2_dtype="uint16", rows_per_shard=140),
}


@pytest.fixture(scope="module")
def small_groups() -> Iterator[None]:
    """Files of many row groups from few patches; builds in this process only."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shard_module, "ROW_GROUP_ROWS", GROUP_ROWS)
        patched.setattr(index_module, "ROW_GROUP_ROWS", GROUP_ROWS)
        yield


def built(source: RawSource, out: Path, options: BuildOptions, *, companions: tuple[str, ...]) -> Path:
    build(source, out, options, extras=extras(source, companions=companions), jobs=1)
    return out


@pytest.fixture(scope="module")
def folders(
    source: RawSource, small_groups: None, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Path]:
    """(kind, where places come from) -> a folder with two files of 130 rows for train, else one."""
    parent = tmp_path_factory.mktemp("by_id")
    return {
        (kind, told): built(source, parent / kind / told, options, companions=companions)
        for kind, options in OPTIONS.items()
        for told, companions in (("index", ("index",)), ("data", ()))
        if (kind, told) != ("uint16", "index")
    }


@pytest.fixture
def folder(folders: dict[tuple[str, str], Path], tmp_path: Path) -> Path:
    """A Parquet folder with an index that a test may damage; in a place of its own."""
    return Path(shutil.copytree(folders["parquet", "index"], tmp_path / "out"))


def check_pixels(block: PatchBlock, raw: Path, ids: list[str]) -> None:
    """Every value is that of the HDF5 files."""
    assert block.ids == ids
    assert len(block.label) == len(block.sen1) == len(block.sen2) == len(ids)
    for position, (stem, row) in enumerate(map(parse_id, ids)):
        with h5py.File(raw / f"{stem}.h5") as file:
            assert np.array_equal(block.sen1[position], file["sen1"][row].transpose(2, 0, 1))
            sen2 = file["sen2"][row].transpose(2, 0, 1)
            assert np.array_equal(block.sen2[position], sen2.astype(np.float32))
            assert block.label[position] == file["label"][row].argmax()


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


# ---- read from their row groups alone


@dataclass
class Reads:
    """Which bytes of which files were read as Parquet."""

    ranges: dict[Path, list[tuple[int, int]]] = field(default_factory=dict)
    files: list["_Recorded"] = field(default_factory=list)

    def open(self, path: Path) -> pa.PythonFile:
        self.files.append(_Recorded(path, self.ranges.setdefault(path, [])))
        return pa.PythonFile(self.files[-1], "r")


class _Recorded(io.FileIO):
    def __init__(self, path: Path, ranges: list[tuple[int, int]]) -> None:
        super().__init__(path)
        self._ranges = ranges

    def read(self, size: int = -1) -> bytes:
        start = self.tell()
        data = super().read(size)
        self._ranges.append((start, start + len(data)))
        return data

    def readinto(self, buffer: object) -> int:
        raise AssertionError("not counted")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reads]:
    recorded, real = Reads(), pq.ParquetFile
    monkeypatch.setattr(pq, "ParquetFile", lambda path, **options: real(recorded.open(path), **options))
    lookup.places_of.cache_clear()
    yield recorded
    for file in recorded.files:
        file.close()


def chunks(path: Path, columns: set[str]) -> dict[int, list[tuple[int, int]]]:
    """Row group -> first and last byte of its chunks of some columns."""
    metadata, found = pq.read_metadata(path), {}
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        parts = [group.column(i) for i in range(group.num_columns)]
        starts = {part.path_in_schema: part.dictionary_page_offset or part.data_page_offset for part in parts}
        found[number] = [
            (starts[part.path_in_schema], starts[part.path_in_schema] + part.total_compressed_size)
            for part in parts
            if part.path_in_schema.partition(".")[0] in columns
        ]
    return found


def groups_read(path: Path, ranges: list[tuple[int, int]], columns: set[str]) -> set[int]:
    """Return the row groups that were read; every byte before the footer belongs to the columns."""
    known = chunks(path, columns)
    data_end = max(
        stop for parts in chunks(path, set(pq.read_schema(path).names)).values() for _, stop in parts
    )
    size, found = path.stat().st_size, set()
    for start, stop in ranges:
        if start >= data_end or stop == size:  # what readers take from the end to find the footer
            assert start >= min(data_end, size - 2**16)
            continue
        owners = {
            group for group, parts in known.items() for low, high in parts if low <= start and stop <= high
        }
        assert len(owners) == 1, f"bytes {start} to {stop} of {path} belong to no chunk wanted"
        found |= owners
    return found


@pytest.mark.parametrize("columns", [{"id", "label", "sen2"}, {"id", "label", "sen1", "sen2", *GEO_COLUMNS}])
@pytest.mark.parametrize("told", ["index", "data"])
def test_a_hundred_random_patches_touch_only_their_row_groups(
    folders: dict[tuple[str, str], Path], raw: Path, reads: Reads, told: str, columns: set[str]
) -> None:
    """Every byte read before the footers lies in a chunk of a wanted column of such a row group."""
    folder = folders["parquet", told]
    ids = np.random.default_rng(7).permutation(EVERY_ID)[:100].tolist()
    expected: dict[str, set[int]] = {}
    for shard in Manifest.read(folder).shards:
        for row, text in enumerate(pq.read_table(folder / shard.path, columns=["id"])["id"].to_pylist()):
            if text in ids:
                expected.setdefault(shard.path, set()).add(row // GROUP_ROWS)
    patches(["training/000000", "validation/000000", "testing/000000"], folder, columns=[])
    reads.ranges.clear()

    block = patches(ids, folder, columns=columns)

    found = {
        path.relative_to(folder).as_posix(): groups_read(path, ranges, columns)
        for path, ranges in reads.ranges.items()
    }
    assert found == expected
    num_groups = sum(-(-shard.rows // GROUP_ROWS) for shard in Manifest.read(folder).shards)
    assert sum(map(len, found.values())) < 0.75 * num_groups  # many could have been read in vain
    whole = patches(ids, folder)
    check_pixels(whole, raw, ids)
    assert np.array_equal(block.sen2, whole.sen2)


def test_reading_ends_with_the_last_patch_wanted(
    folders: dict[tuple[str, str], Path], reads: Reads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row group is read once for all of its patches, and no further than the last."""
    monkeypatch.setattr(reading, "FEW_ROWS", 8)
    path, rows = tmp_path / "one.parquet", np.array([2, 11, 13], np.int32)
    table = pq.read_table(folders["parquet", "data"] / "data/train/00000-of-00002.parquet")
    pq.write_table(table.slice(0, 128), path, row_group_size=128, compression="none", data_page_size=2**16)

    taken = pa.concat_tables(reading.read_rows(path, rows, ["id", "sen1"]))

    assert taken.equals(table.select(["id", "sen1"]).take(rows))
    (((first, last),),) = chunks(path, {"sen1"}).values()
    assert sum(stop - start for start, stop in reads.ranges[path]) < (last - first) / 2


def test_without_an_index_the_ids_alone_tell_the_places(
    folders: dict[tuple[str, str], Path], reads: Reads
) -> None:
    """One column of the files of the splits asked for; those of other splits are not opened."""
    folder = folders["parquet", "data"]
    built_folder = open_place(folder)

    lookup.locate(["testing/000069", "testing/000000"], built_folder)

    (path,) = reads.ranges
    assert path == built_folder.path / "data/test/00000-of-00001.parquet"
    assert groups_read(path, reads.ranges[path], {"id"}) == set(range(18))


def test_a_second_call_looks_nothing_up_again(
    folders: dict[tuple[str, str], Path], reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither index nor id columns, by whatever name the folder goes."""
    folder = folders["parquet", "index"]
    patches(["testing/000069"], folder, columns=[])
    assert {path.parent.name for path in reads.ranges} == {"index", "test"}
    reads.ranges.clear()

    monkeypatch.chdir(folder)
    patches(["testing/000003"], ".", columns=[])

    assert [path.parent.name for path in reads.ranges] == ["test"]


def test_a_rebuilt_folder_is_looked_up_anew(folder: Path, source: RawSource, raw: Path) -> None:
    """Other files with other rows; what was kept of the old ones does not count."""
    ids = ["training/000200", "training/000019", "testing/000069"]
    check_pixels(patches(ids, folder), raw, ids)

    built(source, folder, BuildOptions(rows_per_shard=50), companions=("index",))

    check_pixels(patches(ids, folder), raw, ids)


def test_an_index_that_was_not_copied_is_not_needed(folder: Path, raw: Path) -> None:
    """Manifest and data files are enough; files of other patches may be missing too."""
    shutil.rmtree(folder / "index")
    shutil.rmtree(folder / "data/train")

    check_pixels(patches(["validation/000007"], folder), raw, ["validation/000007"])


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
