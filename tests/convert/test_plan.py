"""Which rows go to which file."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2sat_hf.convert.cells import Cell
from so2sat_hf.convert.plan import count_shards, plan_shards

ROWS = st.integers(1, 400_000)


@given(num_rows=ROWS, rows_per_shard=st.none() | st.integers(1000, 20_000))
def test_shards_tile_the_split(num_rows: int, rows_per_shard: int | None) -> None:
    """Every row lands in exactly one shard, in order, and shards of a split differ by at most one row."""
    shards = plan_shards({Cell("train"): num_rows}, rows_per_shard=rows_per_shard)

    assert shards[0].start == 0
    assert shards[-1].stop == num_rows
    assert all(a.stop == b.start for a, b in pairwise(shards))
    sizes = {shard.num_rows for shard in shards}
    assert max(sizes) - min(sizes) <= 1
    assert rows_per_shard is None or max(sizes) <= rows_per_shard


def test_published_splits_have_the_promised_number_of_files() -> None:
    """64 files for train and 8 each for validation and test."""
    shards = plan_shards({Cell("train"): 352_366, Cell("validation"): 24_119, Cell("test"): 24_188})

    assert [sum(s.split == split for s in shards) for split in ("train", "validation", "test")] == [64, 8, 8]


@pytest.mark.parametrize(("num_rows", "count"), [(1, 1), (1024, 1), (1025, 2), (2048, 2), (10**6, 64)])
def test_small_splits_get_few_files(num_rows: int, count: int) -> None:
    """One for each row group, up to the published count."""
    assert count_shards(64, num_rows) == count


def test_paths_carry_the_split_and_the_count() -> None:
    """A reader without the README still sees what belongs where."""
    shards = plan_shards({Cell("test"): 30}, file_format="arrow", rows_per_shard=15)

    assert [shard.path for shard in shards] == [
        "data/test/00000-of-00002.arrow",
        "data/test/00001-of-00002.arrow",
    ]


def test_cells_share_the_files_of_their_split() -> None:
    """Larger cells get more of the 64, none gets no file, and paths say which cell it is."""
    cells = {Cell("train", "1", "1"): 225_000, Cell("train", "1", "0"): 57_000, Cell("train", "0", "x"): 366}

    shards = plan_shards(cells)

    assert [sum(shard.cell == cell for shard in shards) for cell in cells] == [51, 13, 1]
    assert shards[-1].path == "data/train/r0bx-00000-of-00001.parquet"
