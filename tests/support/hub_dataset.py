"""Everything that is published in a repository of the local Hub, opened by its name."""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset
from local_hub import LocalHub, Repo
from regrouped import write_version_3

from so2sat_hf.assemble import extras, membership_of
from so2sat_hf.convert.build import build
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.patches import COLUMNS, FILE_OF_SPLIT, PatchBlock
from so2sat_hf.convert.raw import RawSource, open_raw
from so2sat_hf.hub.card import readme_of
from so2sat_hf.synthetic import write_raw

REPO = "zhu-xlab/So2Sat-LCZ42"
SPLITS = {"train": 130, "validation": 50, "test": 40}
CULTURE_10 = ("culture_10", "sen1", "sen2", "index", "rgb")
ROWS = {
    **dict.fromkeys(CULTURE_10, SPLITS),
    "v1": {"train": 130, "validation": 50},
    "culture_10_v3": {"train": 130, "test": 90},
    "random": {"train": 176, "test": 44},
    "block": {"train": 176, "test": 44},
}
STYLES: dict[str, dict[str, Any]] = {"map style": {}, "streaming": {"streaming": True}}
CARD = Path(__file__).parents[2] / "cards" / "dataset_card.md"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions 2 and 3, with geolocation."""
    folder = tmp_path_factory.mktemp("load-raw")
    write_raw(folder, **SPLITS, seed=11, geo="2026")
    write_version_3(folder, folder, seed=4)
    return folder


@pytest.fixture(scope="module")
def members(raw: Path) -> dict[str, dict[str, set[str]]]:
    """Version -> split -> ids."""
    regrouped = write_version_3(raw, raw, seed=4)
    ids = {split: {f"{FILE_OF_SPLIT[split]}/{row:06d}" for row in range(n)} for split, n in SPLITS.items()}
    version_3 = {
        name: {"train": set(regrouped[f"{name}/training"]), "test": set(regrouped[f"{name}/testing"])}
        for name in ("random", "block")
    }
    return {"culture_10": ids, **version_3}


@pytest.fixture(scope="module")
def out(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that is published, in files of at most 40 rows."""
    folder = tmp_path_factory.mktemp("load") / "out"
    source = open_raw(raw)
    more = extras(source, membership_of(source, jobs=1))
    build(source, folder, BuildOptions(rows_per_shard=40), extras=more, jobs=1)
    return folder


@pytest.fixture(scope="module")
def files(out: Path) -> dict[str, bytes]:
    return contents(out)


def contents(out: Path) -> dict[str, bytes]:
    """Files of a built folder, with the README that it has on the Hub."""
    found = {path: (out / path).read_bytes() for path in (*Manifest.read(out).paths, "manifest.json")}
    return {**found, "README.md": readme_of(out, REPO).encode()}


@pytest.fixture
def repo(hub: LocalHub, files: dict[str, bytes]) -> Repo:
    return hub.create_repo(REPO, files=files)


@pytest.fixture(scope="module")
def patches(raw: Path) -> dict[str, tuple[np.ndarray, np.ndarray, int, str]]:
    """Id -> sen1, sen2, label and city of the HDF5 files."""
    source: RawSource = open_raw(raw)
    found = {}
    for split, count in SPLITS.items():
        (block,) = source.blocks(split, range(count), columns=COLUMNS, size=count)
        found |= rows_of(block)
    return found


def rows_of(block: PatchBlock) -> dict[str, tuple[np.ndarray, np.ndarray, int, str]]:
    columns = (block.sen1, block.sen2, block.label.tolist(), block.geo.city)
    return dict(zip(block.ids, zip(*columns, strict=True), strict=True))


def stream(config: str | None = None, split: str = "train", **options: Any) -> Any:
    return load_dataset(REPO, config, split=split, streaming=True, **options)


def small_blocks() -> dict[str, Any]:
    """Options that the card recommends: fetch what is asked for, and no 5 MiB beyond."""
    line = next(line for line in CARD.read_text().splitlines() if '"block_size"' in line)
    return ast.literal_eval(line.removeprefix("options = "))


def ids(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


def expected(config: str, out: Path) -> dict[str, int]:
    if config != "mini":
        return ROWS[config]
    mini = next(plan for plan in Manifest.read(out).companions if plan.name == "mini")
    return {file.split: file.rows for file in mini.files}
