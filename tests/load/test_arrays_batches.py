"""Arrays into batches: the right rows and bands, the columns that are wanted, and tensors."""

import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from arrow_tables import block, table
from hypothesis import given
from hypothesis import strategies as st

from so2sat_hf.convert.table import schema
from so2sat_hf.errors import So2SatError, SourceError
from so2sat_hf.load.arrays import as_index, as_torch, empty, gather, opened, scatter, starts_of
from so2sat_hf.load.selection import Wanted, dtypes, wanted

COLUMNS = ("id", "sen1", "sen2", "label", "city", "epsg", "x_ul", "y_ul", "longitude", "latitude")


def gpu() -> bool:
    import torch

    return torch.cuda.is_available()


# ---- rows into batches


@given(
    sizes=st.lists(st.integers(0, 4), min_size=1, max_size=5).filter(any),
    bands=st.none() | st.lists(st.integers(0, 3), max_size=4),
    data=st.data(),
)
def test_gather_is_indexing_of_the_whole(sizes: list[int], bands: list[int] | None, data: Any) -> None:
    """Any rows of any parts, any bands in any order."""
    whole = np.arange(sum(sizes) * 4 * 4).reshape(-1, 4, 2, 2)
    starts = starts_of([range(size) for size in sizes])
    parts = [whole[a:b] for a, b in pairwise(starts)]
    rows = np.array(data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=9)), np.int64)
    expected = whole[rows] if bands is None else whole[rows][:, bands]

    assert np.array_equal(gather(parts, starts, rows, bands), expected)
    room = np.full((len(rows) + 3, *expected.shape[1:]), -1)
    positions = np.random.default_rng(len(rows)).permutation(len(room))[: len(rows)]
    gather(parts, starts, rows, bands, room, positions=positions)
    assert np.array_equal(room[positions], expected)
    assert (np.delete(room, positions, axis=0) == -1).all()


@pytest.mark.parametrize(
    ("bands", "index"),
    [
        (None, slice(None)),
        ((2, 3, 4), slice(2, 5)),
        ((7,), slice(7, 8)),
        ((0, 2, 1), [0, 2, 1]),
        ((0, 0), [0, 0]),
        ((0, 2), [0, 2]),
        ((2, 1, 0), [2, 1, 0]),
    ],
)
def test_only_bands_that_follow_each_other_are_a_slice(bands: Any, index: Any) -> None:
    """A slice is copied at once, and would put any others in order."""
    assert as_index(bands) == index


@pytest.mark.parametrize(("rows", "bands"), [([0, 5], None), ([-1], None), ([0], [4]), ([0], [-1, 0])])
def test_gather_goes_by_no_edge(rows: list[int], bands: list[int] | None) -> None:
    """A row or band that is not there is never another one."""
    parts = [np.zeros((3, 4, 2, 2)), np.zeros((2, 4, 2, 2))]

    with pytest.raises(IndexError, match="outside 5 patches of 4 bands"):
        gather(parts, starts_of(parts), np.array(rows), bands)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("bands", [None, ("B04", "B03", "VV_lee"), ("B02", "B03", "B04")])
def test_scatter_fills_a_batch_from_several_tables(bands: tuple[str, ...] | None, *, plain: bool) -> None:
    """Rows of record batches, of tables in chunks, and of what was opened before, each to its place."""
    first, second = table(5, plain=plain), table(6, seed=1, plain=plain)
    both = pa.concat_tables([table(2, seed=2, plain=plain), table(3, seed=3, plain=plain)])
    want = wanted(first.column_names, None, bands)
    batch = empty(6, want, dtypes(first.schema, want.columns))

    scatter(first, np.array([4, 0]), batch, np.array([3, 5]), want)
    scatter(second.to_batches()[0], np.array([2, 5]), batch, np.array([0, 2]), want)
    scatter(opened(both, want), np.array([4, 1]), batch, np.array([4, 1]), want)

    one, two, three, four = (block(n, seed) for seed, n in enumerate((5, 6, 2, 3)))
    rows = [(two, 2), (three, 1), (two, 5), (one, 4), (four, 2), (one, 0)]
    assert batch["id"].tolist() == [b.ids[row] for b, row in rows]
    assert batch["city"].tolist() == [b.geo.city[row] for b, row in rows]
    assert batch["latitude"].tolist() == [b.geo.latitude[row] for b, row in rows]
    assert np.array_equal(batch["label"], [b.label[row] for b, row in rows])
    sen2 = np.stack([b.sen2[row] for b, row in rows])
    numbers_of = {None: range(10), "B04": [2, 1], "B02": [0, 1, 2]}[bands and bands[0]]
    assert np.array_equal(batch["sen2"], sen2[:, list(numbers_of)])
    assert ("sen1" in batch) == (bands is None or "VV_lee" in bands)
    if "sen1" in batch:
        picked = range(8) if bands is None else [5]
        assert np.array_equal(batch["sen1"], np.stack([b.sen1[row] for b, row in rows])[:, list(picked)])
    assert {name: str(v.dtype) for name, v in batch.items() if name in ("label", "epsg", "id", "x_ul")} == {
        "id": "object",
        "label": "int64",
        "epsg": "int32",
        "x_ul": "float64",
    }


