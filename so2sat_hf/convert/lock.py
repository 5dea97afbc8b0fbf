"""One run at a time in a folder."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from so2sat_hf.errors import FolderError

PATIENCE = 6.0
"""Seconds to wait for a folder: workers of a killed run find out within five that they are alone."""


@contextmanager
def held(folder: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold a folder for this process; it is created if missing, and free again however the process ends.

    Raises:
        FolderError: another process holds it, or it cannot be created.
    """
    end = time.monotonic() + patience
    while (number := _taken(folder)) is None:
        if time.monotonic() > end:
            raise FolderError(
                folder, found="another run is writing here", expected="one run at a time",
                remedy="wait for it, or choose another folder",
            )  # fmt: skip
        time.sleep(0.1)
    try:
        yield
    finally:
        os.close(number)


def _taken(folder: Path) -> int | None:
    """Return the folder, locked; None: another process holds it, or has removed it meanwhile."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # removed between the two
        return None
    except OSError as error:
        raise FolderError(
            folder, found=f"cannot be used ({error.strerror or error})", expected="a folder to write to"
        ) from error
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(number), folder.stat()):
            return number
    except (BlockingIOError, FileNotFoundError):  # held; or removed by a run that has finished
        pass
    os.close(number)
    return None
