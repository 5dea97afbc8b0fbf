"""PatchTable: any patches by number or id, copied from Arrow files alone; and what it refuses."""

import shutil
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from table_folders import PIXELS, ROWS, arrow, check, folders, loaded, truth

from so2sat_hf.convert.patches import COLUMNS, PatchBlock
from so2sat_hf.errors import FolderError, RowError, So2SatError, SourceError
from so2sat_hf.load.table import PatchTable

__all__ = ["arrow", "folders", "loaded", "truth"]  # fixtures


def addresses(table: PatchTable, name: str) -> list[int]:
    """Where the pixels that a table copies from lie."""
    return [view.__array_interface__["data"][0] for view in table._columns[name].views if view is not None]


# ---- indexing


@pytest.mark.parametrize(
    "index",
    [
        [5, 259, 0, 131, 131, 64],
        range(125, 140),
        np.array([7, -1, -260], np.int32),
        np.array([3, 250], np.uint64),
        torch.tensor([200, 9]),
        np.arange(ROWS) % 90 == 4,
        slice(120, 140, 3),
        slice(None, None, -50),
        [],
        slice(4, 4),
    ],
    ids=repr,
)
def test_a_batch_is_what_indexing_means(arrow: Path, truth: PatchBlock, index: Any) -> None:
    """Lists, arrays, tensors, masks and slices, as in numpy."""
    numbers = np.asarray(index, np.int64) if isinstance(index, list) and not index else index
    rows = np.arange(ROWS)[np.asarray(numbers) if not isinstance(index, slice) else index]

    batch = PatchTable(arrow)[index]

    assert tuple(batch) == COLUMNS
    check(batch, truth, rows)
    assert all(values.flags.writeable for values in batch.values())


@pytest.mark.parametrize("index", [0, 129, 130, 259, -1, -260, np.int64(31), np.uint16(32), torch.tensor(64)])
def test_one_patch(arrow: Path, truth: PatchBlock, index: Any) -> None:
    """A dict of one patch, which nobody shares."""
    table = PatchTable(arrow)

    patch = table[index]

    check(
        {name: [value] if isinstance(value, str) else value[None] for name, value in patch.items()},
        truth,
        [index],
    )
    for name in PIXELS:
        assert patch[name].flags.writeable
        assert patch[name].flags.owndata


def test_writing_into_a_patch_leaves_the_table_alone(arrow: Path, truth: PatchBlock) -> None:
    table = PatchTable(arrow)
    for values in (table[3], table[[3]], table[3:4]):
        for name in (*PIXELS, "label"):
            values[name] *= 0

    check(table[[3]], truth, [3])


def test_a_table_is_iterable_and_says_what_it_is(arrow: Path, truth: PatchBlock) -> None:
    table = PatchTable(arrow, "test", columns=("id", "label"))

    assert len(table) == 70
    assert [patch["id"] for patch in table] == [f"testing/{row:06d}" for row in range(70)]
    assert repr(table) == f"PatchTable({arrow} (test): 70 patches of id, label)"


@pytest.mark.parametrize(
    "index", [260, -261, [0, 260], [-261], np.array([2**40]), np.array([2**64 - 1], np.uint64)]
)
def test_a_number_that_is_not_there(arrow: Path, index: Any) -> None:
    """One error that is an IndexError, too."""
    with pytest.raises(RowError, match=r"no patch .*; expected 0 to 259") as caught:
        PatchTable(arrow)[index]

    assert isinstance(caught.value, IndexError)
    assert isinstance(caught.value, So2SatError)


@pytest.mark.parametrize(
    "index", ["sen2", 1.0, [1.5], [[1, 2]], None, True, [True, False], ["a"], {"a": 1}, [None], [[1], [2, 3]]]
)
def test_what_is_no_number(arrow: Path, index: Any) -> None:
    with pytest.raises(So2SatError, match=r"index: .*expected a number, or a slice"):
        PatchTable(arrow)[index]


# ---- what is read


