"""Statistics of every version from one pass over files, a folder, or made patches."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pytest

from so2sat_hf import facts
from so2sat_hf.companions import published, statistics
from so2sat_hf.companions.sketch import BIN_ERROR
from so2sat_hf.companions.statistics import measure
from so2sat_hf.companions.summary import PERCENTILES, Summary, as_json
from so2sat_hf.convert.build import BuildOptions, build
from so2sat_hf.convert.cells import Cell
from so2sat_hf.convert.patches import PatchBlock
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.convert.source import open_source
from so2sat_hf.errors import So2SatError, SourceError

CELLS = {
    Cell("train", "1", "1"): 9,
    Cell("train", "1", "0"): 4,
    Cell("train", "0", "1"): 3,
    Cell("validation", "0", "0"): 5,
    Cell("validation", "x", "1"): 2,
    Cell("test", "1", "0"): 6,
}


@dataclass
class Arrays:
    """A source of patches in memory, which notes the rows it was asked for."""

    cells: dict = field(default_factory=lambda: dict(CELLS))
    columns: tuple = ("id", "sen1", "sen2", "label")
    layout: str = "culture_10"
    rounding: dict = field(default_factory=dict)
    read: list = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(2)
        num = sum(self.cells.values())
        self.cell = np.repeat(np.arange(len(self.cells)), list(self.cells.values()))
        self.label = rng.integers(0, 4, num) * 5
        self.sen1 = rng.normal(0, 0.2, (num, 8, 32, 32)).astype(np.float32)
        self.sen1[:, 4:6] = np.exp(8 * self.sen1[:, 4:6])
        self.sen2 = (rng.integers(1, 9000, (num, 10, 32, 32)) / 10_000).astype(np.float32)
        self.num_rows = {}
        for cell, count in self.cells.items():
            self.num_rows[cell.split] = self.num_rows.get(cell.split, 0) + count

    def rows_of(self, cells) -> np.ndarray:
        """Positions in the arrays of every patch of some cells."""
        return np.flatnonzero(np.isin(self.cell, [list(self.cells).index(cell) for cell in cells]))

    def blocks(self, split, rows, *, columns, size, reuse=False) -> Iterator[PatchBlock]:
        assert size <= 1024
        self.read += [(split, row) for row in rows]
        everywhere = self.rows_of([cell for cell in self.cells if cell.split == split])
        numbers = everywhere[np.asarray(rows)]
        for start in range(0, len(numbers), 2):
            part = numbers[start : start + 2]
            yield PatchBlock(
                [f"training/{row:06d}" for row in part],
                self.label[part],
                self.sen1[part] if "sen1" in columns else None,
                self.sen2[part] if "sen2" in columns else None,
                rounding=self.rounding,
            )


@pytest.fixture(autouse=True)
def _small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several tasks a cell."""
    monkeypatch.setattr(statistics, "TASK_ROWS", 4)


def assert_is(summary: Summary, values: np.ndarray) -> None:
    """Compare with numpy."""
    assert summary.count == values.size
    assert summary.mean == pytest.approx(values.mean(), rel=1e-12, abs=1e-16 * values.std())
    assert summary.std == pytest.approx(values.std(), rel=1e-12)
    assert (summary.min, summary.max) == (values.min(), values.max())


def values_of(band: facts.Band, source: Arrays, rows: np.ndarray) -> np.ndarray:
    values = getattr(source, band.sensor)[rows, band.index].astype(np.float64)
    return np.rint(values * 10_000) / 10_000 if band.sensor == "sen2" else values


