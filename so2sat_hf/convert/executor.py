"""Run independent tasks in this process, in processes of our own, or on any borrowed executor."""

import importlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures import wait as wait_for_futures
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing.connection import wait
from types import FrameType
from typing import Generic, TypeVar

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
    crew: "Crew | None" = None,
) -> Iterator[tuple[Key, Result]]:
    """Run a function on every task and yield each result as it comes.

    The first failure is raised at once and cancels what has not begun.

    Args:
        function: a module-level function, so that it can be sent to another process.
        tasks: key -> argument; picklable.
        jobs: processes at work, this one among them; default: one per core.
        executor: used instead of processes of our own, and left running.
        crew: processes of our own that were :func:`started` before.

    Raises:
        So2SatError: a worker process was killed from outside.
    """
    jobs = min(jobs or num_cores(), len(tasks))
    with _noticed() as interrupted:
        try:
            if executor is not None:
                results = _submit_all(function, tasks, executor)
            elif jobs <= 1:
                results = ((key, function(task)) for key, task in tasks.items())
            else:
                crews = started(jobs) if crew is None else nullcontext(crew)
                results = _work(function, tasks, crews)
            with closing(results):
                for result in results:
                    yield result
                    if interrupted.is_set():
                        raise KeyboardInterrupt
        except BrokenProcessPool as error:
            if interrupted.is_set():
                raise KeyboardInterrupt from error
            raise _worker_died() from error


def _work(
    function: Callable[[Task], Result], tasks: Mapping[Key, Task], crews: AbstractContextManager["Crew"]
) -> Generator[tuple[Key, Result], None, None]:
    with crews as crew:
        yield from _Shift(function, tasks, crew).results()


def _worker_died() -> So2SatError:
    return So2SatError(
        "worker",
        found="a worker process died, for lack of memory, or because a script calls this without a guard",
        remedy="run the same command again with fewer --jobs: it continues. "
        "In a script, call it below `if __name__ == '__main__':`",
    )


def _submit_all(
    function: Callable[[Task], Result], tasks: Mapping[Key, Task], executor: Executor
) -> Generator[tuple[Key, Result], None, None]:
    futures = {executor.submit(function, task): key for key, task in tasks.items()}
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        for future in futures:
            future.cancel()


@dataclass(frozen=True, slots=True)
class Crew:
    """Processes that wait for tasks."""

    pool: Executor
    """Takes their tasks."""

    size: int
    """How many they are, this process not among them."""


@contextmanager
def started(jobs: int | None, module: str | None = None) -> Iterator[Crew]:
    """Start the processes of a crew, which costs less while this process has something else to do.

    Args:
        jobs: processes at work, this one among them; default: one per core.
        module: what they will need: they import it right away.
    """
    size = (jobs or num_cores()) - 1
    context = multiprocessing.get_context("spawn")  # fresh: no inherited threads or locks
    with ProcessPoolExecutor(max(1, size), mp_context=context, initializer=_follow_parent) as pool:
        with _without_interrupts():
            for _ in range(size):
                pool.submit(_import, module or __name__)
        yield Crew(pool, size)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back; processes that are started meanwhile never see it, from their first moment on."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _noticed() -> Iterator[threading.Event]:
    """Note Ctrl-C, which Python forgets where it happens to come in the middle of a destructor."""
    event, before = threading.Event(), signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield event
        return

    def handler(number: int, frame: FrameType | None) -> None:
        event.set()
        before(number, frame)

    signal.signal(signal.SIGINT, handler)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


class _Shift(Generic[Key, Task, Result]):
    """This process and the workers of a pool take tasks from one queue, each when it is free.

    A pool that is given every task at once keeps some back for each worker, and this process would wait for
    them at the end. Here a worker's next task is sent when its last one is done, by the thread of the pool
    that notices.
    """

    def __init__(
        self,
        function: Callable[[Task], Result],
        tasks: Mapping[Key, Task],
        crew: Crew,
    ) -> None:
        self._function = function
        self._queue = deque(tasks.items())
        self._pool = crew.pool
        self._running: dict[Future[Result], Key] = {}
        self._lock = threading.Lock()
        for _ in range(crew.size):
            self._send()

    def _send(self, done: "Future[Result] | None" = None) -> None:
        """Send a worker the next task, unless its last one failed."""
        if done is not None and (done.cancelled() or done.exception() is not None):
            return
        with self._lock:
            if not self._queue:
                return
            key, task = self._queue.popleft()
            future = self._pool.submit(self._function, task)
            self._running[future] = key
        future.add_done_callback(self._send)

    def results(self) -> Iterator[tuple[Key, Result]]:
        """Work until the queue is empty, then wait for the workers; yield whatever is done."""
        try:
            while task := self._take():
                yield task[0], self._function(task[1])
                yield from self._finished()
            while running := self._at_work():
                wait_for_futures(running, return_when=FIRST_COMPLETED)
                yield from self._finished()
        finally:
            with self._lock:
                self._queue.clear()

    def _take(self) -> tuple[Key, Task] | None:
        with self._lock:
            return self._queue.pop() if self._queue else None

    def _at_work(self) -> list["Future[Result]"]:
        with self._lock:
            return list(self._running)

    def _finished(self) -> Iterator[tuple[Key, Result]]:
        with self._lock:
            done = [future for future in self._running if future.done()]
            keys = [self._running.pop(future) for future in done]
        for key, future in zip(keys, done, strict=True):
            yield key, future.result()


def _import(module: str) -> None:
    importlib.import_module(module)


def _follow_parent() -> None:
    """In a worker: leave Ctrl-C to the parent, and exit if the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            wait([parent.sentinel])
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()
