"""Row groups decoded ahead of use, in threads, and put together to batches in the order that was planned.

Decoded patches lie in an arena with room for a window, a batch and a little more. Each leaves it when its
batch is handed out, and patches of the next window take its place: memory stays flat whatever the consumer
does.
"""

import atexit
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from so2sat_hf.load.arrays import Batch, empty, opened, scatter
from so2sat_hf.load.order import Job, Numbers
from so2sat_hf.load.selection import Wanted

Read = Callable[[Job], Iterable[tuple[int, pa.RecordBatch]]]
"""Job -> (first row in the row group, rows) in stored order; may leave out what the job does not want."""

MORE_ROWS = 256
"""Patches that may lie in the arena beside those of a whole window and a batch."""

_AT_WORK: "weakref.WeakSet[Feeder]" = weakref.WeakSet()


class Feeder:
    """Runs the jobs of one epoch, or of what is left of it; iterate over it once."""

    def __init__(
        self,
        jobs: Sequence[Job],
        read: Read,
        wanted: Wanted,
        dtypes: Mapping[str, np.dtype[Any]],
        *,
        batch_size: int,
        threads: int,
    ) -> None:
        """Plan; nothing is read yet.

        Args:
            jobs: in the order they are needed.
            read: decodes one; called from several threads.
            wanted: columns and bands of a batch.
            dtypes: of each column.
            batch_size: patches in a batch; the last one may be short.
            threads: how many decode at once.
        """
        self.num_rows = sum(len(job.rows) for job in jobs)
        self.most_rows = 0  # that were in the arena at once
        self._todo = iter(jobs)
        self._read, self._wanted, self._dtypes = read, wanted, dtypes
        self._batch_size = batch_size
        windows = np.bincount([job.window for job in jobs], weights=[len(job.rows) for job in jobs])
        self._unplaced = windows.astype(np.int64)  # rows of each window that have no slot yet
        # A batch that begins in one window and ends in the next needs all of that one.
        self._capacity = min(self.num_rows, int(self._unplaced.max(initial=0)) + batch_size + MORE_ROWS)
        self._free = np.arange(self._capacity)
        self._slot = np.empty(self.num_rows, np.int64)  # of each position, once its row is there
        self._missing = np.bincount(np.arange(self.num_rows) // batch_size)  # rows of each batch
        self._error: BaseException | None = None
        self._is_stopped = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"so2sat-decode-{number}", daemon=True)
            for number in range(min(threads, len(jobs)))
        ]

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches; what a thread raises is raised here. Leaving early ends the threads."""
        if not self.num_rows:
            return
        self._arena = empty(self._capacity, self._wanted, self._dtypes)
        _AT_WORK.add(self)
        for thread in self._threads:
            thread.start()
        try:
            for number in range(len(self._missing)):
                yield self._batch(number)
        finally:
            self.close()

    def close(self) -> None:
        """End the threads: each finishes the few hundred rows at hand."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self._arena = {}
        _AT_WORK.discard(self)

    def _batch(self, number: int) -> Batch:
        """Wait for the rows of a batch, and take them out of the arena."""
        with self._changed:
            self._changed.wait_for(lambda: self._error or not self._missing[number])
            if self._error:
                raise self._error
        slots = self._slot[number * self._batch_size : (number + 1) * self._batch_size]
        batch = empty(len(slots), self._wanted, self._dtypes)
        for name, values in batch.items():
            np.take(self._arena[name], slots, axis=0, out=values, mode="clip")  # clip: without a buffer
        with self._changed:
            self._free = np.concatenate([self._free, slots])
            self._changed.notify_all()
        return batch

    def _work(self) -> None:
        """Run jobs until there is none left; what a thread runs."""
        try:
            while not self._is_stopped and (job := next(self._todo, None)) is not None:
                self._run(job)
        except BaseException as error:  # noqa: BLE001 (the consumer raises it)
            with self._changed:
                self._error = self._error or error
                self._is_stopped = True
                self._changed.notify_all()

    def _run(self, job: Job) -> None:
        """Put the rows of a job into the arena."""
        done = 0
        parts = iter(self._read(job))
        while not self._is_stopped and (part := next(parts, None)) is not None:
            first, table = part
            low, high = np.searchsorted(job.rows, (first, first + len(table)))
            if low < high and len(slots := self._room(int(high - low), job.window)):
                columns = opened(table, self._wanted)
                scatter(columns, job.rows[low:high] - first, self._arena, slots, self._wanted)
                self._slot[job.positions[low:high]] = slots
                done += int(high - low)
                del columns
            del part, table  # before the next one is decoded
        if not self._is_stopped:
            self._finish(job, done)

    def _room(self, count: int, window: int) -> Numbers:
        """Wait for free slots; none if the work has been stopped.

        A later window leaves room for what is missing of those before it: they could not be handed out else.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_stopped or count + self._unplaced[:window].sum() <= len(self._free)
            )
            if self._is_stopped:
                return self._free[:0]
            slots, self._free = self._free[:count], self._free[count:]
            self._unplaced[window] -= count
            self.most_rows = max(self.most_rows, self._capacity - len(self._free))
            return slots

    def _finish(self, job: Job, done: int) -> None:
        """Let the consumer know that all rows of a job are there."""
        if done != len(job.rows):
            raise IndexError(f"{done} of {len(job.rows)} rows")
        counts = np.bincount(job.positions // self._batch_size, minlength=len(self._missing))
        with self._changed:
            self._missing -= counts
            self._changed.notify_all()


@atexit.register
def _close_all() -> None:
    """Let no thread decode while the interpreter goes away."""
    for feeder in list(_AT_WORK):
        feeder.close()
