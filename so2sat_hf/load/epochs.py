"""Batches of patches that lie on a device, epoch after epoch, and where one stands in them."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from so2sat_hf.errors import So2SatError
from so2sat_hf.load.order import TAILS, permutation


class OnDevice(Protocol):
    """Patches on a device: :class:`~so2sat_hf.load.resident.Resident`."""

    digest: str
    rank: int
    world_size: int

    def __len__(self) -> int: ...

    def to_device(self, indices: NDArray[np.int64]) -> Any:  # noqa: ANN401
        """Return indices as a tensor on the device."""
        ...

    def batch(self, indices: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return patches."""
        ...


class Epochs:
    """Iterate over it once per epoch; the order is a function of (seed, epoch, rank)."""

    def __init__(self, resident: OnDevice, batch_size: int, *, seed: int, shuffle: bool, tail: str) -> None:
        """Begin with epoch 0; see :meth:`~so2sat_hf.load.resident.Resident.epochs`."""
        if batch_size < 1:
            raise So2SatError("batch_size", found=str(batch_size), expected="at least 1")
        if tail not in TAILS:
            raise So2SatError("tail", found=repr(tail), expected=" or ".join(TAILS))
        self.epoch = 0
        """From 0; counts up by itself after a full pass."""
        self._resident, self._batch_size = resident, batch_size
        self._seed, self._shuffle, self._tail = seed, shuffle, tail
        self._rows = 0  # of this epoch that were given

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch, unless one is in the midst of it."""
        if epoch != self.epoch:
            self.epoch, self._rows = epoch, 0

    def order(self) -> NDArray[np.int64]:
        """Return (n,) the indices of this epoch, in order."""
        if not self._shuffle:
            return np.arange(len(self._resident))
        return permutation(len(self._resident), (self._seed, self.epoch, self._resident.rank))

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        full, rest = divmod(len(self._resident), self._batch_size)
        return full + (rest > 0 and self._tail == "pad")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield what is left of this epoch."""
        epoch, order = self.epoch, self.order()
        count = len(order)
        resident = self._resident
        on_device = resident.to_device(order)
        least = self._batch_size if self._tail == "drop" else 1
        while self.epoch == epoch and count - self._rows >= least:
            first = self._rows
            self._rows = min(first + self._batch_size, count)
            yield resident.batch(on_device[first : self._rows])
        if self.epoch == epoch:
            self.epoch, self._rows = epoch + 1, 0

    def state_dict(self, taken: int | None = None) -> dict[str, Any]:
        """Return where one stands.

        Args:
            taken: batches of this epoch that were used, if it is fewer than were given.
        """
        rows = self._rows if taken is None else min(taken * self._batch_size, len(self._resident))
        mine = {"seed": self._seed, "epoch": self.epoch, "rows": rows, "shuffle": self._shuffle}
        return mine | self._of_resident()

    def _of_resident(self) -> dict[str, Any]:
        resident = self._resident
        return {"digest": resident.digest, "world_size": resident.world_size, "patches": len(resident)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state says; the batch size may be another one.

        Raises:
            So2SatError: it is of other patches, or of other shares of them.
        """
        for name, here in self._of_resident().items():
            if state[name] != here:
                raise So2SatError(
                    "state",
                    found=f"{name} {state[name]}",
                    expected=f"{name} {here}, as here",
                    remedy="PatchStream can go on with other ranks" if name == "world_size" else "",
                )
        self._seed, self._shuffle = state["seed"], state["shuffle"]
        self.epoch, self._rows = state["epoch"], state["rows"]
