"""Two processes on CPUs: one loss curve, every patch of a test once, and killed runs continued to the bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from trained import NEEDS_TRAIN, train_args

from so2sat_hf.training.run import newest_checkpoint

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node"]
SCRIPT = ["-m", "so2sat_hf.training.finetune"]


def start(args: list[str], ranks: int) -> "subprocess.Popen[str]":
    """Start a training in processes of its own."""
    many = [*TORCHRUN, str(ranks)] if ranks > 1 else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *many, *SCRIPT, *args],
        env=environment, start_new_session=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(args: list[str], ranks: int) -> str:
    process = start(args, ranks)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said[-3000:]
    return said


def losses(run: Path) -> list[float]:
    history = json.loads((run / "trainer_state.json").read_text())["log_history"]
    return [line["loss"] for line in history if "loss" in line]


STEPS: dict[str, Any] = {
    "num_train_epochs": 4, "logging_steps": 1, "dataloader_drop_last": True,
    "eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes that nobody interrupted."""
    pytest.importorskip("accelerate", reason=NEEDS_TRAIN)
    folder = tmp_path_factory.mktemp("two") / "run"
    finish(train_args(shards, folder, per_device_train_batch_size=32, **STEPS), 2)
    return folder


def test_two_processes_learn_as_one(whole: Path, shards: Path, tmp_path: Path) -> None:
    """The same global batches give the same losses; reports count every patch once."""
    finish(train_args(shards, tmp_path / "run", per_device_train_batch_size=64, **STEPS), 1)

    one, two = losses(tmp_path / "run"), losses(whole)
    assert len(one) == 16
    assert np.abs(np.array(one) - np.array(two)).max() < 2e-4
    tables = [pq.read_table(run / "predictions.parquet").to_pydict() for run in (tmp_path / "run", whole)]
    assert tables[0]["id"] == tables[1]["id"]
    assert len(set(tables[0]["id"])) == 70
    assert np.abs(np.array(tables[0]["probabilities"]) - np.array(tables[1]["probabilities"])).max() < 1e-3
    assert json.loads((whole / "so2sat.json").read_text())["arguments"]["devices"] == 2


def kill_somewhere(args: list[str], run: Path, ranks: int, seed: int) -> None:
    """Kill all processes of a training at a random moment after its first checkpoint."""
    process = start(args, ranks)
    deadline = time.monotonic() + 200
    while newest_checkpoint(run) is None:
        assert process.poll() is None, (process.stdout.read() if process.stdout else "")[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(random.Random(seed).uniform(0, 1.5))
    every = [
        process,
        *psutil.Process(process.pid).children(recursive=True),
    ]  # torchrun's are not of its group
    for each in reversed(every):
        os.kill(each.pid, signal.SIGKILL)
    process.communicate()


def check_continued(args: list[str], run: Path, whole: Path, ranks: int, seed: int) -> None:
    """Kill a training, continue it, and compare with one that nobody interrupted."""
    kill_somewhere(args, run, ranks, seed)
    assert not (run / "README.md").exists(), "it was finished before it could be killed"

    finish(args, ranks)

    for name in ("model.safetensors", "predictions.parquet", "confusion.png"):
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.full
def test_a_killed_run_of_two_processes_continues(whole: Path, shards: Path, tmp_path: Path) -> None:
    """Final weights and predictions are those of the uninterrupted run, to the bit."""
    args = train_args(shards, tmp_path / "run", per_device_train_batch_size=32, **STEPS)
    check_continued(args, tmp_path / "run", whole, ranks=2, seed=0)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("feed", ["table", "stream", "resident"])
def test_killed_anywhere(feed: str, ranks: int, seed: int, shards: Path, tmp_path: Path) -> None:
    """All ways to feed, one process and two."""
    options = {**STEPS, "feed": feed, "mixup": 0.2, "per_device_train_batch_size": 64 // ranks}
    runs = {name: train_args(shards, tmp_path / name, **options) for name in ("whole", "cut")}
    finish(runs["whole"], ranks)
    check_continued(runs["cut"], tmp_path / "cut", tmp_path / "whole", ranks, seed)
