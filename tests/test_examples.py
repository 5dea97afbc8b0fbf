"""Every script of examples/ does what its first lines say, on small data."""

import os
import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hub_folders import put
from local_hub import LocalHub
from tiny_models import tiny

from so2sat_hf.convert.build import build
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def shards(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples") / "shards"
    build(source, folder, BuildOptions(file_format="arrow"), jobs=1)
    return folder


def script(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def test_every_example_is_listed_and_tested() -> None:
    """In its README, and here."""
    listed = re.findall(r"^\| `(\w+\.\w+)`", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    there = sorted(path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".sh"))
    assert sorted(listed) == there
    text = Path(__file__).read_text()
    assert all(name.partition(".")[0] in text for name in there)


@pytest.mark.filterwarnings("ignore:'pin_memory'")
def test_stock_trainer(shards: Path, tmp_path: Path) -> None:
    """Trained, and better than the largest class."""
    metrics = script("stock_trainer")["main"](str(shards), str(tmp_path / "run"))
    assert metrics["eval_oa"] > 0.15


def test_plain_loop(shards: Path) -> None:
    """Both sensors, by hand."""
    assert script("plain_loop")["main"](str(shards))["oa"] > 0.15


def test_stream_from_hub(
    source: RawSource, hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More steps than an epoch has, and the loss falls."""
    build(source, tmp_path / "out", jobs=1)
    put(hub, tmp_path / "out", "maria/lcz")
    monkeypatch.chdir(tmp_path)

    losses = script("stream_from_hub")["main"]("maria/lcz", "7")

    assert len(losses) == 7
    assert losses[-1] < losses[0]
    assert (tmp_path / "stream.pt").is_file()


def test_linear_probe(shards: Path, tmp_path: Path) -> None:
    """Features of a backbone that was never trained still tell water from forest."""
    tiny("dinov2", image_size=224, patch_size=14).save_pretrained(tmp_path / "backbone")

    assert script("linear_probe")["main"](str(shards), str(tmp_path / "backbone"))["oa"] > 0.15


def test_many_gpus(shards: Path, tmp_path: Path) -> None:
    """The launch line, with two processes on CPUs; bf16 goes with them, too."""
    flags = ["--use_cpu", "True", "--model", "vit-tiny-8", "--max_steps", "2", "--save_strategy", "no"]
    flags += ["--eval_strategy", "no", "--load_best_model_at_end", "False", "--preset", "rgb"]
    done = subprocess.run(
        ["bash", str(EXAMPLES / "many_gpus.sh"), str(shards), str(tmp_path / "run"), *flags],
        env={**os.environ, "NUM_PROCESSES": "2", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "README.md").is_file()
