"""Single patches by id out of a repository: the same as from a folder, for few requests and bytes."""

import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hub_folders import QUICK, REPO, asked, contents, put, sent
from local_hub import Fault, LocalHub

from so2sat_hf.assemble import extras
from so2sat_hf.companions import index as index_module
from so2sat_hf.convert import shard as shard_module
from so2sat_hf.convert.build import build
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.patches import GEO_COLUMNS, PatchBlock
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.errors import HubError, So2SatError, SourceError
from so2sat_hf.hub import ranges
from so2sat_hf.load import ahead, lookup, ranged
from so2sat_hf.load.by_id import patches
from so2sat_hf.load.files import open_place

GROUP_ROWS = 16
KINDS = {
    "index": BuildOptions(rows_per_shard=130),
    "data": BuildOptions(rows_per_shard=130),
    "arrow": BuildOptions(file_format="arrow", rows_per_shard=130),
    "uint16": BuildOptions(file_format="arrow", sen2_dtype="uint16", rows_per_shard=130),
}
OPENING = {"info": 1, "tree": 1, "resolve-get": 1}
"""Which commit, which files, the manifest."""

HUNDRED = [f"training/{row:06d}" for row in (*range(16, 50), *range(130, 195), 259)]
"""Ids of 100 patches: 3 row groups of one file, 5 of 9 of another and its last one."""


