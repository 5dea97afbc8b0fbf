"""Run independent tasks in this process, in processes of our own, or on any borrowed executor."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import TypeVar

from so2sat_hf.errors import So2SatError

Key = TypeVar("Key")
Task = TypeVar("Task")
Result = TypeVar("Result")


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    function: Callable[[Task], Result],
    tasks: Mapping[Key, Task],
    *,
    jobs: int | None = None,
    executor: Executor | None = None,
) -> Iterator[tuple[Key, Result]]:
    """Run a function on every task and yield each result as it comes.

    The first failure is raised at once and cancels what has not begun.

    Args:
        function: a module-level function, so that it can be sent to another process.
        tasks: key -> argument; picklable.
        jobs: processes at work, this one among them; default: one per core.
        executor: used instead of processes of our own, and left running.

    Raises:
        So2SatError: a worker process was killed from outside.
    """
    jobs = min(jobs or num_cores(), len(tasks))
    if executor is None and jobs <= 1:
        for key, task in tasks.items():
            yield key, function(task)
        return
    with _pool(jobs - 1) if executor is None else _borrowed(executor) as pool:
        futures = {pool.submit(function, task): key for key, task in tasks.items()}
        try:
            if executor is None:  # this process works too; while a pool is starting, it alone
                for future in reversed(list(futures)):
                    if future.cancel():
                        key = futures.pop(future)
                        yield key, function(tasks[key])
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise So2SatError(
                "worker",
                found="a worker process died, probably for lack of memory",
                remedy="run the same command again with fewer --jobs: it continues",
            ) from error
        finally:
            for future in futures:
                future.cancel()


@contextmanager
def _borrowed(executor: Executor) -> Iterator[Executor]:
    """Use an executor without shutting it down."""
    yield executor


def _pool(jobs: int) -> ProcessPoolExecutor:
    """Processes that start fresh (no inherited threads or locks) and end when this one does."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, mp_context=context, initializer=_follow_parent)


def _follow_parent() -> None:
    """In a worker: leave Ctrl-C to the parent, and exit if the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            wait([parent.sentinel])
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()