def test_digital_numbers_never_become_reflectance_by_accident() -> None:
    """A file of another dtype than the batch has room for is refused."""
    want = Wanted(("sen2",), {"sen2": None})
    batch = empty(2, want, {"sen2": np.dtype(np.float32)})

    with pytest.raises(SourceError, match=r"column sen2: uint16 .* expected float32"):
        scatter(table(sen2_dtype="uint16"), np.array([0]), batch, np.array([0]), want)


def test_null_strings_are_refused() -> None:
    want = Wanted(("city",), {})
    batch = empty(2, want, {"city": np.dtype(object)})

    with pytest.raises(SourceError, match="column city: 1 nulls"):
        scatter(pa.table({"city": ["a", None]}), np.arange(2), batch, np.arange(2), want)


# ---- what is wanted


@pytest.mark.parametrize(
    ("columns", "bands", "names", "numbers"),
    [
        (None, None, COLUMNS, {"sen1": None, "sen2": None}),
        (("label", "sen2"), None, ("sen2", "label"), {"sen2": None}),
        ("geo", None, COLUMNS[4:], {}),
        (None, ("B04", "VV_lee", "B03"), COLUMNS, {"sen1": (5,), "sen2": (2, 1)}),
        (None, ("B04", "B03", "B02"), tuple(n for n in COLUMNS if n != "sen1"), {"sen2": (2, 1, 0)}),
        (("id", "sen2", "sen1"), ("B8A",), ("id", "sen2"), {"sen2": (7,)}),
        (None, "B02", tuple(n for n in COLUMNS if n != "sen1"), {"sen2": (0,)}),
    ],
)
def test_columns_and_bands_by_name(columns: Any, bands: Any, names: Any, numbers: Any) -> None:
    """Columns in stored order, bands in the order given; a sensor without a band is left out."""
    found = wanted(COLUMNS, columns, bands)

    assert (found.columns, dict(found.bands)) == (names, numbers)


@pytest.mark.parametrize(
    ("stored", "columns", "bands", "message"),
    [
        (COLUMNS, ("sen3",), None, "no column 'sen3'"),
        (COLUMNS, (), None, "none at all"),
        (COLUMNS[:2], "geo", None, "no column 'city'"),
        (COLUMNS, None, ("red",), "red"),
        (COLUMNS, ("sen2", "label"), ("B02", "VV_lee"), "VV_lee is in column sen1.*\n.*add sen1"),
        (("id", "sen2"), None, ("VV_lee",), "VV_lee is in column sen1.*\n.*leave it out"),
    ],
)
def test_what_is_not_there_is_named(stored: Any, columns: Any, bands: Any, message: str) -> None:
    with pytest.raises(So2SatError, match=message):
        wanted(stored, columns, bands)


def test_columns_of_other_types_are_named() -> None:
    schema = pa.schema({"when": pa.timestamp("s"), "list": pa.list_(pa.int8())})
    for name in schema.names:
        with pytest.raises(SourceError, match=f"column {name}: type .*\n.*leave it out"):
            dtypes(schema, [name])


# ---- tensors


def test_tensors_lie_on_the_arrays() -> None:
    """No copy; digital numbers stay what they are; strings are a list."""
    import torch

    want = wanted(COLUMNS, ("id", "sen2", "label", "epsg"), None)
    batch = empty(3, want, dtypes(schema(sen2_dtype="uint16"), want.columns))
    scatter(table(sen2_dtype="uint16"), np.arange(3), batch, np.arange(3), want)

    tensors = as_torch(batch)

    assert tensors["id"] == ["training/000000", "training/000001", "training/000002"]
    kinds = {"sen2": torch.uint16, "label": torch.int64, "epsg": torch.int32}
    for name, kind in kinds.items():
        assert tensors[name].dtype == kind
        assert tensors[name].data_ptr() == batch[name].ctypes.data


def test_tensors_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an optional dependency; the error says how to get it."""
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(So2SatError, match=r"so2sat_hf\[train\]"):
        as_torch({})


@pytest.mark.skipif(gpu(), reason="there is a GPU, where memory can be pinned")
def test_pinned_memory_needs_a_gpu() -> None:
    """One clear error instead of the many lines of torch."""
    with pytest.raises(So2SatError, match=r"pin: memory cannot be page-locked .*\n.*leave pin at False"):
        as_torch({"label": np.arange(3)}, pin=True)
