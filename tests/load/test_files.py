"""Places: a folder or a repository, opened alike, and what a row group on the Hub costs."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_folders import QUICK, REPO, asked, contents, put, sent
from local_hub import LocalHub
from place_folders import FORMATS, GROUPS, ROWS, built_folders, parquet_path

from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.errors import FolderError, HubError, So2SatError, SourceError
from so2sat_hf.load import ahead, ranged
from so2sat_hf.load.files import Group, LocalPlace, Place, open_place

__all__ = ["parquet_path"]  # a fixture


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Format -> a built folder; both formats."""
    return built_folders(tmp_path_factory.mktemp("files"), FORMATS)


@pytest.fixture(params=["folder", "hub"])
def opened(request: pytest.FixtureRequest, hub: LocalHub, folders: dict[str, Path]) -> Callable[[str], Place]:
    """Open the place of a format, here or on the Hub."""

    def place(file_format: str) -> Place:
        if request.param == "folder":
            return open_place(folders[file_format])
        put(hub, folders[file_format], f"zhu-xlab/{file_format}")
        return open_place(f"zhu-xlab/{file_format}", patience=QUICK)

    return place


# ---- alike


@pytest.mark.parametrize("file_format", FORMATS)
def test_places_are_alike(opened: Callable[[str], Place], folders: dict[str, Path], file_format: str) -> None:
    """Manifest, row groups, and the rows of one, wherever the files lie."""
    place, folder = opened(file_format), folders[file_format]

    assert place.manifest == Manifest.read(folder)
    assert place.digest == place.manifest.digest
    assert place.groups("train") == GROUPS
    assert place.groups("validation") == (Group(0, 0, 5),)
    (shard,) = place.shards("train")
    if file_format == "parquet":
        with place.parquet(shard.path) as file:
            found = file.read_row_group(1, ["id", "sen2"], use_threads=False)
        expected = pq.ParquetFile(folder / shard.path).read_row_group(1, ["id", "sen2"])
    else:
        with place.batches(shard.path, ["id", "sen2"]) as reader:
            found = pa.Table.from_batches([reader.get_batch(1)]).select(["id", "sen2"])
        with pa.ipc.open_file(folder / shard.path) as reader:
            expected = pa.Table.from_batches([reader.get_batch(1)]).select(["id", "sen2"])
    assert found.equals(expected)
    with place.open(shard.path) as stream:
        stream.seek(10)
        assert stream.read(90) == (folder / shard.path).read_bytes()[10:100]
        assert stream.size() == shard.bytes


def test_a_place_is_equal_to_its_copy(opened: Callable[[str], Place]) -> None:
    """Pickled for a worker process; what is known of the one is known of the other."""
    place = opened("parquet")

    copy = pickle.loads(pickle.dumps(place))

    assert copy == place
    assert hash(copy) == hash(place)
    assert copy.groups("train") is place.groups("train")
    assert open_place(place) is place
    assert place != opened("arrow")


def test_rows_come_from_parts(opened: Callable[[str], Place], folders: dict[str, Path]) -> None:
    """Of each file, in order, across row groups."""
    for file_format in FORMATS:
        place = opened(file_format)
        wanted = [(place.shards("train")[0], [3, 1023, 1024, 1199]), (place.shards("test")[0], [0, 3])]

        found = [pa.concat_tables(tables) for tables in place.parts(wanted, ["id", "label"])]

        ids = [f"training/{row:06d}" for row in (3, 1023, 1024, 1199)], ["testing/000000", "testing/000003"]
        assert [table["id"].to_pylist() for table in found] == [*ids]
        assert [table.column_names for table in found] == [["id", "label"]] * 2


def test_rows_that_are_not_there_are_refused(opened: Callable[[str], Place]) -> None:
    """A file that is shorter than the manifest says."""
    for file_format in FORMATS:
        place = opened(file_format)

        with pytest.raises(SourceError, match=r"test/00000-of-00001\.\w+.*: cannot be read \(no row 4\)"):
            list(map(list, place.parts([(place.shards("test")[0], [1, 4])], ["id"])))


