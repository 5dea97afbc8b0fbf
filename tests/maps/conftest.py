"""For all tests of this room: a dataset with the cells of version 3, a model, and the pixels of a scene."""

from pathlib import Path

import numpy as np
import pytest
from regrouped import write_version_3
from scenes import mosaic
from trained import train_args

from so2sat_hf.assemble import extras, match_versions
from so2sat_hf.convert.build import build
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource, open_raw
from so2sat_hf.load.by_id import patches


@pytest.fixture(scope="session")
def built(raw: Path, source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parquet with index, versions 1 to 4."""
    folder = tmp_path_factory.mktemp("maps")
    write_version_3(raw, folder / "v3", seed=4)
    version_3 = [open_raw(folder / "v3" / name) for name in ("random", "block")]
    known = match_versions(version_3, source, jobs=1)
    more = extras(source, known, companions=("index",))
    build(source, folder / "out", extras=more, jobs=1)
    return folder / "out"


@pytest.fixture(scope="session")
def model(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of Sentinel-2 that has learnt a little."""
    folder = tmp_path_factory.mktemp("maps")
    build(source, folder / "shards", BuildOptions(file_format="arrow"), jobs=1)
    from so2sat_hf.training.finetune import main

    main(train_args(folder / "shards", folder / "run", preset="s2", num_train_epochs=3))
    return folder / "run"


@pytest.fixture(scope="module")
def pixels(built: Path) -> np.ndarray:
    """(10, 256, 256) reflectance: 64 patches of the test, side by side."""
    return mosaic(patches([f"testing/{row:06d}" for row in range(64)], built, columns=["sen2"]).sen2, 8)
