"""Killed at any moment: the next run continues and the result is the same to the byte."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.unpack import sha256_of
from so2sat_hf.convert.workspace import UNFINISHED, WORK

ROWS_PER_SHARD = 10


def snapshot(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and WORK not in path.parts
    }


def command(raw: Path, out: Path, jobs: int) -> list[str]:
    start = "from so2sat_hf.cli import cli; cli()"
    rows = str(ROWS_PER_SHARD)
    return [
        sys.executable,
        "-c",
        start,
        "build",
        str(raw),
        str(out),
        "--rows-per-shard",
        rows,
        "-j",
        str(jobs),
    ]


@pytest.mark.parametrize("num_kills", [4, pytest.param(50, marks=pytest.mark.full)])
def test_killed_builds_resume(raw: Path, tmp_path: Path, num_kills: int) -> None:
    """SIGKILL at random times, as often as it takes: no file with a final name is ever partial."""
    reference = tmp_path / "reference"
    subprocess.run(command(raw, reference, 1), check=True, capture_output=True)
    expected = snapshot(reference)
    staged = {path: expected[path] for path in Manifest.read(reference).tables}
    started = time.monotonic()
    subprocess.run(command(raw, tmp_path / "timing", 2), check=True, capture_output=True)
    duration = time.monotonic() - started

    dice = random.Random(7)
    kills = interrupted = 0
    while kills < num_kills:
        out = tmp_path / f"out{kills}"
        for _ in range(dice.choice([1, 2])):
            kills += 1
            process = subprocess.Popen(
                command(raw, out, dice.choice([1, 2])),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            time.sleep(dice.uniform(0.3, 1.0) * duration)
            interrupted += process.poll() is None
            process.kill()
            process.wait()
            check_nothing_partial(out, expected, staged)
        subprocess.run(command(raw, out, 2), check=True, capture_output=True)
        assert snapshot(out) == expected
    assert interrupted >= kills / 2


def check_nothing_partial(out: Path, expected: dict[str, str], staged: dict[str, str]) -> None:
    """Whatever has a final name, published or staged, is complete."""
    found = snapshot(out) if out.is_dir() else {}
    if "README.md" in found and (out / "README.md").read_text() == UNFINISHED:
        del found["README.md"]  # files are getting their names
    assert {name: digest for name, digest in found.items() if ".part" not in name}.items() <= expected.items()
    if "README.md" in found:
        assert "manifest.json" in found
    for stage in (path for path in (out / WORK).glob("*") if path.is_dir()):
        for path in [path for name in ("data", "index", "mini", "rgb") for path in (stage / name).rglob("*")]:
            name = re.sub("-[0-9a-f]{16}$", "", path.relative_to(stage).as_posix())  # of a companion's key
            assert path.is_dir() or path.suffix == ".part" or sha256_of(path) == staged[name]


def test_workers_end_with_their_parent(raw: Path, tmp_path: Path) -> None:
    """A killed build leaves no process behind that would hold memory or write on."""
    process = subprocess.Popen(
        command(raw, tmp_path / "out", 2), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    children: list[int] = []
    while len(children) < 2 and process.poll() is None:
        children = children_of(process.pid)
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert children
    deadline = time.monotonic() + 20
    while any(is_alive(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [child for child in children if is_alive(child)]


def children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