# ---- which place


def test_a_folder_comes_first(
    hub: LocalHub, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that was named like a repository; nothing is asked."""
    (tmp_path / "zhu-xlab").mkdir()
    (tmp_path / REPO).symlink_to(folders["parquet"])
    monkeypatch.chdir(tmp_path)

    place = open_place(REPO)

    assert isinstance(place, LocalPlace)
    assert place.name == str(folders["parquet"])
    assert not hub.log
    (tmp_path / "zhu-xlab/empty").mkdir()
    with pytest.raises(FolderError, match=r"empty: no manifest\.json"):
        open_place("zhu-xlab/empty")
    with pytest.raises(FolderError, match=r"no manifest\.json"):
        open_place(Path("zhu-xlab/none"))
    with pytest.raises(FolderError, match=r"no manifest\.json"):
        open_place("./zhu-xlab/none")
    with pytest.raises(So2SatError, match="no address of a dataset"):
        open_place("hf://zhu-xlab/none")
    assert not hub.log


def test_a_repository_is_pinned_to_a_commit(hub: LocalHub, folders: dict[str, Path], path: str) -> None:
    """By name, address, tag or commit; what comes later is not seen."""
    repo = put(hub, folders["parquet"])
    first = repo.head("main")
    places = [open_place(REPO), open_place(f"hf://datasets/{REPO}")]
    repo.write({path: b"something else", **contents(folders["arrow"])})

    places.append(open_place(f"hf://datasets/{REPO}@{first}"))

    assert len(set(places)) == 1
    assert places[0].name == f"{REPO} at {first[:8]}"
    assert places[0].groups("train") == GROUPS
    newer = open_place(REPO)
    assert newer != places[0]
    assert newer.manifest.file_format == "arrow"


def test_a_repository_that_is_not_there(hub: LocalHub) -> None:
    """The message names both readings, and does not where only one is possible."""
    with pytest.raises(
        HubError, match=r"no such dataset .* if a folder was meant: there is no zhu-xlab/none"
    ):
        open_place("zhu-xlab/none", patience=QUICK)
    with pytest.raises(HubError) as refused:
        open_place("hf://datasets/zhu-xlab/none", patience=QUICK)
    assert "folder" not in str(refused.value)


def test_other_files_than_the_manifest_says(hub: LocalHub, folders: dict[str, Path], path: str) -> None:
    """Noticed when the place is opened."""
    repo = put(hub, folders["parquet"])
    repo.write({path: b"PAR1 something else"})

    with pytest.raises(HubError, match=f"another {path} than manifest.json says"):
        open_place(REPO, patience=QUICK)


# ---- what it costs


def chunk_bytes(folder: Path, path: str, group: int, *columns: str) -> int:
    """Bytes of columns of a row group; of all columns if none is named."""
    known = pq.read_metadata(folder / path).row_group(group)
    chunks = [known.column(number) for number in range(known.num_columns)]
    return sum(
        chunk.total_compressed_size
        for chunk in chunks
        if not columns or chunk.path_in_schema.partition(".")[0] in columns
    )


def test_a_row_group_is_one_request_or_two(hub: LocalHub, folders: dict[str, Path], path: str) -> None:
    """One for one column, two for all 41 MB; nothing but these bytes, and no footer again."""
    put(hub, folders["parquet"])
    place = open_place(REPO, patience=QUICK)
    assert asked(hub) == {"info": 1, "tree": 1, "resolve-get": 1}
    hub.reset_log()

    def cost(*columns: str) -> tuple[int, int]:
        hub.reset_log()
        with place.parquet(path) as file:
            file.read_row_group(0, list(columns) or None, use_threads=False)
        assert asked(hub).keys() == {"storage-get"}
        return asked(hub)["storage-get"], sent(hub)

    place.groups("train")
    assert asked(hub) == {"resolve-get": 1, "storage-get": 1}  # where it is, and its footer
    assert sent(hub, "storage-get") == ranged.TAIL
    for column in ("sen1", "sen2"):
        assert cost(column) == (1, chunk_bytes(folders["parquet"], path, 0, column))
    requests, num_bytes = cost()
    assert num_bytes == chunk_bytes(folders["parquet"], path, 0) > 32e6
    assert requests == 2


def test_single_rows_cost_less_than_their_row_group(
    hub: LocalHub, folders: dict[str, Path], path: str
) -> None:
    """A large column comes up to the last row wanted; rows in between cost nothing more."""
    put(hub, folders["parquet"])
    place = open_place(REPO, patience=QUICK)
    place.groups("train")
    whole = chunk_bytes(folders["parquet"], path, 0, "sen2")
    hub.reset_log()

    for rows in ([100], range(100, 128)):
        hub.reset_log()
        (tables,) = map(list, place.parts([(place.shards("train")[0], rows)], ["sen2"]))

        assert sum(map(len, tables)) == len(rows)
        assert asked(hub) == {"storage-get": 1}
        assert sent(hub) < 0.125 * 1.1 * whole + 2 * 2**20 + 1024
        assert sent(hub) < 0.35 * whole
    hub.reset_log()
    (tables,) = map(list, place.parts([(place.shards("train")[0], [1023])], ["sen1"]))
    assert (asked(hub)["storage-get"], sent(hub)) == (1, chunk_bytes(folders["parquet"], path, 0, "sen1"))
    expected = pq.read_table(folders["parquet"] / path, columns=["sen1"]).slice(1023, 1)
    assert tables[0].equals(expected)


def test_a_guess_that_is_too_small_costs_requests_but_no_rows(
    hub: LocalHub, folders: dict[str, Path], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first rows of a column take more bytes than the others."""
    monkeypatch.setattr(ahead, "MARGIN", -10)
    put(hub, folders["parquet"])
    place = open_place(REPO, patience=QUICK)
    rows = [0, 5, 800]

    (tables,) = map(list, place.parts([(place.shards("train")[0], rows)], ["sen1"]))

    expected = pq.read_table(folders["parquet"] / path, columns=["sen1"]).take(rows)
    assert pa.concat_tables(tables).equals(expected)
    assert asked(hub)["storage-get"] > 3


def test_of_an_arrow_file_only_some_columns_come(hub: LocalHub, folders: dict[str, Path]) -> None:
    """Uncompressed: 40 KiB a patch for sen2, and some list offsets."""
    put(hub, folders["arrow"])
    place = open_place(REPO, patience=QUICK)
    place.groups("train")
    hub.reset_log()

    ((table,),) = (
        list(tables) for tables in place.parts([(place.shards("train")[0], [1100])], ["id", "sen2"])
    )

    assert len(table) == 1
    assert 176 * 40 * 1024 < sent(hub) < 1.1 * 176 * 40 * 1024
    assert asked(hub)["storage-get"] <= 8


def test_footers_are_looked_up_once(hub: LocalHub, folders: dict[str, Path]) -> None:
    """By whatever copy of the place."""
    put(hub, folders["parquet"])
    place = open_place(REPO, patience=QUICK)
    for split in ROWS:
        place.groups(split)
    hub.reset_log()

    again = pickle.loads(pickle.dumps(place))
    for split in ROWS:
        again.groups(split)

    assert not hub.log


def test_long_footers_take_a_second_request(
    hub: LocalHub, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The length of a footer is at its end."""
    monkeypatch.setattr(ranged, "TAIL", 100)
    put(hub, folders["parquet"])

    assert open_place(REPO, patience=QUICK).groups("train") == GROUPS

    assert asked(hub)["storage-get"] == 2