def test_pixels_are_copied_from_the_mapped_file_alone(arrow: Path) -> None:
    """No record batch is touched before one of its patches is wanted, and then by a view."""
    table = PatchTable(arrow)
    before = pa.total_allocated_bytes()

    table[[1, 2, 33]], table[131]

    assert [len(addresses(table, name)) for name in PIXELS] == [3, 3]
    for name in PIXELS:
        column = table._mapped.table.column(name)
        chunks = [column.chunk(number) for number in (0, 1, 5)]
        assert addresses(table, name) == [_first_pixel(chunk) for chunk in chunks]
    assert pa.total_allocated_bytes() - before < 100_000  # ids and cities


def _first_pixel(chunk: pa.Array) -> int:
    storage = chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk
    return storage.values.values.values.buffers()[1].address


def test_bands_and_columns(arrow: Path, truth: PatchBlock) -> None:
    """Only those asked for, in the order asked for; one by one and in batches."""
    table = PatchTable(
        arrow, columns=("sen1", "sen2", "label"), bands=("B04", "VV_lee", "B03", "B02", "VH_lee")
    )
    in_a_row = PatchTable(arrow, bands=("B03", "B04"))
    rows = [200, 4]

    assert table.columns == ("sen1", "sen2", "label")
    assert in_a_row.columns == tuple(name for name in COLUMNS if name != "sen1")
    for batch in (table[rows], table.__getitems__(rows).arrays):
        assert np.array_equal(batch["sen2"], truth.sen2[rows][:, [2, 1, 0]])
        assert np.array_equal(batch["sen1"], truth.sen1[rows][:, [5, 4]])
    assert np.array_equal(table[4]["sen2"], truth.sen2[4, [2, 1, 0]])
    assert np.array_equal(in_a_row[4]["sen2"], truth.sen2[4, 1:3])
    assert np.array_equal(in_a_row[rows]["sen2"], truth.sen2[rows, 1:3])
    assert PatchTable(arrow, bands=("B04", "B03"))[[]]["sen2"].shape == (0, 2, 32, 32)


def test_digital_numbers_stay_what_they_are(folders: dict[str, Path], truth: PatchBlock) -> None:
    """The stored dtype is kept."""
    numbers = PatchTable(folders["uint16"])[[5, 7]]["sen2"]
    tensors = PatchTable(folders["uint16"], form="torch")[[5, 7]]["sen2"]

    assert (numbers.dtype, tensors.dtype) == (np.uint16, torch.uint16)
    assert np.array_equal(numbers, np.rint(truth.sen2[[5, 7]] * 1e4))
    assert np.array_equal(tensors.numpy(), numbers)


def test_tensors(arrow: Path, truth: PatchBlock) -> None:
    """One by one and in batches, of the same dtypes; strings are strings."""
    table = PatchTable(arrow, form="torch")
    batch, patch = table[[9, 8]], table[9]

    check({name: np.asarray(value) for name, value in batch.items()}, truth, [9, 8])
    assert patch["id"] == batch["id"][0] == "training/000009"
    for name in ("sen1", "sen2", "label", "epsg", "longitude"):
        assert torch.equal(patch[name], batch[name][0])
        assert patch[name].dtype == batch[name].dtype
    assert [sample["id"] for sample in table.__getitems__([9, 8])] == batch["id"]


def test_a_dataset_is_read_from_its_cache(loaded: datasets.Dataset) -> None:
    """Views of the memory-mapped cache, not copies."""
    table = PatchTable(loaded)
    table[[0]]

    assert loaded.cache_files
    chunk = loaded.data.column("sen2").chunk(0)
    assert addresses(table, "sen2") == [_first_pixel(chunk)]


# ---- ids


