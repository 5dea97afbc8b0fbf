"""Watch a worker: give it inputs, count what comes of them; a crash or a hang ends only the worker."""

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]
PATIENCE = 60.0
"""Seconds for one input, on a machine that does other things, too."""

FIRST_PATIENCE = 240.0
"""Seconds for the first input of a surface, which makes the valid files."""


@dataclass
class Count:
    """What came of the inputs of a surface."""

    inputs: int = 0
    refused: int = 0
    accepted: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)
    """Seed, and what was said instead."""


class Worker:
    """The process; starts when it is needed."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.process: subprocess.Popen[str] | None = None
        self.known: set[str] = set()

    def ask(self, surface: str, seed: int) -> dict[str, Any]:
        """Try one input."""
        process = self._running()
        assert process.stdin is not None
        process.stdin.write(f"{surface} {seed}\n")
        process.stdin.flush()
        patience = PATIENCE if surface in self.known else FIRST_PATIENCE
        self.known.add(surface)
        start = time.perf_counter()
        line = self._line(process, patience)
        if line:
            return dict(json.loads(line))
        seconds = time.perf_counter() - start
        code = process.poll()
        self.close()
        said = f"no answer after {patience:.0f} s" if code is None else f"the process died, exit code {code}"
        return {"kind": "violation", "said": said, "seconds": seconds}

    def _running(self) -> subprocess.Popen[str]:
        if self.process is None or self.process.poll() is not None:
            self.close()
            self.known.clear()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fuzzing.worker", str(self.base)], env=_environment(), text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        return self.process

    @staticmethod
    def _line(process: subprocess.Popen[str], patience: float) -> str:
        """Return the answer; empty if there is none."""
        with selectors.DefaultSelector() as selector:
            assert process.stdout is not None
            selector.register(process.stdout, selectors.EVENT_READ)
            line = process.stdout.readline() if selector.select(patience) else ""
        if not line and selector:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
        return line

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                if stream is not None:
                    with suppress(BrokenPipeError):
                        stream.close()
        self.process = None


def fuzz(worker: Worker, surface: str, seeds: Iterable[int]) -> Count:
    """Try inputs of a surface."""
    count = Count()
    for seed in seeds:
        answer = worker.ask(surface, seed)
        count.inputs += 1
        count.seconds += answer["seconds"]
        if answer["kind"] == "violation":
            count.violations.append(f"{surface} {seed}: {answer['said']}")
        elif answer["kind"] == "refused":
            count.refused += 1
        else:
            count.accepted += 1
    return count


def _environment() -> dict[str, str]:
    """Return the environment of a worker: no network, one thread, allocations as the system makes them."""
    ours = {
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)]), "COLUMNS": "100",
        "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9",
        "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system",
        "TRANSFORMERS_VERBOSITY": "critical", "GDAL_PAM_ENABLED": "NO",
    }  # fmt: skip
    return {**os.environ, **ours}
