"""Whole batches for a Trainer, from a stream or out of a device's memory, continued without reading again."""

from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from so2sat_hf.load.epochs import Epochs
from so2sat_hf.load.stream import PatchStream

Batch = dict[str, Any]


class Feed(IterableDataset):  # type: ignore[type-arg]
    """Batches as a Trainer iterates over them.

    Its way to continue an interrupted epoch is to ask for every batch again and drop those that were used;
    here these are None, and nothing is read for them.
    """

    def __init__(self, source: "PatchStream | Epochs", num_patches: int) -> None:
        """Feed from a source.

        Args:
            source: of batches of one rank.
            num_patches: of all ranks together, in one epoch.
        """
        super().__init__()
        self.source, self.num_patches = source, num_patches
        self._skip = 0

    def begin(self, epoch: int, skip: int = 0) -> None:
        """Let the next pass give an epoch, after so many batches of it that were used before."""
        self.source.set_epoch(epoch)
        self._skip = skip
        if skip:
            self.source.load_state_dict(self.source.state_dict(taken=skip))

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self.source)

    def __iter__(self) -> Iterator[Batch | None]:
        skip, self._skip = self._skip, 0
        for _ in range(skip):
            yield None
        yield from self.source

    def loader(self, collate: Callable[[Any], Batch]) -> "DataLoader[Batch]":
        """Return what a Trainer iterates over; decoding runs in the threads of the stream."""
        return DataLoader(self, batch_size=None, collate_fn=_Collate(collate))


class _Collate:
    """A collator that lets skipped batches pass."""

    def __init__(self, collate: Callable[[Any], Batch]) -> None:
        self.collate = collate

    def __call__(self, batch: Any) -> Batch | None:  # noqa: ANN401
        return None if batch is None else self.collate(batch)
