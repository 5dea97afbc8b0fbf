"""Shards, and a model that was trained on them, for all tests of this room."""

from pathlib import Path

import pytest
from trained import train_args

from so2sat_hf.convert.build import build
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource


@pytest.fixture(scope="session")
def shards(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Arrow shards with digital numbers."""
    folder = tmp_path_factory.mktemp("training") / "shards"
    build(source, folder, BuildOptions(file_format="arrow", sen2_dtype="uint16"), jobs=1)
    return folder


@pytest.fixture(scope="session")
def parquet(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same patches as Parquet."""
    folder = tmp_path_factory.mktemp("training") / "parquet"
    build(source, folder, jobs=1)
    return folder


@pytest.fixture(scope="session")
def run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``so2sat train`` leaves. Read it; copy it to change it."""
    from so2sat_hf.training.finetune import main

    folder = tmp_path_factory.mktemp("training") / "run"
    main(train_args(shards, folder, preset="all"))
    return folder
