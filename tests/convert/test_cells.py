"""What every version treats alike, and the splits that are made of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2sat_hf.convert.cells import Cell, splits_of

VALUE = st.sampled_from(["1", "0", "x", None])
CELL = st.builds(Cell, st.sampled_from(["train", "validation", "test"]), VALUE, VALUE)


@given(CELL)
def test_a_key_tells_its_cell(cell: Cell) -> None:
    """What a manifest stores can be read back."""
    assert Cell.parse(cell.key) == cell


@pytest.mark.parametrize("key", ["", "train/", "train/r2", "train/r1r0", "train/b1r1", "train/r1b", "/r1"])
def test_nonsense_is_no_cell(key: str) -> None:
    """A manifest is input, too."""
    with pytest.raises(ValueError, match="names no cell"):
        Cell.parse(key)


def test_cells_of_version_2_alone_make_its_splits() -> None:
    """Version 1 lacks the test, version 3 culture-10 joins validation and test."""
    train, validation, test = Cell("train"), Cell("validation"), Cell("test")

    assert splits_of([train, validation, test]) == {
        "culture_10": {"train": (train,), "validation": (validation,), "test": (test,)},
        "v1": {"train": (train,), "validation": (validation,)},
        "culture_10_v3": {"train": (train,), "test": (validation, test)},
    }


def test_version_3_takes_cells_of_every_folder_and_leaves_x_out() -> None:
    """A patch in neither its train nor its test is in no split of random."""
    cells = [
        Cell("train", "0"),
        Cell("train", "1"),
        Cell("train", "x"),
        Cell("validation", "1"),
        Cell("test", "0"),
    ]

    random = splits_of(cells)["random"]

    assert random == {"train": (cells[1], cells[3]), "test": (cells[0], cells[4])}
    assert "block" not in splits_of(cells)


def test_without_a_whole_version_2_there_is_no_other_version() -> None:
    """Files of one split alone make no version 1 or 3."""
    assert list(splits_of([Cell("train"), Cell("test")])) == ["culture_10"]


def test_a_split_of_version_3_alone_is_its_only_config() -> None:
    """No culture-10 is claimed."""
    cells = [Cell("train"), Cell("test")]

    assert splits_of(cells, "block") == {"block": {"train": (cells[0],), "test": (cells[1],)}}
