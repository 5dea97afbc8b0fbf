"""Arrays on Arrow buffers: no copy, the right rows and bands, and nothing silently wrong."""

import subprocess
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2sat_hf.convert.patches import GeoBlock, PatchBlock
from so2sat_hf.convert.table import schema, to_table
from so2sat_hf.errors import So2SatError, SourceError
from so2sat_hf.load.arrays import (
    as_index,
    as_torch,
    empty,
    gather,
    numbers,
    opened,
    scatter,
    starts_of,
    view,
)
from so2sat_hf.load.selection import Wanted, dtypes, wanted

COLUMNS = ("id", "sen1", "sen2", "label", "city", "epsg", "x_ul", "y_ul", "longitude", "latitude")


def gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def block(num_rows: int = 7, seed: int = 0) -> PatchBlock:
    rng = np.random.default_rng(seed)
    places = [rng.random(num_rows) for _ in range(4)]
    return PatchBlock(
        ids=[f"training/{row:06d}" for row in range(num_rows)],
        label=rng.integers(0, 17, num_rows),
        sen1=rng.random((num_rows, 8, 32, 32), np.float32),
        sen2=(rng.integers(0, 28_003, (num_rows, 10, 32, 32)) / 10_000).astype(np.float32),
        geo=GeoBlock(
            [f"city{row % 3}" for row in range(num_rows)], np.arange(num_rows, dtype=np.int32), *places
        ),
    )


def table(num_rows: int = 7, seed: int = 0, *, plain: bool = False, **options: Any) -> pa.Table:
    """Rows with datasets' extension type, or as they are without ``datasets``."""
    made = to_table(block(num_rows, seed), schema(**options))
    if not plain:
        return made
    kinds = [f.type.storage_type if isinstance(f.type, pa.BaseExtensionType) else f.type for f in made.schema]
    chunks = [c.chunk(0).storage if isinstance(c.type, pa.BaseExtensionType) else c.chunk(0) for c in made]
    return pa.Table.from_arrays(chunks, schema=pa.schema(list(zip(made.column_names, kinds, strict=True))))


def nested(patches: list[Any]) -> pa.Array:
    return pa.array(patches, pa.list_(pa.list_(pa.list_(pa.float32()))))


def leaf(column: pa.Array) -> int:
    """Address of the first pixel of a column, slices apart."""
    array = column.storage if isinstance(column, pa.ExtensionArray) else column
    return array.values.values.values.buffers()[1].address


# ---- views


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_a_view_lies_on_the_buffer_of_the_column(dtype: str, *, plain: bool) -> None:
    """No value is copied, whether the extension type is known or not; nobody can change the file by it."""
    column = table(plain=plain, sen2_dtype=dtype).column("sen2").chunk(0)

    pixels = view(column)

    expected = block().sen2
    assert pixels.shape == (7, 10, 32, 32)
    assert pixels.__array_interface__["data"] == (leaf(column), True)
    assert pixels.dtype == dtype
    assert np.array_equal(pixels, expected if dtype == "float32" else np.rint(expected * 1e4))


@given(start=st.integers(0, 7), length=st.integers(0, 7), plain=st.booleans())
def test_a_view_honours_slices(start: int, length: int, *, plain: bool) -> None:
    """A slice of a column begins where it begins, without a copy."""
    column = table(plain=plain).column("sen1").chunk(0)

    pixels = view(column.slice(start, length), "sen1")

    assert np.array_equal(pixels, block().sen1[start : start + length])
    assert pixels.shape[1:] == (8, 32, 32)
    if len(pixels):
        assert pixels.__array_interface__["data"][0] == leaf(column) + start * 8 * 32 * 32 * 4


def test_views_of_a_chunked_column() -> None:
    """One per chunk, empty ones too."""
    whole = pa.concat_tables([table(3), table(7).slice(5, 0), table(4, seed=1), table(7, seed=2).slice(2, 3)])

    parts = [view(chunk, "sen1") for chunk in whole.column("sen1").chunks]

    assert [len(part) for part in parts] == [3, 0, 4, 3]
    expected = [block(3).sen1, block(4, 1).sen1, block(7, 2).sen1[2:5]]
    assert np.array_equal(np.concatenate(parts), np.concatenate(expected))


