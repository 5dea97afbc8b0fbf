"""Whatever breaks a run off, users find the old state or the new one, and the next run finishes it.

60 points in all; in the long lane 200 for build and push, and 40 for every other command, whose counts are
written to ``benchmarks/results/faults.json``.
"""

import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench import Bench
from harms import harm, kinds_of
from hub_address import HUB_URL
from jobs import build_job, map_job, push_job, stream_job, train_job, verify_job
from local_hub import LocalHub
from runs import Zygote, disk, zygote
from scenes import mosaic, write_scene
from trained import train_args

from so2sat_hf.convert.build import build
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.load.by_id import patches

ROOM = 1 << 30
"""Bytes of the file system that runs write to."""

POINTS = {"build": 16, "push": 14, "verify": 8, "stream": 8, "train": 6, "map": 8}
MANY = {"build": 200, "push": 200, "verify": 40, "stream": 40, "train": 40, "map": 40}
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "faults.json"


@pytest.fixture(scope="module")
def materials(raw: Path, source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Datasets, a model and a scene to work with."""
    folder = tmp_path_factory.mktemp("faults")
    build(source, folder / "built", BuildOptions(rows_per_shard=50), jobs=1)
    build(source, folder / "old", BuildOptions(rows_per_shard=90), jobs=1)
    build(source, folder / "shards", BuildOptions(file_format="arrow", rows_per_shard=50), jobs=1)
    pixels = mosaic(
        patches([f"testing/{row:06d}" for row in range(64)], folder / "built", columns=["sen2"]).sen2, 8
    )
    write_scene(folder / "scene.tif", pixels)
    write_scene(folder / "older.tif", pixels[:, :96, :96])
    return {"raw": raw, "folder": folder, **{path.stem: path for path in folder.iterdir()}}


@pytest.fixture(scope="module")
def herd(hub_server: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """The process that forks runs; it may ask the local Hub, as Maria."""
    hub_server.reset()
    token = hub_server.add_user("maria", orgs={"zhu-xlab": "write"})
    home = tmp_path_factory.mktemp("home")
    (home / ".agent_harnesses.json").write_text('{"harnesses": {}, "standardEnvVars": []}')
    variables = {"HF_ENDPOINT": HUB_URL, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_TOKEN": token}
    with zygote(variables) as started:
        yield started
    hub_server.reset()


@pytest.fixture
def bench(
    request: pytest.FixtureRequest,
    herd: Zygote,
    hub_server: LocalHub,
    materials: dict[str, Path],
    tmp_path: Path,
) -> Iterator[Bench]:
    built, shards = materials["built"], materials["shards"]
    jobs = {
        "build": lambda: build_job(materials["raw"], materials["old"]),
        "verify": lambda: verify_job(materials["raw"], built),
        "push": lambda: push_job(hub_server, built),
        "stream": lambda: stream_job(built),
        "train": lambda: train_job(
            lambda run: train_args(
                shards, run, num_train_epochs=2, per_device_train_batch_size=128, preset="s2"
            ),
            (),
        ),
        "map": lambda: map_job(model(herd, materials), materials["scene"], old_map(herd, materials)),
    }
    with disk(tmp_path / "disk", ROOM) as small:
        found = Bench(herd, small, hub_server, jobs[request.param](), tmp_path / "log")
        found.learn()
        yield found


def model(herd: Zygote, materials: dict[str, Path]) -> Path:
    """A model of Sentinel-2; it need not be a good one."""
    run = materials["folder"] / "run"
    if not run.is_dir():
        args = train_args(materials["shards"], run, preset="s2", per_device_train_batch_size=128)
        assert herd.run(["train", *args], materials["folder"] / "log") == 0
    return run


def old_map(herd: Zygote, materials: dict[str, Path]) -> Path:
    """A map of another scene, in whose place the new one comes."""
    out = materials["folder"] / "old_map.tif"
    if not out.is_file():
        args = ["map", str(model(herd, materials)), str(materials["older"]), str(out)]
        assert herd.run(args, materials["folder"] / "log") == 0
    return out


def check_end(kind: str, code: int, said: str) -> None:
    """A run that was not killed ends with one line that says what is wrong."""
    assert "Traceback" not in said, said
    if "kill" in kind:
        assert code in (0, -signal.SIGKILL), (code, said)
    elif kind == "interrupt":
        assert code in (0, 130), (code, said)
        assert code == 0 or "Interrupted" in said, said
    else:
        assert code in (0, 1), (code, said)
        assert code == 0 or "Error: " in said, said


def point(bench: Bench, kind: str, dice: random.Random) -> None:
    """Break one run off; look; run again; look."""
    before = bench.prepare(older=dice.random() < 0.5)
    code = harm(bench, kind, dice)
    said = bench.log.read_text() if bench.log.is_file() else ""
    if bench.disk.is_mounted:
        bench.disk.seal(sealed=False)
        bench.disk.resize(ROOM)
    bench.hub.plans.waiting.clear()
    check_end(kind, code, said)
    found = bench.job.state(bench.folder)
    assert bench.job.is_whole(found, before, bench.after), (code, said, found)
    if code == 0:
        assert found == bench.after, said

    again = bench.log.with_suffix(".again")
    again.unlink(missing_ok=True)
    if bench.job.name == "train" and found == bench.after:
        return  # a finished run is not run again
    assert bench.zygote.run(bench.job.argv(bench.folder), again) == 0, again.read_text()
    assert bench.job.state(bench.folder) == bench.after
    left = [path for path in bench.folder.rglob("*") if path.name.endswith((".part", ".tiles"))]
    assert not left, left


def break_off(bench: Bench, points: int, seed: int) -> Counter[str]:
    """Break off so many runs; return how often each thing happened."""
    dice, counts = random.Random(f"{bench.job.name} {seed}"), Counter[str]()
    kinds = kinds_of(bench.job, is_mounted=bench.disk.is_mounted)
    for number in range(points):
        kind = kinds[number % len(kinds)]
        try:
            point(bench, kind, dice)
        except Exception as error:
            raise AssertionError(f"{bench.job.name}, point {number}, {kind}") from error
        counts[kind] += 1
    return counts


@pytest.mark.parametrize("bench", list(POINTS), indirect=True)
def test_broken_off_runs_lose_nothing(bench: Bench) -> None:
    """Killed, interrupted, without room, sealed, with failing calls, reads and servers, twice at once."""
    break_off(bench, POINTS[bench.job.name], seed=1)


@pytest.mark.full
@pytest.mark.parametrize("bench", list(MANY), indirect=True)
def test_many_broken_off_runs_lose_nothing(bench: Bench) -> None:
    """As above, often; the counts are kept."""
    started = time.monotonic()
    counts = break_off(bench, MANY[bench.job.name], seed=2)
    keep(
        bench.job.name,
        {
            "points": sum(counts.values()), "violations": 0, "kinds": dict(sorted(counts.items())),
            "seconds": round(time.monotonic() - started),
        },
    )  # fmt: skip


def keep(name: str, found: dict[str, Any]) -> None:
    """Write the counts of a command into the results, beside those of others."""
    sys.path.insert(0, str(RESULTS.parents[1]))
    import measure

    jobs: dict[str, Any] = json.loads(RESULTS.read_text())["jobs"] if RESULTS.is_file() else {}
    measure.write_result(RESULTS, {"jobs": {**jobs, name: found}})
