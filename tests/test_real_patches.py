"""The five real patches go the whole way: build, verify bit for bit, load, stream, show."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from datasets import load_dataset

from so2sat_hf.cli import cli


@pytest.fixture(scope="module")
def folders(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(RAW with the real patches as training.h5, the folder that the command line built from it)."""
    raw, out = (tmp_path_factory.mktemp("real") / name for name in ("raw", "out"))
    raw.mkdir()
    shutil.copy(shared_data / "real_training_5.h5", raw / "training.h5")
    result = CliRunner().invoke(cli, ["build", str(raw), str(out)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "not the published file: 5 rows" in result.output
    return raw, out


def test_they_verify_bit_for_bit(folders: tuple[Path, Path]) -> None:
    """Every one of the 92,165 values is compared with the float64 of the file."""
    raw, out = folders

    result = CliRunner().invoke(cli, ["verify", str(out), "--against", str(raw)])

    assert result.exit_code == 0, result.output
    assert "5 patches in 4 files, 92,165 values equal the HDF5" in result.output


@pytest.mark.parametrize("streaming", [False, True])
def test_loaded_values_are_those_of_h5py(folders: tuple[Path, Path], *, streaming: bool) -> None:
    """Map style and streaming; labels are water, water, open mid-rise, water, open low-rise."""
    raw, out = folders
    with h5py.File(raw / "training.h5") as file:
        sen1, sen2, label = file["sen1"][:], file["sen2"][:], file["label"][:]

    data = load_dataset(str(out), split="train", streaming=streaming)
    names = data.features["label"].names
    rows = list(data.with_format("numpy"))

    assert [names[row["label"]] for row in rows] == [
        "Water",
        "Water",
        "Open mid-rise",
        "Water",
        "Open low-rise",
    ]
    for i, row in enumerate(rows):
        assert np.array_equal(row["sen1"].astype(float), sen1[i].transpose(2, 0, 1))
        back = np.rint(row["sen2"].astype(float) * 10_000) / 10_000
        assert np.array_equal(back, sen2[i].transpose(2, 0, 1))
        assert row["label"] == label[i].argmax()
