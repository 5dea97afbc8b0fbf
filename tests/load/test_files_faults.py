"""Places that are damaged, slow, replaced, private or offline; and read by several processes."""

import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hub_folders import QUICK, REPO, asked, contents, put
from local_hub import Fault, LocalHub
from place_folders import GROUPS, built_folders, parquet_path

from so2sat_hf.errors import HubError, SourceError
from so2sat_hf.load import place as place_module
from so2sat_hf.load.files import Place, open_place
from so2sat_hf.load.hub_place import HubPlace

__all__ = ["parquet_path"]  # a fixture


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Format -> a built folder; Parquet alone."""
    return built_folders(tmp_path_factory.mktemp("files"), ["parquet"])


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
