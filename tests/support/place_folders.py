"""Folders whose train is one file with a row group as large as those of the real data."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from so2sat_hf.assemble import extras
from so2sat_hf.convert.build import build
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import open_raw
from so2sat_hf.load.files import Group
from so2sat_hf.synthetic import write_raw

ROWS = {"train": 1200, "validation": 5, "test": 4}
GROUPS = (Group(0, 0, 1024), Group(0, 1, 176))
FORMATS = ("parquet", "arrow")


def built_folders(parent: Path, formats: Iterable[str]) -> dict[str, Path]:
    """Format -> a built folder of :data:`ROWS`."""
    write_raw(parent / "raw", **ROWS, seed=8, geo="2026")
    source = open_raw(parent / "raw")
    for name in formats:
        options = BuildOptions(file_format=name, rows_per_shard=1200)
        build(source, parent / name, options, extras=extras(source, companions=()), jobs=1)
    return {name: parent / name for name in formats}


@pytest.fixture(name="path")
def parquet_path(folders: dict[str, Path]) -> str:
    """Of the train file of the Parquet folder."""
    return Manifest.read(folders["parquet"]).shards_of("train")[0].path
