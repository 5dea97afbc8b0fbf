"""Checkpoints of timm and the stock image processor: in another process; and what is said without them.

No build of torchvision goes with the torch of the other tests, and once installed it breaks models of
transformers. So timm and torchvision lie in a folder that SO2SAT_TIMM names:
``pip install --no-deps --target FOLDER timm torchvision``.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from so2sat_hf.errors import So2SatError
from so2sat_hf.vision.catalogue import preset, presets
from so2sat_hf.vision.checkpoints import convert_checkpoint
from so2sat_hf.vision.stock_processor import stock_image_processor

TIMM = os.environ.get("SO2SAT_TIMM")
SUPPORT = Path(__file__).parents[1] / "support"


@pytest.mark.skipif(not TIMM, reason="SO2SAT_TIMM names no folder with timm and torchvision")
def test_with_timm() -> None:
    """The tests of needs_timm.py, where timm can be imported."""
    paths = os.pathsep.join(filter(None, [str(TIMM), str(SUPPORT), os.environ.get("PYTHONPATH")]))
    args = [
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-p",
        "torchvision_stub",
        str(Path(__file__).with_name("needs_timm.py")),
    ]
    environment = {**os.environ, "PYTHONPATH": paths}

    done = subprocess.run(
        [sys.executable, *args], capture_output=True, text=True, check=False, env=environment
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_what_a_stock_processor_cannot_do_is_named(statistics: Any) -> None:
    """Radar, limits, empty slots, another order; and missing torchvision."""
    s1, s2, rgb = (preset(name).with_statistics(statistics, "test") for name in ("s1", "s2", "rgb"))
    for found, message in (
        (s1, "slot VH_real in asinh"),
        (presets()["softcon-s2"], "slot B01 in DN"),
        (presets()["satmae"], "slot B02 in DN, cut off"),
        (rgb, "slots B04 B03 B02"),
        (presets()["vit"], "slot R in brightness"),
    ):
        with pytest.raises(So2SatError, match=message):
            stock_image_processor(found)
    with pytest.raises(So2SatError, match="torchvision cannot be imported"):
        stock_image_processor(s2)


def test_without_timm_it_says_so(tmp_path: Path) -> None:
    """And how to get it."""
    torch.save({"weight": torch.ones(1)}, tmp_path / "w.pth")

    with pytest.raises(So2SatError, match=r"timm: cannot be imported(.|\n)*so2sat_hf\[timm\]"):
        convert_checkpoint(
            tmp_path / "w.pth", tmp_path, architecture="vit_small_patch16_224", preset=presets()["softcon-s2"]
        )
