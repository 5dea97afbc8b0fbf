"""A folder that several tests of the room look at."""

from pathlib import Path

import pytest

from so2sat_hf.convert.build import build
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource


@pytest.fixture(scope="module")
def out(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder built in this process with 60 rows a file."""
    folder = tmp_path_factory.mktemp("built") / "out"
    build(source, folder, BuildOptions(rows_per_shard=60), jobs=1)
    return folder
