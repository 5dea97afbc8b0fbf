"""Start runs, break them off, look how they ended."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST = 240.0
"""Seconds after which a run counts as hanging."""


@dataclass
class Zygote:
    """See zygote.py."""

    process: "subprocess.Popen[str]"

    def _ask(self, question: Mapping[str, Any]) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, argv: list[str], log: Path, injury: Mapping[str, Any] | None = None) -> int:
        """Start a run; return the id of its process."""
        return int(self._ask({"run": {"argv": argv, "log": str(log), "harm": injury}}))

    def wait(self, pid: int, seconds: float = LONGEST) -> int:
        """Wait for a run; return its exit code, or minus the number of a signal."""
        code = self._ask({"wait": [pid, seconds]})
        if code is None:
            self.stop(pid)
            self._ask({"wait": [pid, 10]})
            raise AssertionError(f"a run that hung for {seconds} s")
        return int(code)

    def run(self, argv: list[str], log: Path, injury: Mapping[str, Any] | None = None) -> int:
        """Run to the end."""
        return self.wait(self.start(argv, log, injury))

    def stop_after(self, seconds: float, argv: list[str], log: Path, number: int) -> int:
        """Send a signal to all processes of a run after some time; return how it ended."""
        pid = self.start(argv, log)
        time.sleep(seconds)
        self.stop(pid, number)
        code = self.wait(pid)
        self.stop(pid)  # workers of a killed parent
        return code

    def stop(self, pid: int, number: int = signal.SIGKILL) -> None:
        """Send a signal to all processes of a run, as a terminal does."""
        with suppress(ProcessLookupError):
            os.killpg(pid, number)


@contextmanager
def zygote(environment: Mapping[str, str]) -> Iterator[Zygote]:
    """Start the process that forks runs."""
    with tempfile.NamedTemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py"))],
            env={**os.environ, **environment, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
        try:
            yield Zygote(process)
        finally:
            process.kill()
            process.communicate()


@dataclass
class Disk:
    """A small file system of its own in memory; without the right to mount one, a plain folder."""

    folder: Path
    is_mounted: bool

    def resize(self, num_bytes: int) -> None:
        """Give it another size."""
        self._remount(f"size={num_bytes}")

    def seal(self, *, sealed: bool) -> None:
        """Let nothing be written any more, or again."""
        self._remount("ro" if sealed else "rw")

    def _remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.folder)], check=True)

    def used(self) -> int:
        """Bytes in use."""
        return shutil.disk_usage(self.folder).used

    def clear(self) -> None:
        """Remove everything."""
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def disk(folder: Path, num_bytes: int = 1 << 30) -> Iterator[Disk]:
    """Mount a file system in memory."""
    folder.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={num_bytes}", "tmpfs", str(folder)]
    mounted = shutil.which("mount") and subprocess.run(["mount", *options], check=False).returncode == 0
    try:
        yield Disk(folder, bool(mounted))
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)
