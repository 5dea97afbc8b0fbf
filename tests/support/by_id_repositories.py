"""Folders that become repositories, the patches that come back by id, and how to forget all of it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from so2sat_hf.assemble import extras
from so2sat_hf.companions import index as index_module
from so2sat_hf.convert import shard as shard_module
from so2sat_hf.convert.build import build
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.patches import GEO_COLUMNS, PatchBlock
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.hub import ranges
from so2sat_hf.load import ahead, lookup, ranged

GROUP_ROWS = 16
KINDS = {
    "index": BuildOptions(rows_per_shard=130),
    "data": BuildOptions(rows_per_shard=130),
    "arrow": BuildOptions(file_format="arrow", rows_per_shard=130),
    "uint16": BuildOptions(file_format="arrow", sen2_dtype="uint16", rows_per_shard=130),
}
HUNDRED = [f"training/{row:06d}" for row in (*range(16, 50), *range(130, 195), 259)]
"""Ids of 100 patches: 3 row groups of one file, 5 of 9 of another and its last one."""


def built_folders(source: RawSource, parent: Path, kinds: Iterable[str]) -> Iterator[dict[str, Path]]:
    """Kind -> a folder with two files of 130 rows for train, else one, in row groups of 16."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shard_module, "ROW_GROUP_ROWS", GROUP_ROWS)
        patched.setattr(index_module, "ROW_GROUP_ROWS", GROUP_ROWS)
        for kind in kinds:
            companions = ("index",) if kind == "index" else ()
            build(source, parent / kind, KINDS[kind], extras=extras(source, companions=companions), jobs=1)
        yield {kind: parent / kind for kind in kinds}


def forget() -> None:
    """What this process knows of repositories."""
    lookup.places_of.cache_clear()
    ranged.footer.cache_clear()
    ranges._STORAGE.clear()


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """What was looked up by other tests."""
    forget()


@pytest.fixture(autouse=True)
def no_holes(monkeypatch: pytest.MonkeyPatch) -> None:
    """These row groups are small: what lies between two wanted columns is not to come with them."""
    monkeypatch.setattr(ahead, "HOLE", 0)
    monkeypatch.setattr(ranged, "TAIL", 4096)


def check_equal(found: PatchBlock, expected: PatchBlock) -> None:
    assert found.ids == expected.ids
    for name in ("label", "sen1", "sen2"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))
    assert found.geo.city == expected.geo.city
    for name in GEO_COLUMNS[1:]:
        assert np.array_equal(getattr(found.geo, name), getattr(expected.geo, name))
