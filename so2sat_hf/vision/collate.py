"""The collator: samples or ready batches -> compact tensors on the CPU, right for every band and unit."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from so2sat_hf import facts
from so2sat_hf.convert.table import NUM_BANDS
from so2sat_hf.errors import So2SatError
from so2sat_hf.load.arrays import as_index
from so2sat_hf.vision.catalogue import preset as preset_named
from so2sat_hf.vision.image_processing import stored_values
from so2sat_hf.vision.preset import Preset
from so2sat_hf.vision.samples import arrays_of, pixels_of
from so2sat_hf.vision.transform import So2SatTransform

LONLAT = "lonlat"
WAVELENGTHS = "wavelengths"
SEED_BITS = 64

BLOCK_ROWS = 16
"""Patches whose sensors are merged at once: they stay in the processor's cache."""


class So2SatCollator:
    """``collate_fn`` of a DataLoader, ``data_collator`` of a Trainer.

    Computes with numpy and knows no device, so that it works in worker processes, however they are started.
    """

    def __init__(
        self,
        preset: Preset | str | Iterable[str],
        *,
        labels: str | None = "label",
        soft_labels: str | None = None,
        metadata: Iterable[str] = (),
        stack: bool = True,
        transform: So2SatTransform | None = None,
    ) -> None:
        """Say what goes into a batch.

        Args:
            preset: what the model eats: a preset, the name of one, or names of bands in the order wanted.
            labels: column of class numbers; None: none.
            soft_labels: column of 17 probabilities for each patch; None: none.
            metadata: more columns to hand on under their names, numbers as tensors and strings as lists;
                ``lonlat`` for longitude and latitude of the centre, (b, 2) float32 degrees; ``wavelengths``
                for the centre wavelength of each channel of the model, (b, channels) float32 nanometres, NaN
                where unknown.
            stack: False: ``sen1`` and ``sen2`` apart, each in its own type, instead of ``pixel_values``.
            transform: run on each batch at once, on the CPU, for a stock Trainer: a
                :class:`~so2sat_hf.vision.transform.So2SatTransform` with the same preset. In its training
                mode it changes evaluation batches, too, since a Trainer has one collator for both.

        Raises:
            So2SatError: there is no such preset or band.
        """
        if isinstance(preset, str):
            preset = preset_named(preset)
        self.preset = preset if isinstance(preset, Preset) else None
        self.bands = preset.bands if isinstance(preset, Preset) else tuple(preset)
        self._numbers = {
            sensor: [facts.band(name).index for name in self.bands if facts.band(name).sensor == sensor]
            for sensor in facts.SENSORS
        }
        self._places = {
            sensor: as_index([i for i, name in enumerate(self.bands) if facts.band(name).sensor == sensor])
            for sensor in facts.SENSORS
        }
        self.sensors = tuple(sensor for sensor, numbers in self._numbers.items() if numbers)
        if not self.sensors:
            raise So2SatError("bands", found="none", expected="names of bands, or a preset")
        self.labels, self.soft_labels, self.metadata = labels, soft_labels, tuple(metadata)
        self.stack, self.transform = stack, transform
        self._calls = 0

    def __call__(self, features: Any) -> dict[str, Any]:  # noqa: ANN401
        """Make a batch.

        Args:
            features: see :func:`~so2sat_hf.vision.samples.arrays_of`. ``sen1`` and ``sen2`` have all their
                bands, as stored, or just those of this collator, in its order.

        Returns:
            ``pixel_values`` (b, bands, 32, 32): the bands of the preset in stored order (or in the order
            that they were named), uint16 digital numbers where Sentinel-2 alone comes so, else float32 as
            stored; ``labels`` (b,) int64; and what else was asked for. With a transform: what that returns.

        Raises:
            So2SatError: a column or band that is not there, by its name.
        """
        arrays = arrays_of(features, self._columns())
        batch = self._pixels(arrays)
        count = len(next(iter(batch.values())))
        if self.labels is not None:
            batch["labels"] = torch.from_numpy(np.array(_plain(arrays[self.labels]), np.int64))
        if self.soft_labels is not None:
            batch["soft_labels"] = self._soft(arrays[self.soft_labels], count)
        for name in self.metadata:
            batch[name] = self._metadata(name, arrays, count)
        return batch if self.transform is None else self._transformed(self.transform, batch)

    def _columns(self) -> list[str]:
        """Return the columns that it reads."""
        names = [*self.sensors, self.labels, self.soft_labels]
        for name in self.metadata:
            names += ["longitude", "latitude"] if name == LONLAT else [] if name == WAVELENGTHS else [name]
        return [name for name in dict.fromkeys(names) if name is not None]

    def _pixels(self, arrays: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        found = {sensor: pixels_of(arrays[sensor], self._index(sensor), sensor) for sensor in self.sensors}
        if not self.stack:
            return found
        if len(found) == 1:
            return {"pixel_values": next(iter(found.values()))}
        return {"pixel_values": self._merged(found)}

    def _merged(self, found: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """(b, bands, h, w) float32 of both sensors, in the order of the bands."""
        count, _, *size = next(iter(found.values())).shape
        out = np.empty((count, len(self.bands), *size), np.float32)  # torch asks for small pages, and waits
        for start in range(0, count, BLOCK_ROWS):
            part = slice(start, start + BLOCK_ROWS)
            for sensor, values in found.items():
                stored = values[part]
                out[part, self._places[sensor]] = (
                    stored if stored.is_floating_point() else stored_values(stored)
                ).numpy()
        return torch.from_numpy(out)

    def _index(self, sensor: str) -> Callable[[int], slice | list[int]]:
        """Return what tells which of a sensor's channels to take, by how many there are."""
        numbers = self._numbers[sensor]

        def index(count: int) -> slice | list[int]:
            if count == NUM_BANDS[sensor]:
                return as_index(numbers)
            if count == len(numbers):
                return slice(0, count)
            names = [name for name in self.bands if facts.band(name).sensor == sensor]
            raise So2SatError(
                f"column {sensor}",
                found=f"{count} bands",
                expected=f"all {NUM_BANDS[sensor]}, or {len(names)}: {' '.join(names)}",
            )

        return index

    def _soft(self, values: Any, count: int) -> torch.Tensor:  # noqa: ANN401
        array = np.array(_plain(values), np.float32)
        if array.shape != (count, len(facts.classes())):
            raise So2SatError(
                f"column {self.soft_labels}",
                found=f"shape {array.shape}",
                expected=f"{len(facts.classes())} probabilities for each of {count} patches",
            )
        return torch.from_numpy(array)

    def _metadata(self, name: str, arrays: Mapping[str, Any], count: int) -> Any:  # noqa: ANN401
        if name == LONLAT:
            pair = [np.array(_plain(arrays[column]), np.float32) for column in ("longitude", "latitude")]
            return torch.from_numpy(np.stack(pair, axis=1))
        if name == WAVELENGTHS:
            row = torch.tensor(self._wavelengths(), dtype=torch.float32)
            return row.expand(count, -1).contiguous()
        values = np.asarray(_plain(arrays[name]))
        return values.tolist() if values.dtype.kind in "OU" else torch.from_numpy(values.copy())

    def _wavelengths(self) -> list[float]:
        if self.preset is None:
            return [facts.band(name).wavelength_nm for name in self.bands]
        known = (slot.wavelength_nm for slot in self.preset.slots)
        return [float("nan") if wavelength is None else wavelength for wavelength in known]

    def _transformed(self, transform: So2SatTransform, batch: dict[str, Any]) -> dict[str, Any]:
        """Run the transform; in a worker of a DataLoader with random numbers of its own."""
        worker = get_worker_info()
        if worker is None:
            return transform(batch)
        if not self._calls:  # what is changed here is this worker's copy
            base = worker.seed - worker.id  # drawn anew for every pass over a DataLoader
            transform.seed = (transform.seed << SEED_BITS) + base
        step = self._calls * worker.num_workers + worker.id
        self._calls += 1
        return transform(batch, step=step)


def _plain(values: Any) -> Any:  # noqa: ANN401
    """Return numbers as numpy understands them."""
    if isinstance(values, torch.Tensor):
        return values.numpy(force=True)
    if isinstance(values, list) and values and isinstance(values[0], torch.Tensor):
        return [value.numpy(force=True) for value in values]
    return values
