"""Fixtures of all rooms: generated files of the published layout, quiet and empty caches."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="so2sat-hf-home-")  # before datasets is imported
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

import h5py
import numpy as np
import pytest
from hypothesis import settings

from so2sat_hf.convert.raw import RawSource, open_raw
from so2sat_hf.synthetic import write_raw

settings.register_profile("so2sat", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("so2sat")

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with 5 real patches and 24,119 real geolocation rows, beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("the real patches and positions are not beside this checkout (../shared/data)")
    return SHARED


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated training.h5 (260 rows), validation.h5 (90), testing.h5 (70) with geo files of 2026."""
    folder = tmp_path_factory.mktemp("raw")
    write_raw(folder, train=260, validation=90, test=70, seed=3, geo="2026")
    return folder


@pytest.fixture(scope="session")
def source(raw: Path) -> RawSource:
    return open_raw(raw)


@pytest.fixture
def write_h5(tmp_path: Path) -> Callable[..., Path]:
    """Write a small valid image file; any dataset can be replaced, or left out (None)."""

    def write(
        name: str = "training.h5", *, num_rows: int = 6, folder: Path | None = None, **replace: Any
    ) -> Path:
        folder = folder or tmp_path / "raw"
        folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(num_rows)
        arrays = {
            "sen1": rng.normal(size=(num_rows, 32, 32, 8)).astype(np.float32).astype(np.float64),
            "sen2": rng.integers(1, 28_003, (num_rows, 32, 32, 10)) / 10_000,
            "label": np.eye(17)[rng.integers(0, 17, num_rows)],
        }
        arrays["sen1"][..., 4:6] = np.abs(arrays["sen1"][..., 4:6])  # intensities
        with h5py.File(folder / name, "w") as file:
            for key, array in {**arrays, **replace}.items():
                if array is not None:
                    file[key] = array
        return folder / name

    return write


@pytest.fixture
def write_geo() -> Callable[..., Path]:
    """Write a geo file of the 2026 layout beside an image file: every patch in the centre of Munich."""

    def write(image: Path, num_rows: int = 6, **replace: Any) -> Path:
        path = image.with_name(f"{image.stem}_geo.h5")
        corner = [10.0, 0.0, 0.0, -10.0, 691_600.0, 5_334_800.0]
        arrays = {
            "tfw": np.tile(corner, (num_rows, 1)),
            "epsg": np.full((num_rows, 1), 32632, np.int32),
            "city": np.array([b"munich"] * num_rows),
        }
        with h5py.File(path, "w") as file:
            for key, array in {**arrays, **replace}.items():
                if array is not None:
                    file[key] = array
        return path

    return write