def test_every_split_of_every_version_equals_numpy() -> None:
    """Cells are measured once and joined: bands, dB, classes and percentiles are those of the patches."""
    source = Arrays()

    found = measure(source, jobs=1)

    assert len(source.read) == len(set(source.read)) == sum(CELLS.values())
    members = {
        ("culture_10", "train"): lambda cell: cell.split == "train",
        ("culture_10", "validation"): lambda cell: cell.split == "validation",
        ("culture_10", "test"): lambda cell: cell.split == "test",
        ("v1", "train"): lambda cell: cell.split == "train",
        ("v1", "validation"): lambda cell: cell.split == "validation",
        ("culture_10_v3", "train"): lambda cell: cell.split == "train",
        ("culture_10_v3", "test"): lambda cell: cell.split != "train",
        ("random", "train"): lambda cell: cell.random == "1",
        ("random", "test"): lambda cell: cell.random == "0",
        ("block", "train"): lambda cell: cell.block == "1",
        ("block", "test"): lambda cell: cell.block == "0",
    }
    assert list(found.splits) == list(members)
    for name, is_member in members.items():
        split, rows = found.splits[name], source.rows_of(filter(is_member, CELLS))
        assert split.rows == len(rows)
        assert split.class_rows == tuple(np.bincount(source.label[rows], minlength=17))
        for band in facts.bands():
            values = values_of(band, source, rows)
            assert_is(split.bands[band.name], values)
            error = 0.0 if band.sensor == "sen2" else BIN_ERROR
            wanted = np.percentile(values, PERCENTILES)
            atol = 1e-5 if values.min() < 0 else 0  # a median between -1e-6 and 1e-6 has no relative error
            np.testing.assert_allclose(
                list(split.bands[band.name].percentiles.values()), wanted, rtol=error or 1e-12, atol=atol
            )
            for label in np.unique(source.label[rows]):
                mine = rows[source.label[rows] == label]
                assert_is(split.classes[band.name][label], values_of(band, source, mine))


def test_intensities_are_measured_in_decibel_too() -> None:
    """Mean and deviation of 10 log10, not the logarithm of the mean; percentiles keep their order."""
    source = Arrays()

    split = measure(source, ["random/test"], jobs=1).splits["random", "test"]

    rows = source.rows_of([cell for cell in CELLS if cell.random == "0"])
    values = 10 * np.log10(source.sen1[rows, 5].astype(np.float64))
    assert split.bands["VV_lee_dB"].unit == "dB"
    assert_is(split.bands["VV_lee_dB"], values)
    percentiles = list(split.bands["VV_lee_dB"].percentiles.values())
    np.testing.assert_allclose(percentiles, np.percentile(values, PERCENTILES), atol=0.005)
    assert [name for name in split.bands if name.endswith("_dB")] == ["VH_lee_dB", "VV_lee_dB"]


def test_no_percentile_is_beyond_the_extremes() -> None:
    """Although the middle of the outermost bin may be; where all pixels are alike, so is every percentile."""
    source = Arrays()
    source.sen1[:, 5] = 0.3

    split = measure(source, ["train"], jobs=1).splits["culture_10", "train"]

    assert set(split.bands["VV_lee"].percentiles.values()) == {float(np.float32(0.3))}
    assert len(set(split.bands["VV_lee_dB"].percentiles.values())) == 1


def test_units_are_those_of_the_facts() -> None:
    """Nobody has to guess."""
    split = measure(Arrays(), ["train"], jobs=1).splits["culture_10", "train"]

    assert {name: split.bands[name].unit for name in ("VH_real", "VH_lee", "B02")} == {
        "VH_real": "linear amplitude",
        "VH_lee": "linear power",
        "B02": "reflectance",
    }


def test_the_number_of_workers_does_not_show() -> None:
    """Not even in the last bit: parts are joined in stored order, whoever was first."""
    with ThreadPoolExecutor(4) as executor:
        parallel = measure(Arrays(), executor=executor)

    assert as_json(parallel) == as_json(measure(Arrays(), jobs=1))


def test_only_the_wanted_splits_are_read() -> None:
    """A split, a split with its config, a whole config; in the order of the versions."""
    source = Arrays()
    done = []

    found = measure(source, ["test", "v1/validation"], jobs=1, progress=done.append)

    assert list(found.splits) == [("culture_10", "test"), ("v1", "validation")]
    assert {split for split, _ in source.read} == {"validation", "test"}
    assert sum(done) == len(source.read) == 13
    assert list(measure(source, ["block"], jobs=1).splits) == [("block", "train"), ("block", "test")]


