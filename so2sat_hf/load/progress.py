"""Which epoch comes next: known to a process and to its DataLoader workers, without locks.

Workers of one pass must agree on the epoch although each of them may end its share before another one has
begun. So each worker writes down which epoch it needs next, and the epoch is the smallest of these numbers:
it advances when the last worker has given its last batch, and not at all if the pass is left early.
"""

from typing import Any

import numpy as np

try:
    import torch
except ImportError:  # numpy users need no torch, and have no workers
    torch = None  # type: ignore[assignment]

MOST_WORKERS = 1024
"""DataLoader workers of one process."""

WORKERS, BEGUN, NEXT = range(3)
"""Where in the shared numbers: workers of the last pass (0: the process itself), its epoch, those to come."""


class Progress:
    """Epochs that were begun and ended, in memory that forked and spawned workers share."""

    def __init__(self) -> None:
        self._numbers: Any = _shared(np.zeros(NEXT + MOST_WORKERS, np.int64))

    @property
    def epoch(self) -> int:
        """The epoch that the next pass gives."""
        return int(self._numbers[NEXT:].min())

    @property
    def begun(self) -> int:
        """The epoch of the last pass that was begun; of the next one if there was none."""
        return int(self._numbers[BEGUN])

    @property
    def workers(self) -> int:
        """DataLoader workers of the last pass; 0: it was read in the process itself."""
        return int(self._numbers[WORKERS])

    def set_epoch(self, epoch: int) -> None:
        """Let the next pass give an epoch, from 0."""
        self._numbers[WORKERS] = 0
        self._numbers[BEGUN:] = epoch

    def begin(self, workers: int) -> int:
        """Note that a pass begins; every worker says so. Returns its epoch."""
        self._numbers[WORKERS] = workers
        self._numbers[BEGUN] = epoch = self.epoch
        return epoch

    def end(self, epoch: int, worker: int, workers: int) -> None:
        """Note that a worker has given its last batch of an epoch, unless another one was set meanwhile."""
        if int(self._numbers[NEXT + worker]) != epoch:
            return
        is_last = worker >= workers - 1
        # The last one also writes for workers that a later pass may have.
        self._numbers[NEXT + worker : None if is_last else NEXT + worker + 1] = epoch + 1

    def __getstate__(self) -> dict[str, Any]:
        return {"_numbers": self._numbers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._numbers = _shared(state["_numbers"])


def _shared(numbers: Any) -> Any:  # noqa: ANN401 (a tensor where there is torch)
    """Return these numbers in shared memory, where there is torch."""
    if torch is None:
        return np.asarray(numbers)
    return torch.as_tensor(numbers).share_memory_()  # type: ignore[no-untyped-call]
