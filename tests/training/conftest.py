"""Shards, and a model that was trained on them, for all tests of this room."""

from pathlib import Path

import pytest
from regrouped import write_version_3
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
def version_3_shards(raw: Path, source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Arrow shards whose patches are in the splits of version 3, too."""
    from so2sat_hf.assemble import match_versions
    from so2sat_hf.convert.build import Extras
    from so2sat_hf.convert.raw import open_raw

    folder = tmp_path_factory.mktemp("training")
    write_version_3(raw, folder / "v3", seed=4)
    version_3 = [open_raw(folder / "v3" / name) for name in ("random", "block")]
    known = match_versions(version_3, source, jobs=1)
    build(source, folder / "out", BuildOptions(file_format="arrow"), extras=Extras(membership=known), jobs=1)
    return folder / "out"


@pytest.fixture(scope="session")
def run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``so2sat train`` leaves. Read it; copy it to change it."""
    from so2sat_hf.training.finetune import main

    folder = tmp_path_factory.mktemp("training") / "run"
    main(train_args(shards, folder, preset="all"))
    return folder