@pytest.fixture(scope="module")
def folders(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Kind -> a folder with two files of 130 rows for train, else one, in row groups of 16."""
    parent = tmp_path_factory.mktemp("by_id_hub")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shard_module, "ROW_GROUP_ROWS", GROUP_ROWS)
        patched.setattr(index_module, "ROW_GROUP_ROWS", GROUP_ROWS)
        for kind, options in KINDS.items():
            companions = ("index",) if kind == "index" else ()
            build(source, parent / kind, options, extras=extras(source, companions=companions), jobs=1)
        yield {kind: parent / kind for kind in KINDS}


def forget() -> None:
    """What this process knows of repositories."""
    lookup.places_of.cache_clear()
    ranged.footer.cache_clear()
    ranges._STORAGE.clear()


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """What was looked up by other tests."""
    forget()


@pytest.fixture(autouse=True)
def no_holes(monkeypatch: pytest.MonkeyPatch) -> None:
    """These row groups are small: what lies between two wanted columns is not to come with them."""
    monkeypatch.setattr(ahead, "HOLE", 0)
    monkeypatch.setattr(ranged, "TAIL", 4096)


def check_equal(found: PatchBlock, expected: PatchBlock) -> None:
    assert found.ids == expected.ids
    for name in ("label", "sen1", "sen2"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))
    assert found.geo.city == expected.geo.city
    for name in GEO_COLUMNS[1:]:
        assert np.array_equal(getattr(found.geo, name), getattr(expected.geo, name))


def chunks(path: Path, groups: set[int], columns: set[str]) -> list[int]:
    """Bytes of the chunks of these columns in these row groups of a file."""
    known = pq.read_metadata(path)
    found = [known.row_group(group).column(i) for group in groups for i in range(known.num_columns)]
    return [
        chunk.total_compressed_size for chunk in found if chunk.path_in_schema.partition(".")[0] in columns
    ]


# ---- the same patches


@pytest.mark.parametrize("kind", KINDS)
def test_patches_are_those_of_the_folder(hub: LocalHub, folders: dict[str, Path], kind: str) -> None:
    """Of all splits, in any order, one of them twice; by every name of the place."""
    stems = {"training": 260, "validation": 90, "testing": 70}
    ids = [f"{stem}/{row:06d}" for stem, count in stems.items() for row in range(count)]
    ids = np.random.default_rng(5).permutation(ids)[:60].tolist()
    ids.insert(50, ids[4])
    put(hub, folders[kind])
    expected = patches(ids, folders[kind])

    for place in (REPO, f"hf://datasets/{REPO}", f"hf://datasets/{REPO}@main", open_place(REPO)):
        check_equal(patches(ids, place), expected)


def test_only_wanted_columns_come(hub: LocalHub, folders: dict[str, Path]) -> None:
    """As from a folder."""
    put(hub, folders["index"])

    block = patches(["training/000131"], REPO, columns="sen2")

    assert (block.sen1, block.geo) == (None, None)
    assert block.sen2.shape == (1, 10, 32, 32)
    with pytest.raises(So2SatError, match=f"{REPO} at .*: 1 of 2 ids are not in it, e.g. training/000260"):
        patches(["training/000131", "training/000260"], REPO)


def test_a_folder_of_that_name_comes_first(
    hub: LocalHub, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also offline; nothing is asked."""
    (tmp_path / "zhu-xlab").mkdir()
    (tmp_path / REPO).symlink_to(folders["index"])
    monkeypatch.chdir(tmp_path)

    assert patches(["testing/000003"], REPO).ids == ["testing/000003"]

    assert not hub.log


# ---- for few requests and bytes


@pytest.mark.parametrize("columns", [{"id", "label", "sen2"}, {"id", "label", "sen1", "sen2", *GEO_COLUMNS}])
def test_a_hundred_patches_cost_their_row_groups(
    hub: LocalHub, folders: dict[str, Path], columns: set[str]
) -> None:
    """With an index: 3 requests to open, its columns id, file and row, 2 footers, and the columns wanted.

    Each file costs a request for its address besides. Not a byte of the large columns is in vain.
    """
    folder = folders["index"]
    shards = [folder / shard.path for shard in Manifest.read(folder).shards_of("train")]
    groups = [set(range(1, 4)), {0, 1, 2, 3, 4, 8}]
    needed = sum(sum(chunks(path, of_file, columns)) for path, of_file in zip(shards, groups, strict=True))
    told = sum(chunks(folder / "index/train.parquet", {0}, {"id", "file", "row"}))
    put(hub, folder)

    block = patches(HUNDRED, REPO, columns=columns)

    assert len(block) == 100
    manifest = (folder / "manifest.json").stat().st_size
    footers = [
        pq.read_metadata(path).serialized_size + 8 for path in (folder / "index/train.parquet", *shards)
    ]
    tails = sum(max(size, 4096) for size in footers)
    assert sent(hub, "storage-get") == needed + told + tails
    in_all = sent(hub) - sent(hub, "info", "tree", "storage-get")
    assert in_all <= manifest + 3 * 300  # three addresses
    ranges_of_group = 1 if columns >= {"sen1", "geo"} else 1 if "sen1" in columns else 2
    second_tails = sum(size > 4096 for size in footers)
    assert asked(hub) == {
        "info": 1,
        "tree": 1,
        "resolve-get": 1 + 3,
        "storage-get": 3 + second_tails + 2 + 9 * ranges_of_group,
    }
    shares = needed / sum(path.stat().st_size for path in shards)
    assert shares < (0.6 if "sen1" in columns else 0.2)


def test_without_an_index_the_id_columns_tell(hub: LocalHub, folders: dict[str, Path]) -> None:
    """A few bytes a patch, of the split asked for alone."""
    folder = folders["data"]
    shards = [folder / shard.path for shard in Manifest.read(folder).shards_of("train")]
    put(hub, folder)
    place = open_place(REPO)
    hub.reset_log()

    lookup.places_of(place, "train")

    ids = sum(sum(chunks(path, set(range(9)), {"id"})) for path in shards)
    tails = sum(max(pq.read_metadata(path).serialized_size + 8, 4096) for path in shards)
    assert sent(hub, "storage-get") == ids + tails
    assert asked(hub)["resolve-get"] == 2
    assert asked(hub)["storage-get"] <= 2 * (2 + 9)


def test_a_second_call_looks_nothing_up_again(hub: LocalHub, folders: dict[str, Path]) -> None:
    """By name: which commit, and its manifest; of an open place: pixels alone."""
    put(hub, folders["index"])
    place = open_place(REPO, patience=QUICK)
    patches(["training/000000"], place, columns=["label"])
    hub.reset_log()

    patches(["training/000003"], place, columns=["sen2"])

    assert asked(hub) == {"storage-get": 2}  # id; sen2 and label, which are neighbours
    hub.reset_log()
    patches(["training/000003"], open_place(REPO, patience=QUICK), columns=["sen2"])
    assert asked(hub) == {**OPENING, "storage-get": 2}


def test_row_groups_are_fetched_ahead_up_to_a_bound(
    hub: LocalHub, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than one at a time, and no more bytes than may wait to be decoded."""
    put(hub, folders["index"])
    place = open_place(REPO, patience=QUICK)
    patches(HUNDRED[:1], place, columns=[])
    (shard,) = place.shards("train")[:1]
    one_group = sum(chunks(folders["index"] / shard.path, {0}, {"sen1"}))
    monkeypatch.setattr(ahead, "AHEAD", 3 * one_group + one_group // 2)
    hub.reset_log()

    ((first, *_),) = ([next(tables)] for tables in place.parts([(shard, range(130))], ["sen1"]))

    assert len(first) == GROUP_ROWS
    assert 2 <= asked(hub)["storage-get"] <= 4


# ---- what changes, fails, or is damaged


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