def test_ids_choose_patches(arrow: Path, truth: PatchBlock, tmp_path: Path) -> None:
    """From lists, tables and files: in stored order, duplicates once, ids of other splits passed over."""
    rows = [3, 140, 200, 259]
    ids = [truth.ids[row] for row in (200, 3, 259, 140, 3)] + ["testing/000001", "validation/000004"]
    table = pa.table({"id": ids, "more": range(len(ids))})
    pq.write_table(table, tmp_path / "ids.parquet")
    (tmp_path / "ids.csv").write_text("more,id\n" + "".join(f"1,{text}\n" for text in ids))
    frame = table.to_pandas()
    ways = [
        ids,
        iter(ids),
        np.array(ids),
        table["id"],
        table,
        datasets.Dataset(table),
        frame,
        frame["id"],
        set(ids),
    ]

    for way in [*ways, tmp_path / "ids.parquet", str(tmp_path / "ids.csv")]:
        chosen = PatchTable(arrow, ids=way)
        assert len(chosen) == 4
        check(chosen[:], truth, rows)
        assert chosen[-1]["id"] == truth.ids[259]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (
            ["training/000001", "training/000260", "training/999999"],
            "2 of 3 ids are not in it, e.g. training/000260",
        ),
        (["testing/000001"], "1 of 1 ids are not in it, e.g. testing/000001"),
        (["training/000001", "nonsense/"], None),
        ("training/000001", "put a single id into a list"),
        ([], "ids: none at all"),
        ([1, 2], "ids: list"),
        ([None, "training/000001"], "ids: 1 nulls"),
        (7, "ids: int"),
        (pa.table({"name": ["a"]}), "a table of name"),
        ("missing.parquet", "missing.parquet: cannot be read"),
        ("missing.csv", "missing.csv: cannot be read"),
    ],
)
def test_ids_that_cannot_be_meant(arrow: Path, ids: Any, message: str | None) -> None:
    if message is None:  # of another split, as far as anybody knows
        assert len(PatchTable(arrow, ids=ids)) == 1
        return
    with pytest.raises(So2SatError, match=message):
        PatchTable(arrow, ids=ids)


def test_a_file_without_ids(arrow: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"name": ["a"]}), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("name\na\n")
    for name in ("a.parquet", "a.csv"):
        with pytest.raises(SourceError, match=f"{name}: cannot be read"):
            PatchTable(arrow, ids=tmp_path / name)


# ---- refusals


def test_a_parquet_folder_is_refused_with_the_way_out(folders: dict[str, Path]) -> None:
    with pytest.raises(
        FolderError, match=r"parquet files.*\n.*so2sat build .* --format arrow`, or .*PatchStream"
    ):
        PatchTable(folders["parquet"])


def test_places_that_are_none(arrow: Path, loaded: datasets.Dataset, tmp_path: Path) -> None:
    """One clear error each."""
    (tmp_path / "empty").mkdir()
    wrong = {
        "no such folder.*\n.*fetches a dataset of the Hub": ("zhu-xlab/So2Sat-LCZ42", "train"),
        "no manifest.json": (tmp_path / "empty", "train"),
        "no split 'validation_'; expected train, validation, test": (arrow, "validation_"),
        "a DatasetDict.*\n.*one of its splits": (datasets.DatasetDict({"train": loaded}), "train"),
        "a IterableDataset.*\n.*PatchStream": (loaded.to_iterable_dataset(), "train"),
        "a list": ([1], "train"),
    }
    for message, (source, split) in wrong.items():
        with pytest.raises(So2SatError, match=message):
            PatchTable(source, split)
    with pytest.raises(So2SatError, match="form: 'jax'; expected numpy or torch"):
        PatchTable(arrow, form="jax")


@pytest.mark.parametrize("damage", ["missing", "cut", "short"])
def test_damaged_files(arrow: Path, tmp_path: Path, damage: str) -> None:
    """Found when the table is opened."""
    folder = Path(shutil.copytree(arrow, tmp_path / "out"))
    victim, _ = sorted((folder / "data" / "train").iterdir())
    if damage == "missing":
        victim.unlink()
    elif damage == "cut":
        victim.write_bytes(victim.read_bytes()[:-1000])
    else:
        next((folder / "data" / "test").iterdir()).replace(victim)

    with pytest.raises(SourceError, match=f"{victim.name}: (cannot be read|70 rows)"):
        PatchTable(folder)


def test_bands_need_the_published_number_of_them(loaded: datasets.Dataset) -> None:
    """Bands of arrays that hold others would be wrong silently."""
    features = datasets.Features({"sen2": datasets.Array3D((3, 32, 32), "float32")})
    dataset = datasets.Dataset.from_dict({"sen2": np.zeros((2, 3, 32, 32), np.float32)}, features=features)

    assert PatchTable(dataset)[[0, 1]]["sen2"].shape == (2, 3, 32, 32)
    assert PatchTable(dataset)[[]]["sen2"].shape == (0, 3, 32, 32)
    with pytest.raises(
        SourceError, match=r"column sen2: patches of shape \(3, 32, 32\); expected the 10 bands"
    ):
        PatchTable(dataset, bands=("B04",))[0]
