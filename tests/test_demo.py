"""The demo, whole, as a new user runs it."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from trained import NEEDS_TRAIN


def test_the_demo_does_every_step(tmp_path: Path) -> None:
    """Generate, build, verify, load, stream, show, train, and what to do next; twice, then quicker."""
    pytest.importorskip("accelerate", reason=NEEDS_TRAIN)
    for _ in range(2):
        args = [sys.executable, "-c", "from so2sat_hf.cli import cli; cli()", "demo", "here"]
        done = subprocess.run(args, cwd=tmp_path, capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr
        for word in (
            "generated",
            "built",
            "verified",
            "load_dataset",
            "streamed",
            "drew 17",
            "trained vit-tiny-8",
            "Next",
        ):
            assert word in done.stdout
    with Image.open(tmp_path / "here" / "contact_sheet.png") as picture:
        assert picture.width > 500
    assert (tmp_path / "here" / "run" / "report.html").is_file()
    assert "Warning" not in done.stderr
