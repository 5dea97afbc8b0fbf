"""w2w, which makes input of the weather model WRF of maps, takes ours."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scenes import CORNER

from so2sat_hf.facts.labels import schemes
from so2sat_hf.maps.map_files import MapOptions, write_map
from so2sat_hf.maps.tiles import MapGrid, Tile

SCRIPT = Path(__file__).parents[1] / "support" / "read_with_w2w.py"


@pytest.mark.parametrize("values", ["number", "wudapt"])
def test_w2w_reads_a_map(values: str, tmp_path: Path) -> None:
    """Every class is there, as 1 to 17; the place is found."""
    library = os.environ.get("SO2SAT_W2W")
    if library is None:
        pytest.skip("SO2SAT_W2W names no folder with w2w; .ci/run makes one")
    grid = MapGrid(32632, *CORNER, columns=51, rows=51)
    total = np.zeros((17, 51, 51), np.float32)
    row, column = np.mgrid[:51, :51]
    total[(row // 3 + column // 3) % 17, row, column] = 1
    np.savez(tmp_path / "tile.npz", total=total, count=np.ones((51, 51), np.uint16))
    write_map(
        [(Tile(0, 0, 51, 51), tmp_path / "tile.npz")], grid, tmp_path / "lcz.tif", MapOptions(values=values)
    )

    environment = {**os.environ, "PYTHONPATH": library}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT), str(tmp_path), "lcz.tif"],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "LCZ domain is covering WRF domain" in done.stdout
    found = {int(word) for word in done.stdout.split("classes")[-1].split()}
    assert found - {0} == set(schemes()["number"])
