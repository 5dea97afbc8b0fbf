"""Folds whose tests overlap no training, and what takes them."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from trained import train_args

from so2sat_hf.cli import cli
from so2sat_hf.convert.build import build
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.errors import So2SatError, SourceError
from so2sat_hf.load.folds import read_fold
from so2sat_hf.load.stream import PatchStream
from so2sat_hf.load.table import PatchTable
from so2sat_hf.maps.positions import Positions, positions_of
from so2sat_hf.maps.resplit import Folds, share_out


def cloud(count: int = 1500, seed: int = 0) -> Positions:
    """Patches of three cities in two zones, 100 m apart or on each other, as the real ones are."""
    rng = np.random.default_rng(seed)
    city = rng.integers(0, 3, count)
    corner = np.round(rng.normal(0, 40, (count, 2))) * 100 + np.array([[0, 0], [80_000, 0], [0, 0]])[city]
    return Positions(
        np.array([f"training/{row:06d}" for row in range(count)]),
        rng.integers(0, 17, count),
        np.array(["a", "b", "c"])[city],
        np.array([32633, 32633, 32634])[city],
        corner,
        {"culture_10": np.array(["train"] * count)},
    )


def gap(folds: Folds, fold: int) -> float:
    """Metres between the edges of the nearest training and test patches, negative where they overlap."""
    train, test = folds.train(fold), folds.test(fold)
    smallest = np.inf
    for code in np.unique(folds.positions.epsg):
        one, other = (
            folds.positions.corner[rows[folds.positions.epsg[rows] == code]] for rows in (train, test)
        )
        for corner in other:
            if len(one):
                smallest = min(smallest, np.abs(one - corner).max(axis=1).min() - 320)
    return float(smallest)


@pytest.mark.parametrize("by", ["city", "block", "distance"])
@pytest.mark.parametrize("buffer", [0, 500])
def test_no_test_overlaps_its_training(by: str, buffer: float) -> None:
    """Nor comes nearer than the buffer; every patch is tested once at most, and most are."""
    found = share_out(cloud(), by=by, folds=3, buffer=buffer, block=3000, seed=1)

    for fold in range(3):
        assert gap(found, fold) >= buffer
        assert len(found.train(fold)) > 100
        assert not set(found.train(fold)) & set(found.test(fold))
    tested = np.concatenate([found.test(fold) for fold in range(3)])
    assert len(set(tested)) == len(tested)
    assert len(tested) == 1500 if by != "block" else len(tested) > 300
    sizes = [len(found.test(fold)) for fold in range(3)]
    assert max(sizes) < 1.7 * min(sizes)


def test_whole_cities() -> None:
    """A city is in one fold."""
    found = share_out(cloud(), by="city", folds=3)
    for city in "abc":
        assert len(set(found.fold[found.positions.city == city])) == 1


def test_the_same_seed_gives_the_same_folds() -> None:
    """And another one other folds."""
    one, same, other = (share_out(cloud(), by="block", folds=4, seed=seed) for seed in (3, 3, 4))
    assert one.table().equals(same.table())
    assert not one.table().equals(other.table())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "street"}, "--by: street"),
        ({"folds": 1}, "--folds: 1"),
        ({"buffer": -1}, "--buffer: -1"),
        ({"block": 100}, "--block: 100"),
        ({"folds": 4}, "--folds: 4; expected at most 3, the cities"),
    ],
)
def test_what_cannot_be_is_said(options: dict[str, object], message: str) -> None:
    """Before anything is computed."""
    with pytest.raises(So2SatError, match=message):
        share_out(cloud(50), **options)  # type: ignore[arg-type]


def test_folds_are_trained_on(source: RawSource, tmp_path: Path) -> None:
    """Table, streams, tables of patches, training and evaluation take them, over the splits of the files."""
    shards, folds = tmp_path / "shards", tmp_path / "folds.parquet"
    build(source, shards, BuildOptions(file_format="arrow"), jobs=1)
    result = CliRunner().invoke(cli, ["split", str(shards), "--folds", "3", "-o", str(folds)])
    assert result.exit_code == 0, result.output
    table = pq.read_table(folds).to_pandas()
    assert table.groupby("fold").id.nunique().tolist() == [420] * 3
    fold = read_fold(folds, 1)
    assert list(fold) == ["train", "test"]
    expected = set(table[(table.fold == 1) & (table.split == "test")].id)
    patches = PatchTable(shards, "all", columns=("id",), ids=fold["test"])
    streamed = [
        text
        for batch in PatchStream(shards, "all", columns=("id",), ids=fold["test"])
        for text in batch["id"]
    ]
    assert {patch["id"] for patch in patches} == set(streamed) == expected
    from so2sat_hf.training.finetune import main

    args = train_args(shards, tmp_path / "run", split_file=folds, fold=1, max_steps=2, feed="stream")
    main(args)

    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["split"] == "folds-1/test"
    assert report["patches"] == len(expected)
    fold_one = ["--split-file", str(folds), "--fold", "1", "-o", str(tmp_path / "again")]
    again = CliRunner().invoke(cli, ["evaluate", str(tmp_path / "run"), "--data", str(shards), *fold_one])
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "again" / "report.json").read_text())["confusion"] == report["confusion"]


def test_tables_of_folds_that_are_none(tmp_path: Path) -> None:
    """One clear line each."""
    with pytest.raises(SourceError, match="cannot be read"):
        read_fold(tmp_path / "nothing.parquet", 0)
    (tmp_path / "some.csv").write_text("fold,id\n0,training/000001\n")
    with pytest.raises(SourceError, match="no column split"):
        read_fold(tmp_path / "some.csv", 0)
    (tmp_path / "folds.csv").write_text("fold,split,id\n0,train,training/000001\n")
    with pytest.raises(So2SatError, match=r"fold 2: not in .*; expected 0 to 0"):
        read_fold(tmp_path / "folds.csv", 2)


def test_positions_of_shards(source: RawSource, built: Path) -> None:
    """Folds of a dataset are those of its index."""
    one, other = (share_out(positions_of(str(data)), folds=3) for data in (built, built / "index"))
    assert one.table().equals(other.table())
