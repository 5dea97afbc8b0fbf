"""The ways to break a run off."""

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench import Bench
from jobs import Job
from local_hub import Fault
from runs import Disk


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
