"""A stream of ready batches: shuffled, dealt out to ranks and workers, and continued where it was left.

The order is planned in :mod:`so2sat_hf.load.order`, row groups are decoded in :mod:`so2sat_hf.load.feeder`. A
stream holds no open file and no thread until it is iterated over, so it can be forked, spawned and pickled.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from so2sat_hf.convert.executor import num_cores
from so2sat_hf.errors import So2SatError
from so2sat_hf.load.arrays import as_torch
from so2sat_hf.load.feeder import Feeder
from so2sat_hf.load.files import Place, open_place
from so2sat_hf.load.groups import GroupReader, check_split, dtypes_of, rows_of_ids
from so2sat_hf.load.ids import Ids
from so2sat_hf.load.order import Layout, Stage, Topology, layout
from so2sat_hf.load.progress import Progress
from so2sat_hf.load.selection import wanted
from so2sat_hf.load.streamed import is_stream, open_streamed

try:
    from torch.utils.data import IterableDataset, get_worker_info
except ImportError:  # numpy users need no torch
    IterableDataset = object  # type: ignore[assignment,misc]

    def get_worker_info() -> None:
        """Without torch there are no workers."""


FORMS = ("numpy", "torch")
MOST_THREADS = 4
"""Decoding threads unless told otherwise: they feed 25,000 patches/s, and each takes about 50 MB."""


class PatchStream(IterableDataset):  # type: ignore[type-arg]
    """Batches of one split of a built dataset, epoch after epoch.

    ``DataLoader(stream, batch_size=None, num_workers=n)`` takes it as it is, also with more workers than
    there are files. Every rank has equally many batches. Which patches come when depends on nothing but seed,
    epoch, window, batch size, ranks and workers.
    """

    def __init__(  # noqa: PLR0913 (named, each with a default)
        self,
        place: Any,  # noqa: ANN401
        split: str | None = None,
        *,
        columns: Iterable[str] | None = None,
        bands: Iterable[str] | None = None,
        ids: Ids | None = None,
        batch_size: int = 256,
        shuffle: bool = True,
        window: int = 4,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        tail: str = "pad",
        threads: int | None = None,
        form: str = "numpy",
        pin: bool = False,
    ) -> None:
        """Plan; no pixel is read yet.

        Args:
            place: a folder that ``so2sat build`` wrote, Parquet or Arrow; a dataset on the Hub; or what
                ``load_dataset(..., streaming=True)`` of one of these returned: its files are read.
            split: ``train`` (the default), ``validation`` or ``test``; of another version ``random/train``,
                ``block/test``, ``v1/validation``. A streaming dataset is one already.
            columns: which (``geo`` for all of the geolocation); default: all that were built.
            bands: names of bands of either sensor, e.g. ``("B04", "B03", "B02")``: each sensor keeps those,
                in this order, and one without any is left out. Default: all.
            ids: only these patches: ids, a table with a column ``id``, or a Parquet or CSV file with one.
            batch_size: patches in a batch.
            shuffle: False for the stored order.
            window: row groups (of about 1,000 patches) among which patches are shuffled; so much is in
                memory, 75 MB a row group with all bands.
            seed: of all random numbers, from 0.
            rank: of this process, from 0.
            world_size: ranks that share each epoch.
            tail: ``pad``: every patch comes, fewer than ``world_size`` of them twice, and the last batch may
                be short. ``drop``: none comes twice, all batches are full, some patches are left out.
            threads: that decode; default: one per core, at most 4, shared by the workers of a DataLoader.
            form: ``numpy`` for arrays, ``torch`` for tensors on the same memory (strings as lists).
            pin: copy tensors into page-locked memory.

        Raises:
            So2SatError: an argument that cannot be, or a streaming dataset whose rows were changed, chosen,
                shuffled or dealt out.
            FolderError: no built dataset there.
            HubError: the Hub refuses, or has no such dataset.
        """
        super().__init__()
        if form not in FORMS:
            raise So2SatError("form", found=repr(form), expected=" or ".join(FORMS))
        if not 0 <= rank < world_size:
            raise So2SatError("rank", found=repr(rank), expected=f"0 to {world_size - 1}")
        self.place, self.split, stored = _opened(place, split)
        check_split(self.place, self.split)
        self.seed, self.rank = seed, rank
        self._threads, self._form, self._pin = threads, form, pin
        self._topology = Topology(batch_size, world_size, 1, window, shuffle, tail)
        self._wanted = wanted(stored, columns, bands)
        self._groups = self.place.groups(self.split)
        self._rows = None if ids is None else rows_of_ids(ids, self.place, self.split)
        self._loaded: tuple[int, tuple[Stage, ...]] | None = None  # epoch, its stages so far
        self._progress = Progress()
        self._taken = 0  # batches of the last pass in this process

    @property
    def epoch(self) -> int:
        """The epoch that the next pass gives, from 0."""
        return self._progress.epoch

    @property
    def num_patches(self) -> int:
        """Patches of all ranks together."""
        return sum(group.rows for group in self._groups) if self._rows is None else len(self._rows)

    def __len__(self) -> int:
        """Return the number of batches of an epoch, equal on all ranks."""
        return self._topology.batches_of_rank(self.num_patches)

    def set_epoch(self, epoch: int) -> None:
        """Let the next pass give an epoch, from 0; also if DataLoader workers are at work already.

        Without it the epoch advances by itself whenever a pass has come to its end.
        """
        self._taken = 0
        self._progress.set_epoch(epoch)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the batches of one epoch; of what is left of it after :meth:`load_state_dict`.

        Raises:
            SourceError: a file is missing or damaged.
            HubError: the Hub refuses, is silent, or has other files by now.
        """
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        epoch = self._progress.begin(0 if info is None else workers)
        plan, begun = self._plan(epoch, workers)
        self._taken = 0
        # A DataLoader begins with its first worker again: that one goes on where the next batch is due.
        place = (worker + begun) % workers
        skip = len(range(place, begun, workers)) * self._topology.batch_size
        feeder = Feeder(
            plan.jobs(self.rank, place, skip=skip),
            GroupReader(self.place, self.split, self._groups, self._wanted.columns),
            self._wanted,
            dtypes_of(self.place),
            batch_size=self._topology.batch_size,
            threads=self._threads or max(1, min(MOST_THREADS, num_cores() // workers)),
        )
        return self._batches(feeder, epoch, worker, workers)

    def _batches(self, feeder: Feeder, epoch: int, worker: int, workers: int) -> Iterator[dict[str, Any]]:
        for batch in feeder:
            self._taken += 1
            yield batch if self._form == "numpy" else as_torch(batch, pin=self._pin)
        self._taken = 0
        self._progress.end(epoch, worker, workers)

    def state_dict(self, taken: int | None = None) -> dict[str, Any]:
        """Return plain values that tell where the stream is; after the last batch: ``epoch`` is the next one.

        Args:
            taken: batches taken since the last pass was begun. A stream that is iterated over in this
                process counts them itself; what a DataLoader with workers has handed out it does not know.

        Raises:
            So2SatError: DataLoader workers are at work, and ``taken`` was not given.
        """
        workers = self._progress.workers
        if taken is None and workers:
            raise So2SatError(
                "state_dict",
                found=f"{workers} DataLoader workers at work, which read ahead",
                expected="taken=, the number of batches taken since this pass was begun",
            )
        # Workers that have read to the end of an epoch are ahead of whoever takes their batches.
        epoch = self._progress.begun if workers else self._progress.epoch
        plan, begun = self._plan(epoch, max(1, workers))
        stage = Stage(plan.topology, begun + (self._taken if taken is None else taken))
        before = self._earlier(epoch, plan.topology)
        if stage.taken >= plan.batches():
            epoch, stage, before = epoch + 1, replace(stage, taken=0), ()
        return {
            "seed": self.seed,
            "epoch": epoch,
            **stage.to_dict(),
            "digest": self.place.digest,
            "split": self.split,
            "ids": self._choice(),
            "before": [earlier.to_dict() for earlier in before],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next pass go on where a stream was left.

        With the same ranks, workers, batch size and window it gives the very batches that the other one would
        have given. If one of them differs, every patch that was not taken comes once, as ``tail`` allows, in
        an order that again is a function of the state. Load it on every rank. Seed and epoch are those of the
        state.

        Raises:
            So2SatError: the state is of other data, or not a state.
        """
        mine = {"digest": self.place.digest, "split": self.split, "ids": self._choice()}
        for name, value in mine.items():
            if state.get(name) != value:
                raise So2SatError(
                    f"state of a stream over {self.place.name}",
                    found=f"{name} {state.get(name)!r}",
                    expected=repr(value),
                    remedy="resume over the patches that the stream was left with, or begin a new epoch",
                )
        try:
            stages = tuple(Stage.from_dict(stage) for stage in (*state["before"], state))
            seed, epoch = int(state["seed"]), int(state["epoch"])
        except (KeyError, TypeError, ValueError) as error:
            raise So2SatError(
                "state of a stream", found=f"not understood ({error!r})", expected="what state_dict returned"
            ) from error
        self.seed, self._loaded, self._taken = seed, (epoch, stages), 0
        self._progress.set_epoch(epoch)

    def _plan(self, epoch: int, workers: int) -> tuple[Layout, int]:
        """Return what is left of an epoch for this topology, and how many batches of it were taken."""
        topology = replace(self._topology, workers=workers)
        before = self._earlier(epoch, topology)
        stages = self._stages(epoch)
        is_same = bool(stages) and stages[-1].topology == topology
        groups = [group.rows for group in self._groups]
        plan = layout(groups, topology, seed=self.seed, epoch=epoch, rows=self._rows, before=before)
        return plan, stages[-1].taken if is_same else 0

    def _earlier(self, epoch: int, topology: Topology) -> tuple[Stage, ...]:
        """Return the stages of an epoch that went by with other topologies."""
        stages = self._stages(epoch)
        stages = stages[:-1] if stages and stages[-1].topology == topology else stages
        return tuple(stage for stage in stages if stage.taken)

    def _stages(self, epoch: int) -> tuple[Stage, ...]:
        """Return the stages of an epoch that a loaded state tells of."""
        return self._loaded[1] if self._loaded and self._loaded[0] == epoch else ()

    def _choice(self) -> str | None:
        """Return what tells one choice of patches from another; None: all."""
        return None if self._rows is None else hashlib.sha256(self._rows.tobytes()).hexdigest()


def _opened(place: Any, split: str | None) -> tuple[Place, str, tuple[str, ...]]:  # noqa: ANN401
    """Return where to read, the split, and the columns there are."""
    if not is_stream(place):
        opened = open_place(place)
        return opened, "train" if split is None else split, opened.manifest.columns
    streamed = open_streamed(place)
    if split not in (None, streamed.split):
        raise So2SatError(
            "split", found=repr(split), expected=f"{streamed.split!r}, which the streaming dataset is of"
        )
    return streamed
