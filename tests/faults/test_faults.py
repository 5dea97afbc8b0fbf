"""Whatever breaks a run off, users find the old state or the new one, and the next run finishes it.

60 points in all; in the long lane 200 for build and push, and 40 for every other command, whose counts are
written to ``benchmarks/results/faults.json``.
"""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hub_address import HUB_URL
from injury import read_diary
from jobs import Job, State, build_job, map_job, push_job, stream_job, train_job, verify_job
from local_hub import Fault, LocalHub
from runs import Disk, Zygote, disk, zygote
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


@dataclass
class Bench:
    """Everything that a point needs."""

    zygote: Zygote
    disk: Disk
    hub: LocalHub
    job: Job
    log: Path
    after: State = field(default_factory=dict)
    """What a run leaves that nobody broke off."""

    seconds: float = 0.0
    """How long it took."""

    calls: dict[str, int] = field(default_factory=dict)
    """Calls of the operating system in its folder."""

    used: int = 0
    """Bytes that it took."""

    @property
    def folder(self) -> Path:
        return self.disk.folder

    def injury(self, **harm: Any) -> dict[str, Any]:
        return {"root": str(self.folder), **harm}

    def prepare(self, *, older: bool) -> State:
        """Empty the folder, and set it up; return what users see."""
        self.log.unlink(missing_ok=True)
        self.disk.clear()
        self.job.setup(self.folder, older)
        return self.job.state(self.folder)

    def learn(self) -> None:
        """Let a run finish: what it leaves, how long it takes, how many calls there are."""
        for _ in range(2):  # the second one finds caches filled
            self.prepare(older=False)
            diary = self.log.with_suffix(".diary")
            started, used = time.monotonic(), self.disk.used()
            code = self.zygote.run(self.job.argv(self.folder), self.log, self.injury(diary=str(diary)))
            self.seconds, self.used = time.monotonic() - started, self.disk.used() - used
            assert code == 0, self.log.read_text()
        self.after = self.job.state(self.folder)
        known = read_diary(diary)
        self.calls = known["counts"]
        assert self.after
        assert not [path for path in known["undurable"] if "receipts" not in path], known["undurable"]
        if self.job.name in ("build", "map"):  # checkpoints are the Trainer's, which marks them as finished
            assert not known["direct"], known["direct"]


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


def kinds_of(job: Job, *, is_mounted: bool) -> list[str]:
    """Return what can happen to a command."""
    kinds = ["kill", "kill", "interrupt"]
    if job.writes:
        kinds += ["kill at a call", "kill at a call", "failing call", "failing write"]
    kinds += ["full disk", "sealed disk"] if is_mounted else []
    kinds += ["failing read"] if job.inputs and shutil.which("strace") else []
    kinds += ["two runs"] if job.is_locked else []
    kinds += ["failing server", "kill at a request"] if job.name == "push" else []
    return kinds


def harm(bench: Bench, kind: str, dice: random.Random) -> int:
    """Run the command of the bench, and break it off; return how it ended."""
    argv = bench.job.argv(bench.folder)
    if kind in ("kill", "interrupt"):
        number = signal.SIGKILL if kind == "kill" else signal.SIGINT
        return bench.zygote.stop_after(dice.uniform(0, 1.1) * bench.seconds, argv, bench.log, number)
    if kind == "full disk":
        bench.disk.resize(max(4096, bench.disk.used() + int(dice.uniform(0, 1) * bench.used)))
        return bench.zygote.run(argv, bench.log)
    ways = {
        "sealed disk": sealed_disk, "two runs": two_runs, "failing read": failing_read,
        "failing server": failing_server, "kill at a request": kill_at_a_request,
    }  # fmt: skip
    if kind in ways:
        return ways[kind](bench, argv, dice)
    calls = "writes" if kind == "failing write" or dice.random() < 0.2 else "changes"
    deaths, errors = ("kill before", "kill after"), ("EIO", "ENOSPC", "EACCES", "EROFS")
    how = dice.choice(deaths if kind == "kill at a call" else errors)
    last = max(1, bench.calls[calls])
    at = dice.choice([dice.randint(1, last), max(1, last - dice.randint(0, 30))])  # the end names things
    return bench.zygote.run(argv, bench.log, bench.injury(calls=calls, at=at, how=how))


def sealed_disk(bench: Bench, argv: list[str], dice: random.Random) -> int:
    """The disk becomes read-only: before the run, or at some time during it."""
    if dice.random() < 0.5:
        seal(bench.disk)
        return bench.zygote.run(argv, bench.log)
    pid = bench.zygote.start(argv, bench.log)
    time.sleep(dice.uniform(0, 1) * bench.seconds)
    seal(bench.disk)
    return bench.zygote.wait(pid)


def seal(small: Disk) -> None:
    """A file that is being written keeps a disk from being sealed."""
    for _ in range(200):
        try:
            small.seal(sealed=True)
        except subprocess.CalledProcessError:
            time.sleep(0.005)
        else:
            return


def two_runs(bench: Bench, argv: list[str], dice: random.Random) -> int:
    """A second run begins while the first one is at work: it is told so, or finds everything done."""
    other = bench.log.with_suffix(".other")
    other.unlink(missing_ok=True)
    first = bench.zygote.start(argv, bench.log)
    time.sleep(dice.uniform(0.05, 0.9) * bench.seconds)
    second = bench.zygote.run(argv, other)
    code = bench.zygote.wait(first)
    said = other.read_text()
    assert second == 0 or (second == 1 and ("another" in said or "finished run" in said)), said
    assert code == 0, bench.log.read_text()
    return code


def failing_read(bench: Bench, argv: list[str], dice: random.Random) -> int:
    """A disk error while a library reads one of the inputs: strace answers in place of the kernel."""
    path = dice.choice(bench.job.inputs)
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import zygote; "
        "sys.exit(zygote.run(sys.argv[1:], None))"
    )
    traced = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(path), "-e", "trace=read,pread64"]
    traced += ["-e", f"inject=read,pread64:error=EIO:when={dice.randint(1, 12)}"]
    command = [*traced, sys.executable, "-c", program, str(Path(__file__).parent), *argv]
    with bench.log.open("w") as log:
        return subprocess.run(command, stdout=log, stderr=log, check=False, timeout=240).returncode


def failing_server(bench: Bench, argv: list[str], dice: random.Random) -> int:
    """From one request on the Hub fails: once, three times, or for good."""
    at, times = dice.randint(0, 60), dice.choice([1, 3, 1000])
    fault = dice.choice([Fault(status=503), Fault(status=500), Fault(cut="before"), Fault(cut="after")])
    bench.hub.inject(fault=fault, when=lambda request: request.number >= at, times=times)
    return bench.zygote.run(argv, bench.log)


def kill_at_a_request(bench: Bench, argv: list[str], dice: random.Random) -> int:
    """The run dies while the Hub works on a request."""
    at = dice.randint(0, 60)
    pid = bench.zygote.start(argv, bench.log)
    end = time.monotonic() + bench.seconds
    while len(bench.hub.log) < at and time.monotonic() < end:
        time.sleep(0.0005)
    bench.zygote.stop(pid)
    return bench.zygote.wait(pid)


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
