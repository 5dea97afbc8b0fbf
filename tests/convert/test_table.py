"""Patches <-> Arrow: nothing changes on the way, and no table grows past the limit."""

import itertools
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2sat_hf.convert.decode import MAX_DN
from so2sat_hf.convert.patches import COLUMNS, MAX_ROWS_IN_MEMORY, GeoBlock, PatchBlock, row_id
from so2sat_hf.convert.table import digital_numbers, features, schema, to_array, to_block, to_table
from so2sat_hf.errors import LossyError, So2SatError
from so2sat_hf.so2sat_lcz42 import pieces


def block(num_rows: int, seed: int = 0) -> PatchBlock:
    rng = np.random.default_rng(seed)
    return PatchBlock(
        ids=[row_id("training", row) for row in range(num_rows)],
        label=rng.integers(0, 17, num_rows),
        sen1=rng.normal(size=(num_rows, 8, 32, 32)).astype(np.float32),
        sen2=(rng.integers(0, MAX_DN, (num_rows, 10, 32, 32)) / 10_000).astype(np.float32),
        geo=GeoBlock(
            city=["munich"] * num_rows,
            epsg=np.full(num_rows, 32632, np.int32),
            x_ul=rng.uniform(4e5, 6e5, num_rows),
            y_ul=rng.uniform(5e6, 6e6, num_rows),
            longitude=rng.uniform(-180, 180, num_rows),
            latitude=rng.uniform(-80, 84, num_rows),
        ),
    )


@pytest.mark.parametrize("num_rows", [1, 5])
@pytest.mark.parametrize("sen2_dtype", ["float32", "uint16"])
def test_patches_survive_the_table(num_rows: int, sen2_dtype: str) -> None:
    """Every value of every column comes back, also through digital numbers."""
    before = block(num_rows)

    after = to_block(to_table(before, schema(sen2_dtype=sen2_dtype)))

    assert after.ids == before.ids
    assert np.array_equal(after.label, before.label)
    assert np.array_equal(after.sen1, before.sen1)
    assert np.array_equal(after.sen2, before.sen2)
    for name in ("city", "epsg", "x_ul", "y_ul", "longitude", "latitude"):
        assert np.array_equal(getattr(after.geo, name), getattr(before.geo, name))


def test_pixels_are_not_copied() -> None:
    """The Arrow table looks at the numpy memory, and numpy at the Arrow memory."""
    patches = block(3)

    table = to_table(patches, schema())

    assert np.shares_memory(to_array(table["sen1"].chunk(0)), patches.sen1)


def test_slices_show_their_own_rows() -> None:
    """A sliced column starts at its own first row."""
    patches = block(6)

    table = to_table(patches, schema()).slice(2, 3)

    assert np.array_equal(to_array(table["sen2"].chunk(0)), patches.sen2[2:5])


def test_features_are_those_of_the_contract() -> None:
    """Types by name, as the data contract lists them."""
    found = features()

    assert tuple(found) == COLUMNS
    assert repr(found["sen2"]) == "Array3D(shape=(10, 32, 32), dtype='float32')"
    assert found["label"].int2str(16) == "Water"
    assert {found[name].dtype for name in ("x_ul", "y_ul", "longitude", "latitude")} == {"float64"}
    assert repr(features(("sen2", "id"), sen2_dtype="uint16")) == repr(
        {"id": found["id"], "sen2": type(found["sen2"])((10, 32, 32), "uint16")}
    )


def test_an_unknown_column_is_refused() -> None:
    """The message lists the columns that exist."""
    with pytest.raises(So2SatError, match="no column 'sen3'; expected id, sen1"):
        features(("id", "sen3"))


def test_too_many_rows_at_once_are_refused() -> None:
    """2**31 list offsets are out of reach because tables stay small."""
    patches = PatchBlock(
        ids=[""] * (MAX_ROWS_IN_MEMORY + 1), label=np.zeros(MAX_ROWS_IN_MEMORY + 1, np.int64)
    )

    with pytest.raises(So2SatError, match="4,097 rows at once"):
        to_table(patches, schema(("id", "label")))


@given(st.sampled_from(["train", "validation", "test"]), st.integers(1, 2_000_000))
def test_no_piece_of_the_builder_meets_the_offset_limit(split: str, num_rows: int) -> None:
    """For any number of rows the pieces tile the split and none holds over 4,096 rows."""
    parts = pieces(split, num_rows)

    assert parts[0][:2] == (split, 0)
    assert parts[-1][2] == num_rows
    assert all(a[2] == b[1] for a, b in itertools.pairwise(parts))
    assert all(0 < stop - start <= MAX_ROWS_IN_MEMORY for _, start, stop in parts)
    assert MAX_ROWS_IN_MEMORY * 10 * 32 * 32 < 2**31


def test_digital_numbers_out_of_range_are_refused() -> None:
    """uint16 ends at 65,535; nothing wraps around."""
    with pytest.raises(LossyError, match="uint16"):
        digital_numbers(np.array([0.5, 7.0], np.float32))


CHILD = """
import sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
from so2sat_hf.convert.patches import PatchBlock
from so2sat_hf.convert.encode import parquet_writer
from so2sat_hf.convert.table import to_table
if sys.argv[1] == "with":
    import datasets
schema = pa.ipc.read_schema(pa.py_buffer(open(sys.argv[2], "rb").read()))
rng = np.random.default_rng(0)
block = PatchBlock([f"training/{i:06d}" for i in range(4)], np.arange(4),
    rng.normal(size=(4, 8, 32, 32)).astype("f4"), rng.integers(0, 9, (4, 10, 32, 32)).astype("f4"))
with parquet_writer(sys.argv[3], schema) as writer:
    writer.write_table(to_table(block, schema))
assert ("datasets" in sys.modules) == (sys.argv[1] == "with")
"""


def test_bytes_do_not_depend_on_datasets_being_imported(tmp_path) -> None:
    """A worker without ``datasets`` writes the same file as a process that has it."""
    (tmp_path / "schema").write_bytes(schema(("id", "sen1", "sen2", "label")).serialize().to_pybytes())
    files = []
    for how in ("with", "without"):
        files.append(tmp_path / how)
        args = [sys.executable, "-c", CHILD, how, str(tmp_path / "schema"), str(files[-1])]
        subprocess.run(args, check=True)

    assert files[0].read_bytes() == files[1].read_bytes()
    assert pa.parquet.read_schema(files[0]).metadata[b"huggingface"]