def test_validity_without_nulls_is_fine() -> None:
    """Other writers give every level a bitmap of ones."""
    values = np.arange(24, dtype=np.float32)
    ones = pa.py_buffer(b"\xff" * 8)
    array = pa.Array.from_buffers(pa.float32(), 24, [ones, pa.py_buffer(values)])
    for length in (2, 3, 2):
        offsets = np.arange(0, len(array) + 1, length, dtype=np.int32)
        kind, count = pa.list_(array.type), len(array) // length
        array = pa.Array.from_buffers(kind, count, [ones, pa.py_buffer(offsets)], children=[array])

    assert np.array_equal(view(array), values.reshape(2, 2, 3, 2))
    assert np.shares_memory(view(array), values)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (nested([[[[1.0]]], None]), "1 nulls"),
        (nested([[[[1.0]]], [None]]), "1 nulls"),
        (nested([[[[1.0]]], [[None]]]), "1 nulls"),
        (nested([[[[1.0]]], [[[None]]]]), "1 null pixels"),
        (nested([[[[1.0]]], [[[1.0, 2.0]]]]), "lists of different lengths"),
        (nested([[[[1.0, 2.0], [1.0, 2.0]]], [[[1.0, 2.0, 3.0], [4.0]]]]), "lists of different lengths"),
        (nested([[[[1.0]], [[1.0]]], [[[1.0]]]]), "lists of different lengths"),
        (pa.array([1.0, 2.0]), "type double"),
        (pa.array([[[["a"]]]]), "list<"),
        (pa.array([[[[[1.0]]]]]), "list<"),
    ],
)
def test_what_is_no_array_is_refused(column: pa.Array, message: str) -> None:
    """Nulls at any depth, ragged patches, and other types; each is named."""
    with pytest.raises(SourceError, match=r"column sen2") as caught:
        view(column, "sen2")

    assert message in str(caught.value)


def test_null_outside_of_a_slice_does_no_harm() -> None:
    """Only the rows of the column count."""
    assert view(nested([None, [[[1.0]]], [[[2.0]]]]).slice(1)).tolist() == [[[[1.0]]], [[[2.0]]]]


def test_numbers_are_views_and_nulls_are_refused() -> None:
    column = table().column("x_ul").chunk(0)

    assert numbers(column.slice(2)).__array_interface__["data"][0] == column.buffers()[1].address + 16
    assert np.array_equal(numbers(column.slice(2)), block().geo.x_ul[2:])
    with pytest.raises(SourceError, match="column label: 1 nulls"):
        numbers(pa.array([1, None]), "label")


@pytest.mark.parametrize("wrong", [-1, 17, 1 << 40])
def test_a_label_that_is_no_class_is_refused(wrong: int) -> None:
    """Here, in one line, and not on a device, in the middle of a training."""
    with pytest.raises(SourceError, match=f"column label: {wrong} .one of 1.; expected 0 to 16"):
        numbers(pa.array([16, wrong, 0]), "label")
    assert numbers(pa.array([16, wrong, 0]), "count").tolist() == [16, wrong, 0]


def test_no_pandas_in_a_worker() -> None:
    """It would cost every worker 0.2 s."""
    code = (
        "import sys, numpy as np, pyarrow as pa\n"
        "from so2sat_hf.load.arrays import opened, scatter, view, empty\n"
        "from so2sat_hf.load.selection import wanted, dtypes\n"
        "from so2sat_hf.convert.table import _nested, _strings, take_over\n"
        "kind = pa.list_(pa.list_(pa.list_(pa.float32())))\n"
        "pixels = _nested(np.zeros((3, 8, 32, 32), np.float32), kind)\n"
        "label = take_over(np.arange(3), pa.int64())\n"
        "t = pa.table({'id': _strings(['a', 'b', 'c']), 'sen1': pixels, 'label': label})\n"
        "want = wanted(t.column_names, None, None)\n"
        "batch = empty(3, want, dtypes(t.schema, want.columns))\n"
        "scatter(t, np.arange(3), batch, np.arange(3), want)\n"
        "assert batch['id'].tolist() == ['a', 'b', 'c']\n"
        "print(sorted({'pandas', 'datasets', 'torch'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    if done.stdout.strip() == "['pandas']" and int(pa.__version__.split(".")[0]) < 26:
        pytest.skip("to_pandas_dtype() of older releases of pyarrow imports pandas")
    assert done.stdout.strip() == "[]"


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
