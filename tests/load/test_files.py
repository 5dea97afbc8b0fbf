"""Places: a folder or a repository, opened alike, and what a row group on the Hub costs."""

import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_folders import QUICK, REPO, asked, contents, put, sent
from local_hub import Fault, LocalHub

from so2sat_hf.assemble import extras
from so2sat_hf.convert.build import build
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import open_raw
from so2sat_hf.errors import FolderError, HubError, So2SatError, SourceError
from so2sat_hf.load import ahead, ranged
from so2sat_hf.load import place as place_module
from so2sat_hf.load.files import Group, LocalPlace, Place, open_place
from so2sat_hf.load.hub_place import HubPlace
from so2sat_hf.synthetic import write_raw

ROWS = {"train": 1200, "validation": 5, "test": 4}
GROUPS = (Group(0, 0, 1024), Group(0, 1, 176))
FORMATS = ("parquet", "arrow")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Format -> a built folder; train is one file with a row group as large as those of the real data."""
    parent = tmp_path_factory.mktemp("files")
    write_raw(parent / "raw", **ROWS, seed=8, geo="2026")
    source = open_raw(parent / "raw")
    for name in FORMATS:
        options = BuildOptions(file_format=name, rows_per_shard=1200)
        build(source, parent / name, options, extras=extras(source, companions=()), jobs=1)
    return {name: parent / name for name in FORMATS}


@pytest.fixture
def path(folders: dict[str, Path]) -> str:
    return Manifest.read(folders["parquet"]).shards_of("train")[0].path


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


# ---- what goes wrong


def test_a_cut_is_continued_where_it_came(hub: LocalHub, folders: dict[str, Path], path: str) -> None:
    """No byte comes twice, and a connection that gets on is never given up."""
    put(hub, folders["parquet"])
    place = open_place(REPO, patience=QUICK)
    place.groups("train")
    hub.reset_log()
    hub.inject(fault=Fault(cut=300_000), when=lambda request: request.kind == "storage-get", times=9)

    with place.open(path) as stream:
        found = stream.read(3_000_000)

    assert found == (folders["parquet"] / path).read_bytes()[:3_000_000]
    assert asked(hub) == {"storage-get": 10}
    firsts = [int(request.headers["range"].split("=")[1].split("-")[0]) for request in hub.log]
    assert firsts == sorted(set(firsts))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(silent=True), "the Hub is silent"),
        (Fault(silent=1000), "the Hub is silent"),
        (Fault(cut="before"), "the connection failed"),
        (Fault(status=503), "the Hub answers 503"),
        (Fault(status=429, headers={"Retry-After": "900"}), "429 .* asks to wait 900 s"),
    ],
)
def test_patience_ends(
    hub: LocalHub, folders: dict[str, Path], path: str, fault: Fault, message: str
) -> None:
    """In our error, through pyarrow and its threads; no other one."""
    put(hub, folders["parquet"])
    place = open_place(REPO, patience=QUICK)
    place.groups("train")
    hub.inject(fault=fault, when=lambda request: request.kind == "storage-get", times=100)

    with place.parquet(path) as file, pytest.raises(HubError, match=f"{path} of {REPO} at .*{message}"):
        file.read_row_group(1, ["sen2"], use_threads=True)
    with pytest.raises(HubError, match=message):
        list(map(list, place.parts([(place.shards("train")[0], [3])], ["id"])))


def test_a_passing_fault_passes(hub: LocalHub, folders: dict[str, Path], path: str) -> None:
    """One silence, one overload, one lost answer."""
    put(hub, folders["parquet"])
    place = open_place(REPO, patience=QUICK)
    for fault in (Fault(silent=True), Fault(status=502)):
        hub.inject(fault=fault, when=lambda request: request.kind in ("storage-get", "resolve-get"))

    assert place.groups("train") == GROUPS


def test_an_address_that_has_expired_is_asked_for_again(
    hub: LocalHub, folders: dict[str, Path], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The storage refuses what it had signed an hour ago."""
    put(hub, folders["parquet"])
    place = open_place(REPO, patience=QUICK)
    place.groups("train")
    monkeypatch.setattr(hub, "_secret", b"another hour")
    hub.reset_log()

    with place.open(path) as stream:
        assert stream.read(4) == b"PAR1"
        assert stream.read(4)

    assert asked(hub) == {"storage-get": 3, "resolve-get": 1}
    assert hub.log[0].status == 403


