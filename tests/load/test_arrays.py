"""Arrays on Arrow buffers: no copy, and nothing silently wrong."""

import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from arrow_tables import block, table
from hypothesis import given
from hypothesis import strategies as st

from so2sat_hf.errors import SourceError
from so2sat_hf.load.arrays import numbers, view


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
