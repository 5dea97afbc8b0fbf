"""A process that tries inputs, one after the other, and says what came of each.

``python -m fuzzing.worker BASE``: reads lines ``SURFACE SEED``, answers each with a line of JSON:
``accepted``, ``refused`` or ``violation``, what was said, and seconds.
"""

import json
import os
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

ROOM = 3 << 30
"""Bytes of address space beyond what is in use before the first input."""

REFUSED = "refused"
"""What an attempt returns if it was told so, not by an exception."""

MOST_MEMORY = 800 << 20
"""Resident bytes that a single input may take."""


def main(base: Path) -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    warnings.simplefilter("ignore")
    from fuzzing.surfaces import HOSTILE, SURFACES

    attempts: dict[str, Any] = {}
    for line in sys.stdin:
        name, seed = line.split()
        if name not in attempts:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            attempts[name] = (SURFACES | HOSTILE)[name](base)
            limit = _status("VmSize") + ROOM
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        answers.write(json.dumps(_outcome(attempts[name], int(seed))) + "\n")
        answers.flush()


def _outcome(attempt: Callable[[Random, Path], str | None], seed: int) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before, start = _status("VmRSS"), time.perf_counter()
    try:
        kind, said = judged(lambda: attempt(Random(seed), folder))
    finally:
        seconds = time.perf_counter() - start
        shutil.rmtree(folder, ignore_errors=True)
    taken = _status("VmHWM") - before
    if taken > MOST_MEMORY:
        kind, said = "violation", f"{taken >> 20} MB of memory; {said}"
    return {"kind": kind, "said": said, "seconds": round(seconds, 3)}


def judged(act: Callable[[], object]) -> tuple[str, str]:
    """Try an input; return ``accepted``, ``refused`` or ``violation``, and what was said."""
    from so2sat_hf.errors import So2SatError

    try:
        result = act()
    except So2SatError as error:
        problem = _complaint(error)
        return ("violation", f"{problem}: {error}") if problem else ("refused", str(error)[:300])
    except AssertionError as error:
        return "violation", f"accepted, but {error or traceback.format_exc(limit=-1)}"
    except BaseException as error:  # noqa: BLE001 (whatever it is, it is not what was promised)
        return "violation", f"{type(error).__name__}: {str(error)[:300]} at {_where(error)}"
    return ("refused" if result == REFUSED else "accepted"), ""


def _complaint(error: Any) -> str:
    """Say what is wrong with an error: of no use to people, or told only after all memory was asked for."""
    if not (error.thing.strip() and error.found.strip() and (error.expected or error.remedy)):
        return "says neither what was expected nor what to do"
    if len(str(error)) > 3000:
        return "says too much"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return "asked for too much memory"
        cause = cause.__cause__ or cause.__context__
    return ""


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "so2sat_hf/" in frame.filename]
    return " < ".join(
        f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed((ours or frames)[-3:])
    )


def _status(name: str) -> int:
    """Return bytes out of /proc/self/status."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    main(Path(sys.argv[1]))
