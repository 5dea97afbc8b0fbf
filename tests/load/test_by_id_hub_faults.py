"""Single patches by id out of a repository that changes, fails, or is damaged."""

import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from by_id_repositories import HUNDRED, built_folders, check_equal, forget, forgotten, no_holes
from hub_folders import QUICK, REPO, contents, put, sent
from local_hub import Fault, LocalHub

from so2sat_hf.convert.raw import RawSource
from so2sat_hf.errors import HubError, SourceError
from so2sat_hf.load import ahead, lookup
from so2sat_hf.load.by_id import patches
from so2sat_hf.load.files import open_place

__all__ = ["forgotten", "no_holes"]  # fixtures


@pytest.fixture(scope="module")
def folders(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Kind -> a folder; those with an index and with digital numbers alone."""
    yield from built_folders(source, tmp_path_factory.mktemp("by_id_hub"), ["index", "uint16"])


def test_a_moved_head(hub: LocalHub, folders: dict[str, Path]) -> None:
    """An open place stays at its commit; a name leads to what is there now."""
    ids = ["training/000200", "testing/000069"]
    repo = put(hub, folders["index"])
    place = open_place(REPO, patience=QUICK)
    expected = patches(ids, folders["index"])
    check_equal(patches(ids[:1], place), patches(ids[:1], folders["index"]))

    gone = dict.fromkeys(place.manifest.tables, b"something else")
    repo.write({**gone, **contents(folders["uint16"])})

    check_equal(patches(ids, place), expected)
    forget()
    check_equal(patches(ids, pickle.loads(pickle.dumps(place))), expected)
    check_equal(patches(ids, REPO), expected)
    assert open_place(REPO).manifest.sen2_dtype == "uint16"


def test_a_private_repository(hub: LocalHub, folders: dict[str, Path], login: Callable[[str], None]) -> None:
    """With the token that hf auth login has left; without it there is no such dataset."""
    put(hub, folders["index"], private=True)
    token = hub.add_user("maria", orgs={"zhu-xlab": "read"})
    with pytest.raises(HubError, match="or a private one") as refused:
        patches(["training/000003"], REPO)
    login(token)

    check_equal(patches(["training/000003"], REPO), patches(["training/000003"], folders["index"]))

    login("hf_wrong")
    with pytest.raises(HubError) as refused:
        patches(["training/000003"], REPO)
    assert "hf_wrong" not in f"{refused.value}{refused.value!r}"
    assert all("authorization" not in request.headers for request in hub.requests("storage-get"))


def test_an_index_that_is_another_file(hub: LocalHub, folders: dict[str, Path]) -> None:
    """Of another size, or no table at all."""
    repo = put(hub, folders["index"])
    place = open_place(REPO, patience=QUICK)
    (file,) = (each for each in place.manifest.companions[0].files if each.split == "test")

    repo.objects[file.sha256] = b"x" * (file.bytes + 1)
    with pytest.raises(HubError, match=f"{file.path} of {REPO} at .*another file there"):
        patches(["testing/000001"], place)
    repo.objects[file.sha256] = b"x" * file.bytes
    with pytest.raises(SourceError, match=f"{file.path} of {REPO} at .*cannot be read"):
        patches(["testing/000001"], place)


def test_patches_of_another_name_are_refused(hub: LocalHub, folders: dict[str, Path]) -> None:
    """Where the index is of one dataset and the data of another."""
    put(hub, folders["index"])
    place = open_place(REPO, patience=QUICK)
    known = lookup.places_of(place, "train")
    known.row[7] = 8

    with pytest.raises(SourceError, match=r"training/000008 in row 8; expected training/000007"):
        patches(["training/000007"], place)


def test_damaged_pages_are_named(hub: LocalHub, folders: dict[str, Path]) -> None:
    """And the row groups beside them can be read."""
    repo = put(hub, folders["index"])
    place = open_place(REPO, patience=QUICK)
    shard = place.shards("train")[0]
    start = pq.read_metadata(folders["index"] / shard.path).row_group(2).column(0).data_page_offset
    whole = repo.objects[shard.sha256]
    repo.objects[shard.sha256] = whole[:start] + b"x" * 200_000 + whole[start + 200_000 :]

    with pytest.raises(SourceError, match=f"{shard.path} of {REPO} at .*cannot be read"):
        patches(["training/000033"], place)
    assert patches(["training/000031"], place).ids == ["training/000031"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [(Fault(silent=True), "the Hub is silent"), (Fault(cut="before"), "the connection failed")],
)
@pytest.mark.parametrize("kind", ["info", "resolve-get", "storage-get"])
def test_silence_and_cuts_end(
    hub: LocalHub, folders: dict[str, Path], kind: str, fault: Fault, message: str
) -> None:
    """In our error, whatever is asked for; one of them alone passes."""
    put(hub, folders["index"])
    hub.inject(fault=fault, when=lambda request: request.kind == kind)
    place = open_place(REPO, patience=QUICK)
    check_equal(patches(["training/000003"], place), patches(["training/000003"], folders["index"]))
    forget()
    hub.inject(fault=fault, when=lambda request: request.kind == kind, times=100)
    if kind == "storage-get":
        with pytest.raises(HubError, match=message):
            patches(["training/000003"], place)
    else:
        with pytest.raises(HubError, match=message):
            open_place(REPO, patience=QUICK)


def test_after_an_error_nothing_more_is_asked(
    hub: LocalHub, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was to be fetched ahead is left, although somebody keeps the error."""
    monkeypatch.setattr(ahead, "REQUESTS", 2)
    put(hub, folders["index"])
    place = open_place(REPO, patience=QUICK)
    patches(HUNDRED, place, columns=[])
    hub.inject(fault=Fault(status=503), when=lambda request: request.kind == "storage-get", times=100)
    hub.reset_log()

    with pytest.raises(HubError, match="503") as kept:
        patches(HUNDRED, place)

    count = len(hub.log)
    time.sleep(0.2)
    assert len(hub.log) == count < 5 * QUICK.tries
    assert kept.value


def test_a_cut_within_a_row_group_costs_no_byte_twice(hub: LocalHub, folders: dict[str, Path]) -> None:
    """It goes on where it was cut."""
    put(hub, folders["index"])
    place = open_place(REPO, patience=QUICK)
    patches(["training/000003"], place, columns=[])
    hub.reset_log()
    patches(["training/000003"], place, columns=["sen1"])
    undisturbed = sent(hub)
    hub.reset_log()
    hub.inject(fault=Fault(cut=100_000), when=lambda request: int(range_of(request)[1]) > 200_000)

    block = patches(["training/000003"], place, columns=["sen1"])

    assert np.array_equal(block.sen1, patches(["training/000003"], folders["index"]).sen1)
    assert sent(hub) == undisturbed


def range_of(request: object) -> list[str]:
    return request.headers.get("range", "bytes=0-0").removeprefix("bytes=").split("-")


def test_offline(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says so, and that a folder may have been meant."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(HubError, match=r"HF_HUB_OFFLINE is set.* if a folder was meant"):
        patches(["training/000003"], REPO)

    assert not hub.log
