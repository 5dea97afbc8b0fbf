"""Splits of every version, and PatchStream over what load_dataset(..., streaming=True) returns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, IterableDataset, load_dataset
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader

from so2sat_hf.assemble import extras, membership_of
from so2sat_hf.convert.build import build
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import open_raw
from so2sat_hf.errors import FolderError, So2SatError
from so2sat_hf.load.resident import Resident
from so2sat_hf.load.stream import PatchStream
from so2sat_hf.load.table import PatchTable
from so2sat_hf.synthetic import write_raw
from so2sat_hf.synthetic.version_3 import write_version_3


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Format -> a folder with all versions: 120, 60 and 50 rows of culture_10."""
    raw = tmp_path_factory.mktemp("raw")
    write_raw(raw, train=120, validation=60, test=50, seed=4)
    write_version_3(raw, seed=4)
    source = open_raw(raw)
    known = membership_of(source, complete=True, jobs=1)
    found = {}
    for kind in ("parquet", "arrow"):
        found[kind] = tmp_path_factory.mktemp(kind) / "out"
        options = BuildOptions(file_format=kind, rows_per_shard=40)
        build(source, found[kind], options, extras=extras(source, known, companions=()), jobs=1)
    return found


def same(one: Any, other: Any) -> bool:
    """Whether two streams give the same batches, to the bit."""
    pairs = list(zip(one, other, strict=True))
    return bool(pairs) and all(
        a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a) for a, b in pairs
    )


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize("config", ["culture_10", "random", "block", "v1", "culture_10_v3"])
def test_every_split_of_every_version(kind: str, config: str, folders: dict[str, Path]) -> None:
    """Streamed by name, and over a streaming dataset: the patches of that split, each once."""
    for split in Manifest.read(folders[kind]).configs[config]:
        streaming = load_dataset(str(folders[kind]), config, split=split, streaming=True)
        ids = sorted(load_dataset(str(folders[kind]), config, split=split)["id"])

        by_name = PatchStream(folders[kind], f"{config}/{split}", batch_size=16, seed=1)
        over_dataset = PatchStream(streaming, batch_size=16, seed=1)

        assert sorted(name for batch in by_name for name in batch["id"]) == ids
        assert sorted(name for batch in over_dataset for name in batch["id"]) == ids
        assert same(PatchStream(streaming, seed=1), PatchStream(folders[kind], over_dataset.split, seed=1))


def test_table_and_resident_know_every_split(folders: dict[str, Path]) -> None:
    """Under the same names."""
    ids = sorted(load_dataset(str(folders["arrow"]), "random", split="test")["id"])

    table = PatchTable(folders["arrow"], "random/test")
    resident = Resident(folders["arrow"], "random/test", columns=("sen2", "label"))

    assert sorted(table[:]["id"]) == ids
    assert len(resident) == len(ids)
    with pytest.raises(FolderError, match=r"no split 'random/validation'; expected train, .*, random/train"):
        PatchTable(folders["arrow"], "random/validation")
    with pytest.raises(So2SatError, match="no split 'other/train'"):
        PatchStream(folders["parquet"], "other/train")


def test_ids_of_another_split_of_the_version_are_passed_over(folders: dict[str, Path]) -> None:
    """As for the splits of culture_10; ids that are nowhere are an error."""
    train, test = (
        load_dataset(str(folders["parquet"]), "random", split=split)["id"] for split in ("train", "test")
    )
    wanted = [*train[:5], *test[:5]]

    stream = PatchStream(folders["parquet"], "random/train", ids=wanted, columns=("id",))

    assert sorted(name for batch in stream for name in batch["id"]) == sorted(train[:5])
    with pytest.raises(So2SatError, match=r"1 of 11 ids are not in it, e\.g\. training/999999"):
        PatchStream(folders["parquet"], "random/train", ids=[*wanted, "training/999999"])


