"""``mini``: 60 patches of each class by a fixed rule."""

from pathlib import Path

import numpy as np
import pytest

from so2sat_hf.assemble import extras
from so2sat_hf.companions.mini import PER_SPLIT, choose
from so2sat_hf.convert.build import build, draw
from so2sat_hf.convert.built import open_built
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource


class Labelled:
    """A source of labels alone."""

    layout = "culture_10"
    columns = ("id", "label")

    def __init__(self, **labels: np.ndarray) -> None:
        self._labels = labels
        self.num_rows = {split: len(label) for split, label in labels.items()}

    @property
    def cells(self) -> dict:
        from so2sat_hf.convert.cells import Cell

        return {Cell(split): count for split, count in self.num_rows.items()}

    def labels(self, split: str) -> np.ndarray:
        return self._labels[split]

    def hdf5_rows(self, split: str) -> np.ndarray:
        return np.arange(self.num_rows[split])


def chosen(**labels: np.ndarray) -> dict[str, np.ndarray]:
    return choose(draw(Labelled(**labels), BuildOptions()))  # type: ignore[arg-type]


def test_each_class_has_its_60_patches() -> None:
    """40 of train, 10 of validation, 10 of test."""
    rng = np.random.default_rng(0)
    labels = {split: rng.permutation(np.arange(3000) % 17) for split in PER_SPLIT}

    found = chosen(**labels)

    for split, count in PER_SPLIT.items():
        assert np.bincount(labels[split][found[split]]).tolist() == [count] * 17
        assert (np.diff(found[split]) > 0).all()


def test_what_one_split_lacks_others_give() -> None:
    """4 of a class in validation: 46 of train; none anywhere: none."""
    labels = {
        "train": np.zeros(100, np.int64),
        "validation": np.array([0] * 4 + [1] * 30),
        "test": np.array([0] * 20),
    }

    found = chosen(**labels)

    assert [len(found[split]) for split in labels] == [46, 4 + 30, 10]


def test_the_rule_is_fixed() -> None:
    """The same rows for ever: another choice would be another dataset under the same name."""
    labels = {split: np.arange(170) % 17 for split in PER_SPLIT}

    first = chosen(**{**labels, "train": np.zeros(170, np.int64)})["train"][:6]

    assert first.tolist() == [7, 10, 12, 15, 22, 26]


@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
def test_its_rows_are_those_of_the_data(source: RawSource, tmp_path: Path, file_format: str) -> None:
    """Also from a built folder, of which only a few row groups are decoded."""
    build(source, tmp_path / "a", extras=extras(source, companions=("mini",)), jobs=1)
    built = open_built(tmp_path / "a")
    more = extras(built, companions=("mini",))
    report = build(built, tmp_path / "b", BuildOptions(file_format), extras=more, jobs=1)

    first, second = (open_built(tmp_path / name).manifest.companions[0] for name in "ab")
    assert [file.rows for file in first.files] == [file.rows for file in second.files]
    if file_format == "parquet":
        assert [file.sha256 for file in first.files] == [file.sha256 for file in second.files]
    assert sum(file.rows for file in report.manifest.companions[0].files) <= 420
