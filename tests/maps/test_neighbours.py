"""Overlap and distance between splits, counted by hand, by brute force, and on the real positions."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from so2sat_hf.cli import cli
from so2sat_hf.errors import So2SatError, SourceError
from so2sat_hf.maps.neighbours import look, neighbours, repeated
from so2sat_hf.maps.positions import Positions, positions_of


def some(corners: list[tuple[float, float]], splits: str, epsg: list[int] | None = None) -> Positions:
    names = {"t": "train", "v": "validation", "e": "test"}
    count = len(corners)
    return Positions(
        np.array([f"testing/{number:06d}" for number in range(count)]),
        np.zeros(count, np.int64),
        np.array(["rome"] * count),
        np.array(epsg or [32633] * count),
        np.array(corners, np.float64).reshape(-1, 2),
        {"culture_10": np.array([names[letter] for letter in splits])},
    )


def test_by_hand() -> None:
    """A patch that shares ground, one that shares an edge, one in the same place, one in another zone."""
    positions = some([(0, 0), (100, 100), (320, 0), (5000, 0), (5000, 0)], "tetet", [32633] * 4 + [32633])
    pair = look(positions, "culture_10", "test", "train")

    assert (pair.patches, pair.overlapping, pair.identical) == (2, 2, 1)
    edge = look(some([(0, 0), (320, 0)], "te"), "culture_10", "test", "train")
    assert (edge.overlapping, edge.distance.tolist()) == (0, [320])
    zones = look(some([(0, 0), (0, 0)], "te", [32633, 32634]), "culture_10", "test", "train")
    assert (zones.overlapping, len(zones.distance)) == (0, 0)
    alone = look(some([(0, 0), (9, 9)], "te"), "culture_10", "test", "test")
    assert (alone.overlapping, len(alone.distance)) == (0, 0)


@given(
    corners=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=12),
    seed=st.integers(0, 9),
)
def test_as_brute_force_has_it(corners: list[tuple[int, int]], seed: int) -> None:
    """Every patch with every other."""
    rng = np.random.default_rng(seed)
    splits = "".join(rng.choice(list("te"), len(corners)))
    positions = some([(100 * x, 100 * y) for x, y in corners], splits)
    for split in set(splits):
        for other in set(splits):
            name = {"t": "train", "e": "test"}
            pair = look(positions, "culture_10", name[split], name[other])
            hit = nearest = 0
            distances = []
            for i, mine in enumerate(corners):
                if splits[i] != split:
                    continue
                others = [c for j, c in enumerate(corners) if splits[j] == other and j != i]
                hit += any(max(abs(mine[0] - x), abs(mine[1] - y)) < 3.2 for x, y in others)
                nearest += any(mine == c for c in others)
                if others:
                    distances.append(min(100 * np.hypot(mine[0] - x, mine[1] - y) for x, y in others))
            assert (pair.overlapping, pair.identical) == (hit, nearest)
            assert sorted(pair.distance) == pytest.approx(sorted(distances))


def test_the_real_positions(shared_data: Path) -> None:
    """33 patches of validation lie where another of Guangzhou lies, and nowhere else does one."""
    with h5py.File(shared_data / "real_validation_geo_2025.h5") as file:
        tfw, epsg = file["tfw"][:], file["epsg"][:, 0]
    city = np.where(epsg == 32649, "guangzhou", np.char.add("zone", epsg.astype(str)))
    count = len(epsg)
    positions = Positions(
        np.array([f"validation/{row:06d}" for row in range(count)]),
        np.zeros(count, np.int64),
        city,
        epsg.astype(np.int64),
        tfw[:, [0, 3]],
        {"culture_10": np.array(["validation"] * count)},
    )

    found = repeated(positions)

    assert count == 24_119
    assert {each.city for each in found} == {"guangzhou"}
    assert sum(len(each.ids) - 1 for each in found) == 33
    itself = look(positions, "culture_10", "validation", "validation")
    assert itself.identical == sum(len(each.ids) for each in found)
    assert itself.overlapping / count > 0.98
    assert itself.cities["guangzhou"][0] == 2413


def test_a_built_dataset_and_its_index_agree(built: Path) -> None:
    """Splits of every version, by cells or by columns."""
    one, other = positions_of(str(built)), positions_of(str(built / "index"))
    order, turned = np.argsort(one.ids), np.argsort(other.ids)

    assert set(one.splits) == set(other.splits) == {"culture_10", "v1", "culture_10_v3", "random", "block"}
    assert np.array_equal(one.corner[order], other.corner[turned])
    for version in one.splits:
        assert one.splits[version][order].tolist() == other.splits[version][turned].tolist(), version
    assert [len(one.of("random", split)) for split in ("train", "test")] == [336, 84]
    pairs = neighbours(one, ["culture_10"])
    assert [(pair.split, pair.other) for pair in pairs][:3] == [
        ("test", "train"), ("test", "validation"), ("test", "test"),
    ]  # fmt: skip


def test_the_command(built: Path, tmp_path: Path) -> None:
    """Table, JSON and picture tell the same."""
    files = ["--json", str(tmp_path / "n.json"), "--picture", str(tmp_path / "n.png")]
    result = CliRunner().invoke(cli, ["neighbours", str(built), "--version", "random", *files])

    assert result.exit_code == 0, result.output
    plain = json.loads((tmp_path / "n.json").read_text())
    pair = next(each for each in plain["pairs"] if (each["split"], each["other"]) == ("test", "train"))
    line = next(
        line for line in result.stdout.splitlines() if line.split()[:3] == ["random", "test", "train"]
    )
    assert line.split()[3:5] == ["84", str(pair["overlapping"])]
    assert sum(city["patches"] for city in pair["cities"].values()) == 84
    with Image.open(tmp_path / "n.png") as picture:
        assert picture.width > 600


def test_what_cannot_be_is_said(raw: Path, built: Path, tmp_path: Path) -> None:
    """No index, no geolocation, no version."""
    (tmp_path / "train.parquet").write_text("no")
    with pytest.raises(SourceError, match=r"train\.parquet"):
        positions_of(str(tmp_path))
    result = CliRunner().invoke(cli, ["neighbours", str(built), "--version", "v7"])
    assert result.exit_code == 1
    assert "--version: v7; expected" in result.stderr
    with pytest.raises(So2SatError):
        positions_of(str(tmp_path / "nothing"))
