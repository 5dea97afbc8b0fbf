"""A dataset on the local Hub that another one is built from, and what was fetched for it."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from folders import published
from local_hub import LocalHub, Repo

from so2sat_hf.assemble import extras
from so2sat_hf.cli import cli
from so2sat_hf.convert.build import BuildReport, build
from so2sat_hf.convert.built import BuiltSource, open_built
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.hub.address import Address
from so2sat_hf.hub.dataset import open_dataset
from so2sat_hf.hub.patience import Patience

NAME = "zhu-xlab/So2Sat-LCZ42"
ARROW = BuildOptions(file_format="arrow", rows_per_shard=60)
LIKE_ARROW = ("--format", "arrow", "--rows-per-shard", 60, "-j", 1)
FAST = Patience(tries=3, first_wait=0.001, silence=5.0)


@pytest.fixture(scope="module")
def parquet(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lies in the repository: nine data files, picture, statistics, card, manifest; no companions."""
    folder = tmp_path_factory.mktemp("from-hub") / "parquet"
    build(source, folder, BuildOptions(rows_per_shard=60), extras=extras(source, companions=()), jobs=1)
    return folder


@pytest.fixture(scope="module")
def arrow(parquet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the folder itself becomes."""
    folder = tmp_path_factory.mktemp("from-folder") / "arrow"
    local = open_built(parquet)
    build(local, folder, ARROW, extras=extras(local, companions=()), jobs=1)
    return folder


@pytest.fixture
def repo(hub: LocalHub, parquet: Path) -> Repo:
    """The dataset beside a file of the publisher, in a public repository."""
    files = contents(parquet) | {"v4/testing.h5.gz": b"published"}
    return hub.create_repo(NAME, kind="dataset", files=files)


def contents(folder: Path) -> dict[str, bytes]:
    return {path: (folder / path).read_bytes() for path in published(folder)}


def opened(*splits: str, revision: str | None = None, patience: Patience = FAST) -> BuiltSource:
    return open_dataset(Address(NAME, revision), splits, patience=patience)


def built(source: BuiltSource, out: Path, options: BuildOptions = ARROW, **how: Any) -> BuildReport:
    return build(source, out, options, extras=extras(source, companions=()), **{"jobs": 1} | how)


def fetched(hub: LocalHub) -> list[str]:
    """Paths of the data files that were asked for, in order."""
    return [
        request.path.partition("/data/")[2]
        for request in hub.requests("resolve-get")
        if "/data/" in request.path
    ]


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args])
