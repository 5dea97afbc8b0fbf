"""What goes wrong inside of a run: the n-th call of the operating system kills it or fails.

Only calls that touch the folder of the run count: fsync, rename, unlink, mkdir, and writes and reads of files
that Python opened. Also keeps a diary for :func:`report`: how many calls there were, and which files got
their names without having been made durable before, or were written under their final names.
"""

import builtins
import errno
import io
import json
import os
import signal
from pathlib import Path
from typing import Any

CHANGES = ("fsync", "replace", "rename", "unlink", "mkdir", "rmdir")
real = {name: getattr(os, name) for name in CHANGES} | {"open": io.open, "kill": os.kill}
state: dict[str, Any] = {}


def install(harm: dict[str, Any] | None) -> None:
    """Begin to count, and to harm.

    Args:
        harm: ``root``: folder; ``calls``: ``changes``, ``writes`` or ``reads``; ``at``: which one, from 1;
            ``how``: ``kill before``, ``kill after``, or the name of an error, ``EIO``; ``diary``: file to
            write at the end. None: nothing happens.
    """
    if harm is None:
        return
    state.update(harm, counts={"changes": 0, "writes": 0, "reads": 0}, synced={}, undurable=[], direct=[])
    for name in CHANGES:
        setattr(os, name, _counted(name))
    builtins.open = io.open = _open


def report() -> None:
    """Write the diary."""
    if state.get("diary"):
        diary = {name: state[name] for name in ("counts", "undurable", "direct")}
        with real["open"](state["diary"], "w") as file:
            json.dump(diary, file)


def strike(calls: str, when: str) -> None:
    """Do harm, if this is the call for it."""
    if state.get("calls") != calls or state["counts"][calls] != state["at"]:
        return
    how = state["how"]
    if how == f"kill {when}":
        real["kill"](os.getpid(), signal.SIGKILL)
    if when == "before" and not how.startswith("kill"):
        raise OSError(getattr(errno, how), os.strerror(getattr(errno, how)))


def concerns(path: Any, dir_fd: int | None = None) -> bool:
    """Whether a path or an open file lies in the folder of the run."""
    try:
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        elif dir_fd is not None:
            path = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), path)
        return os.path.abspath(os.fsdecode(path)).startswith(state["root"])
    except OSError:
        return False


def _counted(name: str) -> Any:
    def call(path: Any, *args: Any, **options: Any) -> Any:
        folder = options.get("dir_fd") or options.get("src_dir_fd")
        if not concerns(path, folder):
            return real[name](path, *args, **options)
        state["counts"]["changes"] += 1
        strike("changes", "before")
        if name == "fsync":
            state["synced"][os.fstat(path).st_ino] = os.fstat(path).st_mtime_ns
        elif name in ("replace", "rename"):
            _check_durable(path, args[0])
        done = real[name](path, *args, **options)
        strike("changes", "after")
        return done

    return call


def _check_durable(source: Any, target: Any) -> None:
    """Note a file that gets its name while its content may still be in memory alone."""
    found = os.stat(source)
    if not os.path.isdir(source) and state["synced"].get(found.st_ino) != found.st_mtime_ns:
        state["undurable"].append(os.fspath(target))


def _open(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
    opened = real["open"](file, mode, *args, **options)
    if isinstance(file, int) or not concerns(file):
        return opened
    if set(mode) & set("wax+") and not os.fspath(file).endswith((".part", "/lock")):
        state["direct"].append(os.fspath(file))
    if "b" not in mode:
        return opened
    return Watched(opened)


class Watched:
    """A binary file whose reads and writes are counted."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def write(self, data: Any) -> int:
        state["counts"]["writes"] += 1
        strike("writes", "before")
        written: int = self.file.write(data)
        strike("writes", "after")
        return written

    def read(self, *args: Any) -> Any:
        state["counts"]["reads"] += 1
        strike("reads", "before")
        return self.file.read(*args)

    def __enter__(self) -> "Watched":
        self.file.__enter__()
        return self

    def __exit__(self, *args: object) -> None:
        self.file.__exit__(*args)

    def __iter__(self) -> Any:
        return iter(self.file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def read_diary(diary: Path) -> dict[str, Any]:
    """Return what a diary tells: ``counts`` of calls, and files ``undurable`` and ``direct``."""
    known: dict[str, Any] = json.loads(diary.read_text())
    return known
