"""Single patches by id out of a repository: the same as from a folder, for few requests and bytes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from by_id_repositories import GROUP_ROWS, HUNDRED, KINDS, built_folders, check_equal, forgotten, no_holes
from hub_folders import QUICK, REPO, asked, put, sent
from local_hub import LocalHub

from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.patches import GEO_COLUMNS
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.errors import So2SatError
from so2sat_hf.load import ahead, lookup
from so2sat_hf.load.by_id import patches
from so2sat_hf.load.files import open_place

__all__ = ["forgotten", "no_holes"]  # fixtures

OPENING = {"info": 1, "tree": 1, "resolve-get": 1}
"""Which commit, which files, the manifest."""


@pytest.fixture(scope="module")
def folders(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Kind -> a folder; every kind."""
    yield from built_folders(source, tmp_path_factory.mktemp("by_id_hub"), KINDS)


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
