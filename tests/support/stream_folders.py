"""Folders of several files and row groups, and what is said often of streams over them."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from torch.utils.data import DataLoader

from so2sat_hf.convert import shard as shard_module
from so2sat_hf.convert.build import build
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.patches import GEO_COLUMNS, row_id
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.load import groups as groups_module
from so2sat_hf.load.stream import PatchStream

WORKERS = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]
"""Marks of tests that read with workers."""

NUM_ROWS, GROUP_ROWS = 260, 16
OPTIONS = {
    "parquet": BuildOptions(rows_per_shard=100),
    "arrow": BuildOptions(file_format="arrow", rows_per_shard=100),
    "uint16": BuildOptions(file_format="arrow", sen2_dtype="uint16", rows_per_shard=100),
}
EVERY_ID = {row_id("training", row) for row in range(NUM_ROWS)}


@pytest.fixture(scope="module")
def folders(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Kind -> a built folder; train is three files of up to six row groups of 16 rows."""
    parent = tmp_path_factory.mktemp("stream")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shard_module, "ROW_GROUP_ROWS", GROUP_ROWS)
        for kind, options in OPTIONS.items():
            build(source, parent / kind, options, jobs=1)
    return {kind: parent / kind for kind in OPTIONS}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups of several parts, the last one short."""
    monkeypatch.setattr(groups_module, "PART_ROWS", 5)


@pytest.fixture(scope="module")
def published(source: RawSource, raw: Path) -> dict[str, Any]:
    """Column -> values of every patch of train, straight from the HDF5 file; geolocation as it is derived."""
    with h5py.File(raw / "training.h5") as file:
        columns = {name: file[name][:].transpose(0, 3, 1, 2).astype("f4") for name in ("sen1", "sen2")}
        columns["label"] = file["label"][:].argmax(1)
    (block,) = source.blocks("train", range(NUM_ROWS), columns=("id", "label", *GEO_COLUMNS), size=1000)
    return {"id": block.ids, **columns, **{name: getattr(block.geo, name) for name in GEO_COLUMNS}}


def same(batch: dict[str, Any], published: dict[str, Any]) -> bool:
    """Whether every value of a batch is the published one."""
    rows = [int(text.rpartition("/")[2]) for text in batch["id"]]
    return all(np.array_equal(values, np.asarray(published[name])[rows]) for name, values in batch.items())


def ids(batches: Any) -> list[list[str]]:
    return [list(batch["id"]) for batch in batches]


def flat(batches: Any) -> list[str]:
    return [text for batch in ids(batches) for text in batch]


def loader(stream: PatchStream, workers: int, **options: Any) -> DataLoader:
    return DataLoader(stream, batch_size=None, num_workers=workers, **options)
