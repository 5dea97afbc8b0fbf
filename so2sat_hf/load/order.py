"""The order in which patches come, and who gets which of them. Pure: index arrays, no file, no clock.

Everything is a function of (seed, epoch, topology). The row groups of a split are permuted and laid end to
end. Ranks take ranges of equal length, DataLoader workers take ranges of these. A range is cut into windows,
and rows are permuted inside each window. So a reader decodes each row group once, holds one window, and goes
on from any batch without decoding what came before.

An epoch that goes on with another topology has a further stage: what the earlier stages have taken is left
out, and the rest is laid out anew in the same way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from so2sat_hf.errors import So2SatError

Numbers = NDArray[np.int64]

TAILS = ("pad", "drop")
"""What becomes of rows that do not divide evenly: see :class:`Topology`."""

GROUPS, ROWS = range(2)
"""What random numbers are drawn for."""


@dataclass(frozen=True, slots=True)
class Topology:
    """How the rows of an epoch are dealt out."""

    batch_size: int
    """Patches in a batch."""

    world_size: int = 1
    """Ranks that share the epoch."""

    workers: int = 1
    """DataLoader workers of each rank; reading in the process itself counts as one."""

    window: int = 4
    """Row groups among whose rows patches are shuffled."""

    shuffle: bool = True
    """False: stored order."""

    tail: str = "pad"
    """``pad``: every row comes, a few of them twice, so that all ranks have equally many; the last batch may
    be short. ``drop``: no row comes twice and all batches are full; a few rows are left out."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "world_size", "workers", "window"):
            if getattr(self, name) < 1:
                raise So2SatError(name, found=str(getattr(self, name)), expected="at least 1")
        if self.tail not in TAILS:
            raise So2SatError("tail", found=repr(self.tail), expected=" or ".join(TAILS))

    def rows_of_rank(self, num_rows: int) -> int:
        """Return how many of these rows each rank gives."""
        if self.tail == "pad":
            return -(-num_rows // self.world_size)
        return num_rows // self.world_size // self.batch_size * self.batch_size

    def batches_of_rank(self, num_rows: int) -> int:
        """Return the number of batches of each rank."""
        return -(-self.rows_of_rank(num_rows) // self.batch_size)


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of an epoch that went by with one topology."""

    topology: Topology
    """How it was dealt out."""

    taken: int
    """Batches that every rank has taken."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self.topology), "taken": self.taken}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> "Stage":
        """Understand what :meth:`to_dict` returned; further keys are ignored."""
        names = [field.name for field in fields(Topology)]
        return cls(Topology(**{name: state[name] for name in names}), int(state["taken"]))


@dataclass(frozen=True, slots=True)
class Job:
    """Rows of one row group that one worker reads at once."""

    group: int
    """Which row group of the split, from 0."""

    rows: Numbers
    """(n,) rows of the row group, from 0, increasing."""

    positions: Numbers
    """(n,) where each comes in what the worker gives, from 0."""

    window: int
    """Which window of the worker it belongs to, from 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """One stage of an epoch: what is left of it, and how that is dealt out."""

    groups: tuple[int, ...]
    """Rows of each row group of the split, in stored order."""

    rows: Numbers
    """(n,) rows of the split that have to come, from 0, increasing."""

    key: tuple[int, ...]
    """Seed, epoch and number of the stage, from 0."""

    topology: Topology
    """How the rows are dealt out."""

    def batches(self) -> int:
        """Return the number of batches of each rank."""
        return self.topology.batches_of_rank(len(self.rows))

    def in_order(self) -> Numbers:
        """Return (n,) all rows, row group after row group, before they are dealt out."""
        if not self.topology.shuffle:
            return self.rows
        ends = np.searchsorted(self.rows, np.cumsum(self.groups))
        starts = np.concatenate([[0], ends[:-1]])
        order = permutation(len(self.groups), (*self.key, GROUPS))
        return np.concatenate([self.rows[:0], *(self.rows[starts[g] : ends[g]] for g in order)])

    def of_worker(self, rank: int, worker: int, in_order: Numbers | None = None) -> Numbers:
        """Return the rows of one worker of a rank before they are shuffled, in one piece of the epoch.

        Worker w gives the batches w, w + n, ... of its rank, because a DataLoader asks its n workers in turn.
        All batches are full but the last one of the rank.
        """
        in_order = self.in_order() if in_order is None else in_order
        deal, num_rows = self.topology, self.topology.rows_of_rank(len(self.rows))
        stride = num_rows if deal.tail == "pad" else len(in_order) // deal.world_size
        missing = (rank + 1) * stride - len(in_order)
        mine = (
            np.take(in_order, np.arange(rank * stride, rank * stride + num_rows), mode="wrap")
            if missing > 0 and len(in_order)
            else in_order[rank * stride : rank * stride + num_rows]
        )
        shares = [len(range(w, self.batches(), deal.workers)) * deal.batch_size for w in range(deal.workers)]
        if num_rows:
            shares[(self.batches() - 1) % deal.workers] -= self.batches() * deal.batch_size - num_rows
        start = sum(shares[:worker])
        return mine[start : start + shares[worker]]

    def jobs(self, rank: int, worker: int, *, skip: int = 0, in_order: Numbers | None = None) -> list[Job]:
        """Return what one worker of a rank reads, in the order it is needed.

        Args:
            rank: from 0.
            worker: of the rank, from 0.
            skip: rows that the worker has given already.
            in_order: what :meth:`in_order` returns, if at hand.
        """
        rows = self.of_worker(rank, worker, in_order)
        pieces = self._pieces(rows)
        jobs = []
        for number, window in enumerate(self._windows(pieces)):
            first, last = window[0].start, window[-1].stop
            positions = np.arange(first, last)
            if self.topology.shuffle:
                positions = first + permutation(last - first, (*self.key, ROWS, rank, worker, number))
            for piece in window:
                here = positions[piece.start - first : piece.stop - first] - skip
                wanted = here >= 0
                if wanted.any():
                    group = int(np.searchsorted(np.cumsum(self.groups), rows[piece.start], side="right"))
                    inside = rows[piece][wanted] - sum(self.groups[:group])
                    jobs.append(Job(group, inside, here[wanted], number))
        return jobs

    def given(self, rank: int, worker: int, in_order: Numbers | None = None) -> Numbers:
        """Return (n,) the rows of the split that one worker of a rank gives, in order."""
        starts = np.concatenate([[0], np.cumsum(self.groups)])
        jobs = self.jobs(rank, worker, in_order=in_order)
        rows = np.empty(sum(len(job.rows) for job in jobs), np.int64)
        for job in jobs:
            rows[job.positions] = starts[job.group] + job.rows
        return rows

    def taken(self, num_batches: int) -> Numbers:
        """Return the rows that all ranks together have given in their first batches; some maybe twice."""
        in_order, deal = self.in_order(), self.topology
        counts = [len(range(w, num_batches, deal.workers)) * deal.batch_size for w in range(deal.workers)]
        parts = [
            self.given(rank, worker, in_order)[:count]
            for rank in range(deal.world_size)
            for worker, count in enumerate(counts)
            if count
        ]
        return np.concatenate([self.rows[:0], *parts])

    def _pieces(self, rows: Numbers) -> list[slice]:
        """Cut rows where one row group ends, and where padding begins again at the first row."""
        group = np.searchsorted(np.cumsum(self.groups), rows, side="right")
        cuts = np.flatnonzero((np.diff(group) != 0) | (np.diff(rows) <= 0)) + 1
        edges = [0, *cuts.tolist(), len(rows)]
        return [slice(a, b) for a, b in pairwise(edges) if a < b]

    def _windows(self, pieces: Sequence[slice]) -> list[list[slice]]:
        """Put pieces together: as many rows as ``window`` of the largest row groups have, or one piece."""
        room, filled = self.topology.window * max(self.groups, default=0), 0
        windows: list[list[slice]] = []
        for piece in pieces:
            length = piece.stop - piece.start
            if not windows or filled + length > room:
                windows.append([])
                filled = 0
            windows[-1].append(piece)
            filled += length
        return windows


def permutation(count: int, key: Sequence[int]) -> Numbers:
    """Return 0..count - 1 in an order that the key decides, the same with every version of numpy.

    Sorts raw random bits: numpy keeps these as they are, but not what its generators make of them.
    """
    bits = np.random.PCG64(np.random.SeedSequence(list(key))).random_raw(count)
    return np.argsort(bits, kind="stable").astype(np.int64)


def layout(
    groups: Sequence[int],
    topology: Topology,
    *,
    seed: int,
    epoch: int,
    rows: Numbers | None = None,
    before: Sequence[Stage] = (),
) -> Layout:
    """Lay out what is left of an epoch.

    Args:
        groups: rows of each row group of the split, in stored order.
        topology: how it is dealt out from here on.
        seed: of all epochs.
        epoch: from 0.
        rows: those of the split that are to come, from 0, increasing; default: all.
        before: the stages of this epoch that went by with other topologies, first one first.
    """
    rows = np.arange(sum(groups)) if rows is None else rows
    for number, stage in enumerate(before):
        earlier = Layout(tuple(groups), rows, (seed, epoch, number), stage.topology)
        is_left = np.zeros(sum(groups), bool)
        is_left[rows] = True
        is_left[earlier.taken(stage.taken)] = False
        rows = np.flatnonzero(is_left)
    return Layout(tuple(groups), rows, (seed, epoch, len(before)), topology)
