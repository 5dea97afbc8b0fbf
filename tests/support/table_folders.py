"""Folders and a dataset for tables and for resident patches, and the patches that they must give."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from so2sat_hf.convert import shard as shard_module
from so2sat_hf.convert.build import build
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.patches import COLUMNS, PatchBlock
from so2sat_hf.convert.raw import RawSource

ROWS = 260
PIXELS = ("sen1", "sen2")


@pytest.fixture(scope="module")
def folders(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Two files of 130 patches for train, in record batches or row groups of 32."""
    parent = tmp_path_factory.mktemp("table")
    options = {
        "arrow": BuildOptions(file_format="arrow", rows_per_shard=140),
        "uint16": BuildOptions(file_format="arrow", sen2_dtype="uint16", rows_per_shard=140),
        "parquet": BuildOptions(rows_per_shard=140),
    }
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shard_module, "ROW_GROUP_ROWS", 32)
        for kind, option in options.items():
            build(source, parent / kind, option, jobs=1)
    return {kind: parent / kind for kind in options}


@pytest.fixture(scope="module")
def arrow(folders: dict[str, Path]) -> Path:
    return folders["arrow"]


@pytest.fixture(scope="module")
def truth(source: RawSource) -> PatchBlock:
    """All 260 patches of train as published."""
    (block,) = source.blocks("train", range(ROWS), columns=COLUMNS, size=1000)
    return block


@pytest.fixture(scope="module")
def loaded(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> datasets.Dataset:
    """What ``load_dataset`` makes of the Parquet folder, memory-mapped from its cache."""
    cache = str(tmp_path_factory.mktemp("cache"))
    return datasets.load_dataset(str(folders["parquet"]), split="train", cache_dir=cache)


def check(batch: dict[str, Any], truth: PatchBlock, rows: Any) -> None:
    """Every value is the published one."""
    rows = np.asarray(rows)
    assert list(batch["id"]) == [truth.ids[row] for row in rows]
    assert list(batch["city"]) == [truth.geo.city[row] for row in rows]
    for name in ("sen1", "sen2", "label"):
        assert np.array_equal(batch[name], getattr(truth, name)[rows])
        assert batch[name].dtype == getattr(truth, name).dtype
    for name in ("epsg", "x_ul", "y_ul", "longitude", "latitude"):
        assert np.array_equal(batch[name], getattr(truth.geo, name)[rows])