def test_another_file_at_the_storage_is_refused(hub: LocalHub, folders: dict[str, Path], path: str) -> None:
    """Of another size, or no Parquet, or with damaged pages."""
    repo = put(hub, folders["parquet"])
    place = open_place(REPO, patience=QUICK)
    shard = place.shards("train")[0]
    whole = repo.objects[shard.sha256]

    repo.objects[shard.sha256] = whole[:-1]
    with pytest.raises(HubError, match=f"another file there: {shard.bytes - 1:,} bytes; expected"):
        place.groups("train")
    repo.objects[shard.sha256] = b"x" * shard.bytes
    with pytest.raises(SourceError, match=f"{path} of {REPO} at .*: cannot be read"):
        place.groups("train")
    repo.objects[shard.sha256] = b"x" * 4_000_000 + whole[4_000_000:]
    assert place.groups("train") == GROUPS
    with pytest.raises(SourceError, match=f"{path} of {REPO} at .*: cannot be read"):
        list(map(list, place.parts([(shard, [3])], ["id"])))


def test_fewer_rows_than_the_manifest_says(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder whose file was replaced."""
    folder = tmp_path / "out"
    for path, content in contents(folders["parquet"]).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    place = open_place(folder)
    shard = place.shards("test")[0]
    pq.write_table(pq.read_table(folder / shard.path).slice(1), folder / shard.path)
    with pytest.raises(SourceError, match=rf"{shard.path}: 3 rows; expected 4, as manifest\.json says"):
        place.groups("test")
    (folder / shard.path).unlink()
    for reading in (place.open, place.parquet, place.rows_of):
        with pytest.raises(SourceError, match=f"{shard.path}: cannot be read"):
            reading("data/none/" + shard.path if reading is not place.open else shard.path)


# ---- who may


def test_a_private_repository_needs_a_token(
    hub: LocalHub, folders: dict[str, Path], path: str, login: Callable[[str], None]
) -> None:
    """The storage does not get it, nor pickles, nor messages; without it there is no such dataset."""
    put(hub, folders["parquet"], private=True)
    token = hub.add_user("maria", orgs={"zhu-xlab": "read"})
    with pytest.raises(HubError, match="no such dataset on the Hub, or a private one"):
        open_place(REPO, patience=QUICK)
    login(token)

    place = open_place(REPO, patience=QUICK)
    assert place.groups("train") == GROUPS

    assert all("authorization" not in request.headers for request in hub.requests("storage-get"))
    assert token not in repr(place)
    assert token.encode() not in pickle.dumps(place)
    place_module._groups.cache_clear()
    hub.users.clear()
    with pytest.raises(HubError) as refused:
        place.groups("test")
    assert "does not accept the token" in str(refused.value)
    assert token not in f"{refused.value!r}{refused.value}"


def test_offline(hub: LocalHub, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked, whether the place is open already or not."""
    put(hub, folders["parquet"])
    place = open_place(REPO, patience=QUICK)
    hub.reset_log()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        place.groups("train")
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        open_place(REPO, patience=QUICK)

    assert not hub.log


def read_ranges(place: Place, start: int) -> bytes:
    """Run in another process: many ranges, one after the other."""
    with place.open(place.shards("train")[0].path) as stream:
        stream.seek(start)
        return b"".join(stream.read(9_000) for _ in range(50))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_too(hub: LocalHub, folders: dict[str, Path], path: str, method: str) -> None:
    """With connections of their own: those of the process that they came from stay its own."""
    put(hub, folders["parquet"])
    place = open_place(REPO, patience=QUICK)
    assert isinstance(place, HubPlace)
    starts = [0, 1_000_000, 2_000_000, 3_000_000]
    expected = [read_ranges(place, start) for start in starts]

    with multiprocessing.get_context(method).Pool(4) as pool:
        found = pool.starmap(read_ranges, [(place, start) for start in starts], chunksize=1)

    assert found == expected
    assert read_ranges(place, 5) == (folders["parquet"] / path).read_bytes()[5:450_005]