def test_what_the_dataset_shows_is_what_batches_hold(folders: dict[str, Path]) -> None:
    """Configs of one sensor, columns at loading, and select_columns; columns= restricts further."""
    folder = str(folders["parquet"])
    sen2 = load_dataset(folder, "sen2", split="train", streaming=True)
    loaded = load_dataset(folder, split="train", streaming=True, columns=["label", "sen2"])
    selected = load_dataset(folder, split="train", streaming=True).select_columns(["id", "label"])

    def columns(stream: PatchStream) -> set[str]:
        return set(next(iter(stream)))

    assert columns(PatchStream(sen2)) == set(sen2.column_names)
    assert columns(PatchStream(loaded)) == {"label", "sen2"}
    assert columns(PatchStream(selected.with_format("numpy"))) == {"id", "label"}
    assert columns(PatchStream(sen2, columns=("label",))) == {"label"}
    with pytest.raises(So2SatError, match="no column 'sen1'"):
        PatchStream(sen2, columns=("sen1",))


def test_it_goes_on_where_it_was_left(folders: dict[str, Path]) -> None:
    """A state of a stream over a dataset is that of the stream over the folder."""
    streaming = load_dataset(str(folders["parquet"]), "random", split="train", streaming=True)
    first = PatchStream(streaming, batch_size=16, seed=3)
    batches = iter(first)
    for _ in range(4):
        next(batches)
    state = first.state_dict()

    second = PatchStream(folders["parquet"], "random/train", batch_size=16, seed=3)
    second.load_state_dict(state)

    assert same(second, batches)
    other = PatchStream(folders["parquet"], "block/train", batch_size=16, seed=3)
    with pytest.raises(So2SatError, match="split 'random/train'; expected 'block/train'"):
        other.load_state_dict(state)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_workers_take_it(folders: dict[str, Path]) -> None:
    """The stream that a worker gets holds names of files, and nothing of datasets."""
    streaming = load_dataset(str(folders["parquet"]), split="train", streaming=True)
    loader = DataLoader(
        PatchStream(streaming, columns=("id",)),
        batch_size=None,
        num_workers=2,
        multiprocessing_context="spawn",
    )

    assert len({name for batch in loader for name in batch["id"]}) == 120


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "map": (lambda stream: stream.map(lambda row: row), "MappedExamplesIterable"),
    "filter": (lambda stream: stream.filter(lambda row: True), "FilteredExamplesIterable"),
    "shuffle": (lambda stream: stream.shuffle(seed=1), "ShuffledExamplesIterable"),
    "take": (lambda stream: stream.take(5), "TakeExamplesIterable"),
    "skip": (lambda stream: stream.skip(5), "SkipExamplesIterable"),
    "rename": (lambda stream: stream.rename_column("label", "y"), "MappedExamplesIterable"),
    "shard": (lambda stream: stream.shard(3, 0), "files that make up no split"),
    "reshard": (lambda stream: stream.reshard(), "reshard"),
    "node": (lambda stream: split_dataset_by_node(stream, 0, 2), "split_dataset_by_node"),
    "other data": (
        lambda stream: Dataset.from_dict({"id": ["a"]}).to_iterable_dataset(),
        "rows that went through|no names of files",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_rows_that_are_not_those_of_the_files_are_refused(what: str, folders: dict[str, Path]) -> None:
    """By what was done, with the way on; never other rows than the dataset would give."""
    change, message = REFUSED[what]
    if what == "reshard" and not hasattr(IterableDataset, "reshard"):
        pytest.skip("this release of datasets has no reshard")
    changed = change(load_dataset(str(folders["parquet"]), split="train", streaming=True))

    with pytest.raises(So2SatError, match=message) as caught:
        PatchStream(changed)

    assert "give the folder or OWNER/NAME" in caught.value.remedy


def test_files_of_somebody_else_are_refused(tmp_path: Path) -> None:
    """Parquet without a manifest beside it."""
    (tmp_path / "theirs").mkdir()
    Dataset.from_dict({"id": ["a"], "label": [0]}).to_parquet(tmp_path / "theirs" / "train.parquet")

    with pytest.raises(
        So2SatError, match=r"files such as .*train\.parquet; expected data files beside the manifest"
    ):
        PatchStream(load_dataset(str(tmp_path / "theirs"), split="train", streaming=True))


def test_another_split_than_that_of_the_dataset_is_refused(folders: dict[str, Path]) -> None:
    """One of the two must be a mistake."""
    streaming = load_dataset(str(folders["parquet"]), split="test", streaming=True)

    assert PatchStream(streaming, "test").split == "test"
    with pytest.raises(So2SatError, match="split: 'train'; expected 'test'"):
        PatchStream(streaming, "train")
