"""A manifest is input: whatever it says, one clear error or a folder that can be used."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from so2sat_hf.assemble import extras
from so2sat_hf.convert.build import build
from so2sat_hf.convert.built import open_built
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.convert.verify import verify
from so2sat_hf.errors import FolderError, So2SatError
from so2sat_hf.hub.card import readme_of
from so2sat_hf.load.by_id import patches


@pytest.fixture(scope="module")
def built(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manifest") / "out"
    build(source, folder, extras=extras(source), jobs=1)
    return folder


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "out")
    return tmp_path / "out"


Change = Callable[[dict[str, Any]], object]
NONSENSE: dict[str, Change] = {
    "layout": lambda plain: plain.update(layout="random5"),
    "no layout": lambda plain: plain.update(layout=None),
    "no cells": lambda plain: plain.update(cells={}),
    "split foo": lambda plain: plain["cells"].update(foo=plain["cells"].pop("test")),
    "classes": lambda plain: plain["cells"]["test"].update(class_counts=[70]),
    "rows of a cell": lambda plain: plain["cells"]["test"].update(rows=71),
    "rows of a file": lambda plain: plain["shards"][0].update(rows=3),
    "negative": lambda plain: plain["shards"][0].update(rows=-260),
    "order": lambda plain: plain["shards"].reverse(),
    "columns twice": lambda plain: plain["columns"].append("id"),
    "no id": lambda plain: plain["columns"].remove("id"),
    "half a place": lambda plain: plain["columns"].remove("x_ul"),
    "bytes as text": lambda plain: plain["sources"][0].update(bytes="many"),
    "companion": lambda plain: plain["companions"][0].update(name="../x"),
    "features": lambda plain: plain["companions"][0].update(features=[1]),
    "way out": lambda plain: plain["companions"][0]["files"][0].update(path="../../x"),
    "path": lambda plain: plain["shards"][0].update(path=7),
    "rounding": lambda plain: plain.update(rounding={"sen2": "much"}),
    "list": lambda plain: plain.update(shards={}),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused(copy: Path, name: str) -> None:
    """By whatever reads it first."""
    plain = json.loads((copy / "manifest.json").read_text())
    NONSENSE[name](plain)
    (copy / "manifest.json").write_text(json.dumps(plain))

    with pytest.raises(FolderError):
        Manifest.read(copy)


@pytest.mark.parametrize("features", [{"id": {"_type": "Nothing"}}, {"id": 5}, {"id": {"dtype": "int99"}}])
def test_features_that_cannot_be_understood_are_said(copy: Path, features: dict[str, Any]) -> None:
    """Verification and card need them."""
    plain = json.loads((copy / "manifest.json").read_text())
    plain["companions"][0]["features"] = features
    (copy / "manifest.json").write_text(json.dumps(plain))

    for use in (verify, readme_of):
        with pytest.raises(So2SatError, match="features of index that cannot be understood"):
            use(copy)


def test_a_companion_of_a_later_version_does_no_harm(copy: Path) -> None:
    """Files of format 1.x may have more beside the data than this version knows."""
    plain = json.loads((copy / "manifest.json").read_text())
    plain["companions"][0]["name"] = "votes"
    (copy / "manifest.json").write_text(json.dumps(plain))

    assert len(patches(["training/000003"], copy)) == 1
    assert open_built(copy).num_rows["train"] == 260
    assert "votes" in readme_of(copy)
