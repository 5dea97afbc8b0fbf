"""The clock of every reader of ``load.py``: standard library and numpy only, for any environment.

A reader is ``load_X.py PLACE PATTERN [--bands all|s2|rgb] [--workers N] [--threads N] [--seconds S]`` and
hands in one function that starts an epoch: an iterable of batches, each a dict with ``label`` and arrays or
tensors of pixels that own their memory.

Whoever finishes an epoch within 1.5 seconds is timed over the whole epochs that follow, their start included,
for at least ``--seconds``. Whoever does not is timed from the next batch on, inside the epoch: what was spent
on starting and on filling buffers is then not counted. Ours are always timed over whole epochs, after one
that is not timed: a window is ready at once, so that a part of an epoch would say too much. So are the
limits.
"""

import argparse
import multiprocessing
import os
import time
from pathlib import Path

BATCH = 256
LEAST_ROWS = 2048
"""Timed inside an epoch at least: some readers give hundreds of patches at once, then none for long."""

WARM_SECONDS = 1.5
RGB = ("B04", "B03", "B02")


def arguments_of(patterns):
    """Parse the command line of a reader."""
    parser = argparse.ArgumentParser()
    parser.add_argument("place")
    parser.add_argument("pattern", choices=tuple(patterns))
    parser.add_argument("--bands", default="all", choices=("all", "s2", "rgb"))
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0)
    return parser.parse_args()


def timed(epoch, seconds, *, whole=False):
    """Run epochs and return rows, seconds, and what a patch is.

    Args:
        epoch: called without arguments; starts one epoch and returns an iterable of batches.
        seconds: how long to measure at least.
        whole: never time a part of an epoch.

    Returns:
        A dict: ``rows`` and ``seconds`` timed, ``epochs`` (0: a part of one), ``bytes_of_patch`` of pixels as
        they arrive, ``rows_of_epoch`` and ``labels`` (their sum) where a whole epoch was read before.
    """
    begun, rows, labels, timed_rows, start = time.perf_counter(), 0, 0, 0, None
    found = {"epochs": 0}
    for batch in epoch():
        count = len(batch["label"])
        if start is not None:
            timed_rows += count
            taken = time.perf_counter() - start
            if taken >= seconds and timed_rows >= LEAST_ROWS:
                return {**found, "rows": timed_rows, "seconds": taken}
        elif not whole and time.perf_counter() - begun > WARM_SECONDS:
            start = time.perf_counter()
        found.setdefault("bytes_of_patch", pixel_bytes(batch))
        rows, labels = rows + count, labels + int(batch["label"].sum())
        del batch
    found |= {"rows_of_epoch": rows, "labels": labels}
    start = time.perf_counter()
    taken = timed_rows = 0
    while taken < seconds:
        for batch in epoch():
            timed_rows += len(batch["label"])
        found["epochs"] += 1
        taken = time.perf_counter() - start
    return {**found, "rows": timed_rows, "seconds": taken}


def pixel_bytes(batch):
    """Return the bytes of one patch in a batch, without its label."""
    pixels = [array for name, array in batch.items() if name in ("image", "sen1", "sen2")]
    return sum(array.nbytes for array in pixels) // len(batch["label"])


def rss():
    """Return the resident memory of this process, in bytes: anonymous, and mapped from files."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(fields[key].split()[0]) * 1024 for key in ("RssAnon", "RssFile"))


def finish():
    """Leave without waiting for threads of streams that were not read to their end, nor for idle workers."""
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    os._exit(0)


def declare_operators():
    """Declare the two operators that torchvision's import asks for.

    Its wheels on the default index are made for CUDA builds of torch; beside a CPU build their operators
    cannot be loaded, and the import fails. No reader calls them.
    """
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        import sys

        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
    else:
        return None
    operators = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return operators
