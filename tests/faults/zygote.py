"""A process that has imported everything, and forks a run of ``so2sat`` whenever it is asked to.

Hundreds of runs that are killed would otherwise spend their time with imports. Reads one JSON object a line:
``{"run": {"argv", "log", "injury"}}`` is answered with the id of a process, ``{"wait": [id, seconds]}`` with
its exit status (minus the number of the signal that ended it), or null.
"""

import json
import os
import signal
import sys
import time
import traceback
import types
from pathlib import Path
from typing import Any

import injury
import stream_run


def preload() -> None:
    """Import what the commands would import one by one."""
    import datasets
    import rasterio.warp
    import torch
    import transformers.models.vit.modeling_vit

    import so2sat_hf.cli
    import so2sat_hf.convert.build
    import so2sat_hf.convert.verify
    import so2sat_hf.hub.push
    import so2sat_hf.hub.trial
    import so2sat_hf.maps.lcz_map
    import so2sat_hf.training.finetune
    from so2sat_hf.hub import patience

    _ = datasets, rasterio, torch, transformers, so2sat_hf
    quick: Any = types.SimpleNamespace(**vars(time))
    quick.sleep = lambda seconds: time.sleep(min(seconds, 0.01))
    patience.time = quick


def fork(argv: list[str], log: str, harm: dict[str, Any] | None) -> int:
    """Start a run; return the id of its process, which leads a group of its own."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(output, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os._exit(run(argv, harm))


def run(argv: list[str], harm: dict[str, Any] | None) -> int:
    """Run a command in this process; return its exit code."""
    from so2sat_hf.cli import cli

    injury.install(harm)
    code = 0
    try:
        stream_run.main(argv[1:]) if argv[0] == "stream" else cli(argv)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 (a traceback is what the tests look for)
        traceback.print_exc()
        code = 70
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or 1
    injury.report()
    return code


def wait(child: int, seconds: float) -> int | None:
    """Return how a process ended; None if it has not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def main() -> None:
    preload()
    for line in sys.stdin:
        asked = json.loads(line)
        if "run" in asked:
            answer: int | None = fork(**asked["run"])
        else:
            answer = wait(*asked["wait"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
