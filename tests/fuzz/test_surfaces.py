"""Changed input of every kind: an error of ours with a useful line, or the true rows; never anything else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fuzzing.runner import Worker, fuzz
from fuzzing.surfaces import SURFACES

ROOT = Path(__file__).parents[2]
A_FEW = 12
FEWER = {"readme": 5, "model": 6, "index": 8}
"""Those that take longer."""


@pytest.mark.parametrize("surface", SURFACES)
def test_a_few_changed_inputs(worker: Worker, surface: str) -> None:
    """The same few each time; the long lane has other and more."""
    count = fuzz(worker, surface, range(FEWER.get(surface, A_FEW)))

    assert not count.violations
    assert count.refused


def test_another_process_goes_on(worker: Worker) -> None:
    """One that died does not end the rest."""
    answer = worker.ask("training_record", 1)
    assert worker.process is not None
    worker.process.kill()
    worker.process.wait()

    again = worker.ask("training_record", 1)

    assert {answer["kind"], again["kind"]} <= {"refused", "accepted"}


@pytest.mark.full
def test_ten_thousand_changed_inputs(tmp_path: Path) -> None:
    """All surfaces, about ten minutes."""
    out = tmp_path / "fuzz.json"

    subprocess.run([sys.executable, ROOT / "benchmarks" / "fuzz.py", "--out", out], check=False)

    found = json.loads(out.read_text())
    assert found["inputs"] >= 10_000
    assert found["violations"] == 0
