"""Single patches by id are read from their row groups alone, and looked up once."""

import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from by_id_folders import EVERY_ID, GROUP_ROWS, built, built_folders, check_pixels, folder, small_groups

from so2sat_hf.convert import reading
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.patches import GEO_COLUMNS
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.load import lookup
from so2sat_hf.load.by_id import patches
from so2sat_hf.load.files import open_place

__all__ = ["folder", "small_groups"]  # fixtures


@pytest.fixture(scope="module")
def folders(
    source: RawSource, small_groups: None, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Path]:
    """(kind, where places come from) -> a folder; Parquet alone."""
    return built_folders(source, tmp_path_factory.mktemp("by_id"), ["parquet"])


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