def test_a_split_of_version_3_by_itself_has_its_name() -> None:
    """Its file is beside nothing but its own published numbers."""
    source = Arrays(cells={Cell("train"): 5, Cell("test"): 3}, layout="random")

    found = measure(source, ["train"], jobs=1)

    assert list(found.splits) == [("random", "train")]
    assert [comparison.key for comparison in published.compare(found)] == ["3/random/training"]


def test_an_unknown_split_is_refused_with_the_known_ones() -> None:
    """Before anything is read."""
    source = Arrays()

    with pytest.raises(
        So2SatError, match=r"split 'tests': unknown; expected .* culture_10/train, .*block/test"
    ):
        measure(source, ["tests"], jobs=1)
    assert source.read == []


def test_a_folder_with_one_sensor_is_measured() -> None:
    """What is not there is not in the result; without pixels there is nothing to do."""
    found = measure(Arrays(columns=("id", "sen2", "label")), ["train"], jobs=1)

    assert list(found.splits["culture_10", "train"].bands) == [band.name for band in facts.bands("sen2")]
    with pytest.raises(So2SatError, match="pixels: the source has only id, label"):
        measure(Arrays(columns=("id", "label")), jobs=1)


def test_rounded_sen2_is_measured_as_it_is() -> None:
    """Values off the grid of digital numbers, a negative one among them, are not moved to it."""
    source = Arrays(rounding={"sen2": 3e-5})
    source.sen2 += np.float32(3e-5)
    source.sen2[0, 0, 0, 0] = -0.2

    found = measure(source, jobs=1)

    band = found.splits["culture_10", "train"].bands["B02"]
    values = source.sen2[: found.splits["culture_10", "train"].rows, 0].astype(np.float64)
    assert_is(band, values)
    np.testing.assert_allclose(
        list(band.percentiles.values()), np.percentile(values, PERCENTILES), rtol=BIN_ERROR
    )
    assert found.percentile_error == {"sen1": BIN_ERROR, "sen2": BIN_ERROR}
    assert measure(Arrays(), jobs=1).percentile_error == {"sen1": BIN_ERROR, "sen2": 0.0}


def test_a_damaged_value_is_named() -> None:
    """The patches it is among, and what is wrong with it."""
    source = Arrays()
    source.sen1[3, 2, 0, 0] = np.nan

    with pytest.raises(SourceError, match="sen1 of training/000002 to training/000003: NaN or infinity"):
        measure(source, jobs=1)


def test_a_split_without_patches_has_no_numbers() -> None:
    """Nor does a class: null in JSON, which has no NaN."""
    found = measure(Arrays(cells={Cell("train"): 3, Cell("test"): 0}), jobs=1)

    text = json.dumps(as_json(found), allow_nan=False)
    written = json.loads(text)["versions"]["culture_10"]
    assert written["test"]["rows"] == 0
    assert written["test"]["bands"]["B02"]["mean"] is None
    assert written["test"]["bands"]["B02"]["percentiles"] == {}
    assert written["train"]["bands"]["VH_lee_dB"]["classes"]["Compact mid-rise"]["count"] == 0
    assert written["train"]["bands"]["VH_lee"]["percentiles"]["99.9"] > 1


def test_files_and_folder_have_the_statistics_of_the_published_values(
    source: RawSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of numpy on the float64 of the HDF5, in two processes; of files and folder the same to a bit."""
    monkeypatch.setattr(statistics, "TASK_ROWS", 100)
    build(source, tmp_path / "out", BuildOptions(rows_per_shard=60), jobs=1)

    found = measure(source, jobs=2)

    for split, rows in source.num_rows.items():
        statistics_of_split = found.splits["culture_10", split]
        assert statistics_of_split.rows == rows
        with h5py.File(source.file(split).path) as file:
            pixels = {sensor: file[sensor][:] for sensor in facts.SENSORS}
            label = file["label"][:].argmax(axis=1)
        for band in facts.bands():
            values = pixels[band.sensor][..., band.index]
            assert_is(statistics_of_split.bands[band.name], values)
            assert_is(statistics_of_split.classes[band.name][16], values[label == 16])
    assert as_json(measure(open_source(tmp_path / "out"), jobs=1)) == as_json(found)
