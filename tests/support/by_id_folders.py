"""Folders of small row groups, and the patches that come back by id."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from so2sat_hf.assemble import extras
from so2sat_hf.companions import index as index_module
from so2sat_hf.convert import shard as shard_module
from so2sat_hf.convert.build import build
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.patches import PatchBlock, parse_id, row_id
from so2sat_hf.convert.raw import RawSource

GROUP_ROWS = 4
ROWS = {"training": 260, "validation": 90, "testing": 70}
EVERY_ID = [row_id(stem, row) for stem, count in ROWS.items() for row in range(count)]
OPTIONS = {
    "parquet": BuildOptions(rows_per_shard=140),
    "arrow": BuildOptions(file_format="arrow", rows_per_shard=140),
    "uint16": BuildOptions(file_format="arrow", sen2_dtype="uint16", rows_per_shard=140),
}


@pytest.fixture(scope="module")
def small_groups() -> Iterator[None]:
    """Files of many row groups from few patches; builds in this process only."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shard_module, "ROW_GROUP_ROWS", GROUP_ROWS)
        patched.setattr(index_module, "ROW_GROUP_ROWS", GROUP_ROWS)
        yield


def built(source: RawSource, out: Path, options: BuildOptions, *, companions: tuple[str, ...]) -> Path:
    build(source, out, options, extras=extras(source, companions=companions), jobs=1)
    return out


def built_folders(source: RawSource, parent: Path, kinds: Iterable[str]) -> dict[tuple[str, str], Path]:
    """(kind, where places come from) -> a folder with two files of 130 rows for train, else one."""
    return {
        (kind, told): built(source, parent / kind / told, OPTIONS[kind], companions=companions)
        for kind in kinds
        for told, companions in (("index", ("index",)), ("data", ()))
        if (kind, told) != ("uint16", "index")
    }


@pytest.fixture
def folder(folders: dict[tuple[str, str], Path], tmp_path: Path) -> Path:
    """A Parquet folder with an index that a test may damage; in a place of its own."""
    return Path(shutil.copytree(folders["parquet", "index"], tmp_path / "out"))


def check_pixels(block: PatchBlock, raw: Path, ids: list[str]) -> None:
    """Every value is that of the HDF5 files."""
    assert block.ids == ids
    assert len(block.label) == len(block.sen1) == len(block.sen2) == len(ids)
    for position, (stem, row) in enumerate(map(parse_id, ids)):
        with h5py.File(raw / f"{stem}.h5") as file:
            assert np.array_equal(block.sen1[position], file["sen1"][row].transpose(2, 0, 1))
            sen2 = file["sen2"][row].transpose(2, 0, 1)
            assert np.array_equal(block.sen2[position], sen2.astype(np.float32))
            assert block.label[position] == file["label"][row].argmax()
