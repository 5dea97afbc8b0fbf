"""The table of where each patch is in version 3."""

from pathlib import Path

import numpy as np
import pytest

from so2sat_hf.convert.build import build, draw
from so2sat_hf.convert.built import open_built
from so2sat_hf.convert.membership import Membership, cells_of, read_membership
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource, open_raw
from so2sat_hf.convert.workspace import changes
from so2sat_hf.errors import SourceError

ROWS = {"training": 260, "validation": 90, "testing": 70}


def drawn(source: RawSource, *names: str, seed: int = 0, codes: int = 3) -> Membership:
    rng = np.random.default_rng(seed)
    label = np.concatenate([source.labels(split) for split in source.num_rows]).astype(np.uint8)
    members = {name: rng.integers(0, codes, 420).astype(np.uint8) for name in names}
    rows = {
        name: np.where(member == 2, -1, np.arange(420)).astype(np.int32) for name, member in members.items()
    }
    return Membership(ROWS, label, members, rows)


@pytest.fixture
def membership(source: RawSource) -> Membership:
    return drawn(source, "random", "block")


def test_a_table_comes_back_as_it_was(membership: Membership, tmp_path: Path) -> None:
    """Labels, codes and rows, patches that are left out included."""
    membership.write(tmp_path / "membership.parquet")
    read = read_membership(tmp_path / "membership.parquet")

    assert dict(read.rows) == ROWS
    assert np.array_equal(read.label, membership.label)
    for name in ("random", "block"):
        assert np.array_equal(read.members[name], membership.members[name])
        assert np.array_equal(read.version_3_rows[name], membership.version_3_rows[name])
    assert read.left_out() == membership.left_out() != {}


def test_the_published_rows_fit_in_5_mb(tmp_path: Path) -> None:
    """400,673 patches with shuffled rows of two splits."""
    rng = np.random.default_rng(0)
    rows = {"training": 352_366, "validation": 24_119, "testing": 24_188}
    codes = {name: (rng.random(400_673) < 0.8).astype(np.uint8) for name in ("random", "block")}
    places = {}
    for name, code in codes.items():
        places[name] = np.empty(400_673, np.int32)
        for value in (0, 1):
            places[name][code == value] = rng.permutation(np.count_nonzero(code == value))
    label = rng.integers(0, 17, 400_673).astype(np.uint8)

    Membership(rows, label, codes, places).write(tmp_path / "m.parquet")

    assert (tmp_path / "m.parquet").stat().st_size < 5_000_000


def test_cells_tile_the_source(source: RawSource, membership: Membership) -> None:
    """Every patch is in the one cell that the table says."""
    cells = cells_of(source, membership)

    for split, stem in (("train", "training"), ("validation", "validation"), ("test", "testing")):
        place = membership.of_file(stem)
        own = {cell: rows for cell, rows in cells.items() if cell.split == split}
        assert sorted(np.concatenate(list(own.values()))) == list(range(source.num_rows[split]))
        for cell, rows in own.items():
            assert {"01x"[code] for code in membership.members["random"][place][rows]} == {cell.random}
            assert {"01x"[code] for code in membership.members["block"][place][rows]} == {cell.block}
            assert (np.diff(rows) > 0).all()
    assert list(cells) == sorted(cells, key=lambda cell: (list(source.num_rows).index(cell.split), cell.tag))


def test_a_built_folder_is_refined_like_the_hdf5(
    source: RawSource, membership: Membership, tmp_path: Path
) -> None:
    """One split of version 3 at a time gives the cells that both together give."""
    from so2sat_hf.convert.build import Extras

    build(source, tmp_path / "a", extras=Extras(drawn(source, "random")), jobs=1)
    both = drawn(source, "random", "block")
    build(open_built(tmp_path / "a"), tmp_path / "b", extras=Extras(both), jobs=1)
    build(source, tmp_path / "c", extras=Extras(both), jobs=1)

    for path in sorted((tmp_path / "c" / "data").rglob("*.parquet")):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "c")).read_bytes()


def test_a_table_of_other_files_is_refused(source: RawSource, membership: Membership, write_h5) -> None:
    """Other numbers of rows, other classes, other cells, version 3 alone."""
    for name, rows in (("training.h5", 6), ("validation.h5", 5), ("testing.h5", 4)):
        folder = write_h5(name, num_rows=rows).parent
    with pytest.raises(SourceError, match="6 rows in training, but 260 in the membership"):
        cells_of(open_raw(folder), membership)
    other = Membership(ROWS, membership.label[::-1].copy(), membership.members, membership.version_3_rows)
    with pytest.raises(SourceError, match="other classes in training"):
        cells_of(source, other)


def test_a_table_that_contradicts_a_built_folder_is_refused(source: RawSource, tmp_path: Path) -> None:
    """The folder knows random already."""
    from so2sat_hf.convert.build import Extras

    build(source, tmp_path / "out", extras=Extras(drawn(source, "random")), jobs=1)

    with pytest.raises(SourceError, match="are not in t"):
        cells_of(open_built(tmp_path / "out"), drawn(source, "random", seed=1))


@pytest.mark.parametrize("damage", ["text", "rows", "columns", "none"])
def test_a_damaged_table_is_one_clear_error(membership: Membership, tmp_path: Path, damage: str) -> None:
    """Not Parquet, rows missing, another table, no file."""
    import pyarrow.parquet as pq

    path = tmp_path / "m.parquet"
    membership.write(path)
    table = pq.read_table(path)
    if damage == "text":
        path.write_text("not a table")
    elif damage == "rows":
        pq.write_table(table.slice(1), path)
    elif damage == "columns":
        pq.write_table(table.drop(["row"]), path)
    else:
        path.unlink()
    with pytest.raises(SourceError, match="so2sat match"):
        read_membership(path)


def test_a_build_says_what_it_will_redo(source: RawSource, tmp_path: Path) -> None:
    """Version 3 later: all data files are others."""
    out = tmp_path / "out"
    plan = draw(source, BuildOptions())
    assert changes(out, plan, ()) == []
    build(source, out, jobs=1)

    assert changes(out, plan, ()) == []
    (said,) = changes(out, draw(source, BuildOptions(), drawn(source, "random")), ())
    assert "holds 3 data files; the patches are now in 9 others" in said
    (said,) = changes(out, draw(source, BuildOptions(columns=("sen2", "geo"))), ())
    assert said.endswith("loses sen1, which this build leaves out.")
