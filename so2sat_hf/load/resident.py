"""``Resident``: a split, or a rank's share of it, in the memory of a device, and batches made there.

::

    print(plan_resident("out", "train", bands=("B04", "B03", "B02"), device="cuda"))
    resident = Resident("out", "train", bands=("B04", "B03", "B02"), device="cuda")
    for batch in resident.epochs(batch_size=256, seed=0):
        ...

Reflectance lies there as digital numbers, two bytes a value, where these tell it exactly; batches hold it as
it is stored.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from so2sat_hf.convert.patches import DN_PER_REFLECTANCE, PATCH_SIZE
from so2sat_hf.convert.table import NUM_BANDS, digital_numbers
from so2sat_hf.convert.views import REMEDY
from so2sat_hf.errors import RowError, So2SatError, SourceError
from so2sat_hf.load.epochs import Epochs
from so2sat_hf.load.files import Place, open_place
from so2sat_hf.load.ids import Ids
from so2sat_hf.load.selection import Wanted, wanted
from so2sat_hf.load.stream import PatchStream

STRINGS = ("id", "city")
"""Columns that no device takes."""

READ_ROWS = 256
"""Patches that are copied to the device at once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a split takes on a device."""

    patches: int
    """Of this rank."""

    columns: Mapping[str, int]
    """Column -> bytes on the device."""

    device: str
    """Where to."""

    free: int | None
    """Bytes free there now; None: not known."""

    @property
    def needed(self) -> int:
        """Bytes of all columns."""
        return sum(self.columns.values())

    @property
    def fits(self) -> bool:
        """Whether there is room, as far as known."""
        return self.free is None or self.needed <= self.free

    def __str__(self) -> str:
        rows = [f"{name:10} {_gigabytes(count)}" for name, count in self.columns.items()]
        free = "" if self.free is None else f", {_gigabytes(self.free).strip()} free"
        total = (
            f"{'together':10} {_gigabytes(self.needed)} for {self.patches:,} patches on {self.device}{free}"
        )
        return "\n".join([*rows, total])


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:8.3f} GB"


def plan_resident(
    place: str | os.PathLike[str] | Place,
    split: str = "train",
    *,
    columns: Iterable[str] | None = None,
    bands: Iterable[str] | None = None,
    ids: Ids | None = None,
    world_size: int = 1,
    device: str | torch.device = "cpu",
) -> Plan:
    """Say what :class:`Resident` with these arguments would take; no pixel is read."""
    return _Share(place, split, columns, bands, ids, 0, world_size).plan(torch.device(device))


class _Share:
    """What one rank puts on its device, and the stream that reads it."""

    def __init__(
        self,
        place: str | os.PathLike[str] | Place,
        split: str,
        columns: Iterable[str] | None,
        bands: Iterable[str] | None,
        ids: Ids | None,
        rank: int,
        world_size: int,
    ) -> None:
        self.place, self.rank, self.world_size = open_place(place), rank, world_size
        self.wanted = _on_device(self.place.manifest.columns, columns, bands)
        self.is_reflectance = self.place.manifest.sen2_dtype == "float32"
        self.is_exact = not self.is_reflectance or "sen2" not in self.place.manifest.rounding
        self.stream = PatchStream(
            self.place,
            split,
            columns=("id", *self.wanted.columns),
            bands=bands,
            ids=ids,
            batch_size=READ_ROWS,
            shuffle=world_size > 1,  # so that a rank does not get a few cities alone
            window=1,
            rank=rank,
            world_size=world_size,
        )

    def kinds(self) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Return column -> (shape of a patch, dtype on the device)."""
        kinds: dict[str, tuple[tuple[int, ...], torch.dtype]] = {}
        for name in self.wanted.columns:
            kind = {"label": torch.int64, "epsg": torch.int32, "sen1": torch.float32}.get(name, torch.float64)
            if name == "sen2":  # the bits of uint16, for which torch knows no indexing
                kind = torch.int16 if self.is_exact else torch.float32
            shape: tuple[int, ...] = ()
            if name in NUM_BANDS:
                bands = self.wanted.bands[name]
                shape = (NUM_BANDS[name] if bands is None else len(bands), PATCH_SIZE, PATCH_SIZE)
            kinds[name] = (shape, kind)
        return kinds

    def plan(self, device: torch.device) -> Plan:
        """Return what it takes."""
        patches = -(-self.stream.num_patches // self.world_size)
        sizes = {
            name: patches * int(np.prod(shape)) * kind.itemsize
            for name, (shape, kind) in self.kinds().items()
        }
        return Plan(patches, sizes, str(device), free_bytes(device))


def _on_device(stored: Sequence[str], columns: Iterable[str] | None, bands: Iterable[str] | None) -> Wanted:
    """Decide what lies on the device: all columns wanted but strings."""
    names = None if columns is None else [columns] if isinstance(columns, str) else list(columns)
    asked = [name for name in STRINGS if names is not None and name in names]
    if asked:
        raise So2SatError(
            "columns",
            found=f"{asked[0]}, which is text",
            expected="numbers and pixels",
            remedy="leave it out: `resident.ids` has the id of every patch",
        )
    found = wanted(stored, names, bands)
    return Wanted(tuple(name for name in found.columns if name not in STRINGS), found.bands)


class Resident:
    """Patches on a device; index 0 is the first one of this rank."""

    def __init__(
        self,
        place: str | os.PathLike[str] | Place,
        split: str = "train",
        *,
        columns: Iterable[str] | None = None,
        bands: Iterable[str] | None = None,
        ids: Ids | None = None,
        rank: int = 0,
        world_size: int = 1,
        device: str | torch.device = "cpu",
    ) -> None:
        """Read the patches into the memory of a device.

        Args:
            place: whatever :class:`~so2sat_hf.load.stream.PatchStream` reads.
            split: ``train``, ``validation`` or ``test``; of another version ``random/train``.
            columns: which; default: all that are not text.
            bands: names of bands of either sensor; see :func:`~so2sat_hf.load.selection.wanted`.
            ids: only these patches; see :data:`~so2sat_hf.load.ids.Ids`.
            rank: which share, from 0. Shares are whole row groups but for their ends, and the same in every
                epoch; all are of one size, for which a few patches may come twice.
            world_size: how many shares.
            device: where to.

        Raises:
            So2SatError: they do not fit; says the bytes needed and free.
        """
        share = _Share(place, split, columns, bands, ids, rank, world_size)
        self.device = torch.device(device)
        self.rank, self.world_size = rank, world_size
        self.digest = share.place.digest
        self.plan = share.plan(self.device)
        if not self.plan.fits:
            raise So2SatError(
                self.device,
                found=f"{self.plan.needed:,} bytes needed, {self.plan.free:,} free",
                expected="room for all patches",
                remedy="take fewer bands or columns, more ranks, or PatchStream",
            )
        self._divisor: torch.Tensor | None = None
        if share.is_exact and share.is_reflectance:
            self._divisor = torch.tensor(float(DN_PER_REFLECTANCE), device=self.device)
        self._tensors = {
            name: torch.empty((len(self), *shape), dtype=kind, device=self.device)
            for name, (shape, kind) in share.kinds().items()
        }
        self.ids: NDArray[Any] = np.empty(len(self), object)
        """(n,) id of every patch."""
        self._load(share)

    def __len__(self) -> int:
        return self.plan.patches

    def _load(self, share: _Share) -> None:
        first = 0
        for batch in share.stream:
            rows = slice(first, first + len(batch["id"]))
            self.ids[rows] = batch["id"]
            for name, tensor in self._tensors.items():
                values = batch[name]
                if name == "sen2" and share.is_exact:
                    values = (_exactly(values) if share.is_reflectance else values).view(np.int16)
                tensor[rows].copy_(torch.from_numpy(values))
            first = rows.stop

    def batch(self, indices: torch.Tensor | Sequence[int] | NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """Return patches as tensors on the device.

        Args:
            indices: (b,) from 0. Those that lie on a GPU already are taken without a look at them.

        Raises:
            RowError: one that is not there.
        """
        which = torch.as_tensor(indices, dtype=torch.int64)
        if which.device.type == "cpu":
            if which.numel() and not 0 <= int(which.min()) <= int(which.max()) < len(self):
                wrong = which[(which < 0) | (which >= len(self))][0]
                raise RowError("index", found=f"no patch {wrong}", expected=f"0 to {len(self) - 1}")
            which = which.to(self.device)
        batch = {name: tensor.index_select(0, which) for name, tensor in self._tensors.items()}
        if "sen2" in batch and batch["sen2"].dtype == torch.int16:
            numbers = batch["sen2"].view(torch.uint16)
            # A tensor on the device divides exactly; by a plain number CUDA would multiply with 1 / 10000.
            batch["sen2"] = (
                numbers if self._divisor is None else numbers.to(torch.float32).div_(self._divisor)
            )
        return batch

    def to_device(self, indices: NDArray[np.int64]) -> torch.Tensor:
        """Return indices as a tensor on the device."""
        return torch.from_numpy(indices).to(self.device)

    def epochs(self, batch_size: int, *, seed: int = 0, shuffle: bool = True, tail: str = "pad") -> Epochs:
        """Return the batches of one epoch after the other, to be iterated over once per epoch.

        Args:
            batch_size: patches in a batch.
            seed: with the epoch it decides the order.
            shuffle: False: as they lie here.
            tail: ``pad``: the last batch may be short. ``drop``: it is left out.
        """
        return Epochs(self, batch_size, seed=seed, shuffle=shuffle, tail=tail)


def _exactly(reflectance: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return digital numbers that tell reflectance to the last bit.

    Raises:
        SourceError: there are none.
    """
    numbers = digital_numbers(reflectance)
    if not np.array_equal(numbers / np.float32(DN_PER_REFLECTANCE), reflectance):
        raise SourceError(
            "column sen2",
            found="reflectance that is no multiple of 1/10000",
            expected="exact values, as manifest.json says",
            remedy=REMEDY,
        )
    return numbers


def free_bytes(device: torch.device) -> int | None:
    """Return how much memory is free on a device; None: nobody knows."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    found = []
    for path, key in (("/proc/meminfo", "MemAvailable:"), ("/sys/fs/cgroup/memory.max", "")):
        try:
            lines = [
                line.removeprefix(key).split()
                for line in Path(path).read_text().splitlines()
                if line.startswith(key)
            ]
            found.append(int(lines[0][0]) * (1024 if key else 1))
        except (OSError, ValueError, IndexError):  # another system; or no limit
            continue
    return min(found, default=None)
