"""Rows of version 3 -> rows of version 2."""

from collections import Counter, defaultdict
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from regrouped import write_rows, write_version_3

from so2sat_hf.assemble import match_versions
from so2sat_hf.companions.match import assign, hash_patches
from so2sat_hf.convert.build import build
from so2sat_hf.convert.built import open_built
from so2sat_hf.convert.membership import NEITHER, TEST, TRAIN, Membership
from so2sat_hf.convert.patches import SPLIT_OF_FILE, parse_id
from so2sat_hf.convert.raw import RawSource, open_raw
from so2sat_hf.errors import SourceError

KEYS = st.lists(st.integers(0, 6), max_size=12)


def as_keys(values: list[int]) -> np.ndarray:
    """Equal numbers, equal keys; the halves alone do not tell them apart."""
    return np.array([[value // 3, value % 3] for value in values], np.uint64).reshape(-1, 2)


@given(KEYS, KEYS, KEYS)
def test_equal_rows_are_paired_once_and_first_come_first(
    base: list[int], train: list[int], test: list[int]
) -> None:
    """The same as a plain loop over queues, for any multiplicities."""
    queues = defaultdict(list)
    for row, value in enumerate(base):
        queues[value].append(row)
    codes, rows, left = np.full(len(base), NEITHER), np.full(len(base), -1), Counter()
    for code, name, values in ((TRAIN, "train", train), (TEST, "test", test)):
        for row, value in enumerate(values):
            if queues[value]:
                partner = queues[value].pop(0)
                codes[partner], rows[partner] = code, row
            else:
                left[name] += 1

    found, places, problems = assign(as_keys(base), as_keys(train), as_keys(test))

    assert found.tolist() == codes.tolist()
    assert places.tolist() == rows.tolist()
    assert (
        Counter({p.split: 0 for p in problems})
        + sum((Counter({p.split: len(p.rows)}) for p in problems), Counter())
        == left
    )


@pytest.mark.parametrize(
    ("base", "train", "test", "what", "split", "rows"),
    [
        ([1, 2], [1, 3], [], "no partner", "train", (1,)),
        ([1, 2], [1], [2, 1], "train and test at once", "test", (1,)),
        ([1, 2], [1, 1, 2], [], "more copies", "train", (1,)),
    ],
)
def test_a_row_without_place_says_why(base, train, test, what, split, rows) -> None:
    """No partner, in both, or too many copies."""
    (problem,) = assign(as_keys(base), as_keys(train), as_keys(test))[2]

    assert what in problem.what
    assert (problem.split, problem.rows) == (split, rows)


def test_a_built_folder_has_the_hashes_of_its_hdf5(source: RawSource, tmp_path: Path) -> None:
    """Whatever holds the patch, also as digital numbers in Arrow files."""
    from so2sat_hf.convert.options import BuildOptions

    build(source, tmp_path / "a", BuildOptions("arrow", sen2_dtype="uint16"), jobs=1)
    wanted = hash_patches(source, jobs=1)
    found = hash_patches(open_built(tmp_path / "a"), jobs=1)

    for split in wanted:
        assert np.array_equal(wanted[split], found[split])
        assert len(np.unique(wanted[split], axis=0)) == len(wanted[split])


def test_every_value_counts(write_h5) -> None:
    """One pixel of either sensor or the label: another hash; the sign of zero: the same."""
    path = write_h5(num_rows=4)
    with h5py.File(path, "a") as file:
        file["sen1"][3, 0, 0, 0] = 0.0
    before = hash_patches(open_raw(path.parent), jobs=1)["train"]
    with h5py.File(path, "a") as file:
        file["sen1"][0, 31, 31, 7] += 1
        file["sen2"][1, 0, 0, 9] = 0.5
        file["label"][2] = np.roll(file["label"][2], 1)
        file["sen1"][3, 0, 0, 0] = -0.0
    after = hash_patches(open_raw(path.parent), jobs=1)["train"]

    assert (before != after).any(axis=1).tolist() == [True, True, True, False]


@pytest.fixture(scope="module")
def version_3(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    folder = tmp_path_factory.mktemp("v3")
    return folder, write_version_3(raw, folder, seed=1)


def where(membership: Membership, name: str) -> dict[tuple[int, int], str]:
    """(code, row of version 3) -> id of version 2."""
    ids = [f"{stem}/{row:06d}" for stem, count in membership.rows.items() for row in range(count)]
    places = zip(membership.members[name].tolist(), membership.version_3_rows[name].tolist(), strict=True)
    return dict(zip(places, ids, strict=True))


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_shuffled_row_is_found(source: RawSource, version_3: tuple, jobs: int) -> None:
    """Each row of random and block, by the id that it was made of."""
    folder, made = version_3
    opened = [open_raw(folder / name) for name in ("random", "block")]

    membership = match_versions(opened, source, complete=True, jobs=jobs)

    for name in ("random", "block"):
        found = where(membership, name)
        for code, stem in ((TRAIN, "training"), (TEST, "testing")):
            ids = made[f"{name}/{stem}"]
            assert [found[code, row] for row in range(len(ids))] == ids


def test_one_split_at_a_time_gives_the_same(source: RawSource, version_3: tuple) -> None:
    """Nobody needs all versions on one disk."""
    folder, _ = version_3
    both = match_versions([open_raw(folder / "block"), open_raw(folder / "random")], source, jobs=1)
    first = match_versions([open_raw(folder / "random")], source, jobs=1)
    second = match_versions([open_raw(folder / "block")], source, known=first, jobs=1)

    assert list(second.members) == list(both.members) == ["random", "block"]
    for name in both.members:
        assert np.array_equal(both.members[name], second.members[name])


def test_culture_10_is_checked_and_adds_nothing(source: RawSource, version_3: tuple, tmp_path: Path) -> None:
    """Its train is training.h5, its test the rest; other groups are an error."""
    folder, made = version_3
    assert match_versions([open_raw(folder / "culture_10")], source, jobs=1).members == {}

    raw = source.files[0].path.parent
    swapped = tmp_path / "culture_10"
    write_rows(raw, swapped / "training.h5", [*made["culture_10/training"][1:], "testing/000003"])
    rest = [name for name in made["culture_10/testing"] if name != "testing/000003"]
    write_rows(raw, swapped / "testing.h5", [*rest, "training/000000"])
    with pytest.raises(SourceError, match=r"2 rows of version 2 are elsewhere .*, e\.g\. training/000000"):
        match_versions([open_raw(swapped)], source, jobs=1)
    write_rows(raw, swapped / "training.h5", [*made["culture_10/training"], "testing/000003"])
    write_rows(raw, swapped / "testing.h5", rest)
    with pytest.raises(SourceError, match=r"1 rows of version 2 are elsewhere .*, e\.g\. testing/000003"):
        match_versions([open_raw(swapped)], source, jobs=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("changed", "1 of 336 rows have no partner in version 2, e.g. row 5"),
        ("added", "1 of 337 rows have more copies here than in version 2, e.g. row 336"),
        ("both", "1 of 85 rows have the patch and label of a row of train"),
        ("label", "1 of 336 rows have no partner in version 2, e.g. row 5"),
    ],
)
def test_rows_that_do_not_fit_stop(
    source: RawSource, version_3: tuple, tmp_path: Path, change: str, message: str
) -> None:
    """A changed pixel, an added copy, a row in train and test, another label."""
    _, made = version_3
    raw, ids = source.files[0].path.parent, {stem: made[f"random/{stem}"] for stem in ("training", "testing")}
    if change == "added":
        ids["training"] = [*ids["training"], ids["training"][0]]
    if change == "both":
        ids["testing"] = [*ids["testing"], ids["training"][0]]
    for stem, names in ids.items():
        write_rows(raw, tmp_path / "random" / f"{stem}.h5", names)
    if change in ("changed", "label"):
        with h5py.File(tmp_path / "random" / "training.h5", "a") as file:
            if change == "changed":
                file["sen1"][5, 3, 3, 3] = 2.5
            else:
                file["label"][5] = np.roll(file["label"][5], 1)

    with pytest.raises(SourceError, match=message):
        match_versions([open_raw(tmp_path / "random")], source, jobs=1)


def test_a_removed_row_is_left_out_and_reported(source: RawSource, version_3: tuple, tmp_path: Path) -> None:
    """Cell x, and an error with --complete."""
    _, made = version_3
    raw = source.files[0].path.parent
    write_rows(raw, tmp_path / "random" / "training.h5", made["random/training"][2:])
    write_rows(raw, tmp_path / "random" / "testing.h5", made["random/testing"])
    opened = open_raw(tmp_path / "random")

    membership = match_versions([opened], source, jobs=1)

    assert membership.left_out() == {"random": 2}
    codes = membership.members["random"]
    for name in made["random/training"][:2]:
        stem, row = parse_id(name)
        assert codes[membership.of_file(stem)][row] == NEITHER
    with pytest.raises(SourceError, match="2 patches of version 2 are in neither"):
        match_versions([opened], source, complete=True, jobs=1)


def test_what_is_no_version_3_is_refused(source: RawSource, tmp_path: Path, raw: Path) -> None:
    """Version 2 itself, or a base without all three files."""
    with pytest.raises(SourceError, match="a folder random, block or culture_10 of version 3"):
        match_versions([source], source, jobs=1)
    write_rows(raw, tmp_path / "training.h5", ["training/000000"])
    version_3 = tmp_path / "block"
    for stem in ("training", "testing"):
        write_rows(raw, version_3 / f"{stem}.h5", ["training/000000"])
    with pytest.raises(SourceError, match="training, validation and testing of version 2"):
        match_versions([open_raw(version_3)], open_raw(tmp_path), jobs=1)


def test_splits_have_the_names_of_their_files() -> None:
    """The order of a membership is that of the published files."""
    assert list(SPLIT_OF_FILE) == ["training", "validation", "testing"]


def test_values_off_the_grid_match_where_rounding_is_allowed(raw: Path, tmp_path: Path) -> None:
    """A file with one odd value is matched as it is stored."""
    for stem in SPLIT_OF_FILE:
        write_rows(raw, tmp_path / f"{stem}.h5", [f"{stem}/{row:06d}" for row in range(5)])
    with h5py.File(tmp_path / "training.h5", "a") as file:
        file["sen2"][3, 0, 0, 0] = -0.00012
    write_version_3(tmp_path, tmp_path, seed=0)
    base = open_raw(tmp_path, allow_rounding=True)

    membership = match_versions([open_raw(tmp_path / "random", allow_rounding=True)], base, jobs=1)

    assert membership.left_out() == {}


def test_archives_of_all_versions_have_places_of_their_own(raw: Path, tmp_path: Path) -> None:
    """Files of all versions have the same names; unpacked into one folder they must not meet."""
    import gzip

    from so2sat_hf.assemble import membership_of

    for stem in SPLIT_OF_FILE:
        write_rows(raw, tmp_path / f"{stem}.h5", [f"{stem}/{row:06d}" for row in range(6)])
    made = write_version_3(tmp_path, tmp_path, seed=0)
    plain = match_versions([open_raw(tmp_path / "random")], open_raw(tmp_path), jobs=1)
    for path in tmp_path.rglob("*.h5"):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
        path.unlink()
    work = tmp_path / "work"

    found = membership_of(open_raw(tmp_path, work=work), work=work, complete=True, jobs=1)

    assert found is not None
    assert np.array_equal(found.version_3_rows["random"], plain.version_3_rows["random"])
    assert set(found.members) == {"random", "block"}
    assert not list((tmp_path / "random").glob("*.h5"))
    assert len(made) == 6
