"""Fixtures of this room: few threads, a built dataset, and patches whose bands are constants."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so2sat_hf.convert.build import build
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.vision.preset import Preset
from so2sat_hf.vision.preset_table import from_dict


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def built(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """260 training rows, 90 of validation, 70 of test, with statistics."""
    folder = tmp_path_factory.mktemp("vision") / "out"
    build(source, folder, jobs=1)
    return folder


@pytest.fixture(scope="session")
def statistics(built: Path) -> dict[str, Any]:
    return json.loads((built / "statistics.json").read_text())


@pytest.fixture(scope="session")
def rows(built: Path) -> list[dict[str, Any]]:
    """24 rows of test as numpy has them."""
    from datasets import load_dataset

    test = load_dataset(str(built), split="test").with_format("numpy")
    return [test[number] for number in range(24)]


@pytest.fixture
def constants() -> dict[str, Any]:
    """Return a patch in which every band is one number, and no two bands the same."""
    sen1 = [-0.3, 0.25, 0.4, -0.15, 0.02, 0.07, 0.011, -0.013]
    sen2 = [0.11, 0.12, 0.13, 0.14, 0.21, 0.22, 0.23, 0.24, 0.31, 0.32]

    def filled(values: list[float]) -> np.ndarray:
        return np.broadcast_to(np.array(values, np.float32)[:, None, None], (len(values), 32, 32)).copy()

    return {"id": "training/000000", "sen1": filled(sen1), "sen2": filled(sen2), "label": 3}


@pytest.fixture
def mixed(statistics: dict[str, Any]) -> Preset:
    """Both sensors, out of stored order, each unit, an empty slot, limits."""
    table = {
        "name": "mixed",
        "size": 32,
        "slots": [
            {"band": "B04", "unit": "DN", "mean": 1000.0, "std": 500.0},
            {"name": "B01", "unit": "DN", "fill": 200.0, "mean": 1200.0, "std": 400.0},
            {"band": "B02", "unit": "brightness", "scale": 0.2, "mean": 0.5, "std": 0.25},
            {"band": "VV_lee", "unit": "dB", "mean": -12.0, "std": 5.0},
            {"band": "VH_lee", "unit": "dB", "mean": -20.0, "std": 6.0, "limits": [-18.0, 0.0]},
            "VH_real",
            {"band": "B12", "unit": "DN", "mean": 0.0, "std": 1000.0, "limits": [0.0, 3000.0]},
            {"band": "C12_imag", "unit": "linear", "mean": 0.0, "std": 0.1},
        ],
    }
    return from_dict(table).with_statistics(statistics, "test")
