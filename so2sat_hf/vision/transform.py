"""What happens to a batch on the device, in training and evaluation: augment, normalise, resize."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from so2sat_hf import facts
from so2sat_hf.convert.patches import PATCH_SIZE
from so2sat_hf.errors import So2SatError
from so2sat_hf.vision.augmentation import Augmentation, Draws, draw
from so2sat_hf.vision.image_processing import SlotTable, resize, stored_values
from so2sat_hf.vision.preset import Preset

NONE = Augmentation(flips=False)
"""Nothing random."""


class So2SatTransform(nn.Module):
    """Compact batches -> what the model eats.

    ``transform(batch)`` takes what :class:`~so2sat_hf.vision.collate.So2SatCollator` returned, moved to the
    device of the transform, and returns what ``model(**batch)`` takes. In training mode (``train()``) patches
    are augmented; in evaluation mode (``eval()``) nothing is random. All but the last step is done at the 32
    pixels of a patch. :meth:`compile` compiles what runs on the device; batches then need one size.
    """

    optical: torch.Tensor
    """(bands,) bool: of Sentinel-2."""

    places: torch.Tensor
    """(8, 1024): see :func:`places_of`."""

    def __init__(
        self,
        preset: Preset,
        *,
        size: int | None = None,
        augment: Augmentation | None = None,
        seed: int = 0,
        rank: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Prepare for a preset.

        Args:
            preset: what the model eats; complete.
            size: rows and columns of the model's input; default: that of the preset.
            augment: what may happen in training mode; default: flips and quarter turns.
            seed: of everything random, from 0.
            rank: of this process, from 0: which part of the global batch its batches are.
            dtype: of the result, e.g. ``torch.bfloat16``; it is computed in float32.

        Raises:
            So2SatError: slots without mean and deviation, or a size, seed or rank that cannot be.
        """
        super().__init__()
        self.preset = preset.complete()
        self.size = preset.size if size is None else size
        for name, value in (("size", self.size - 1), ("seed", seed), ("rank", rank)):
            if value < 0:
                raise So2SatError(name, found=str(value), expected="a whole number, not below 0")
        self.augment = Augmentation() if augment is None else augment
        self.seed, self.rank, self.dtype = seed, rank, dtype
        self.step = 0
        self.table = SlotTable(preset.bands, preset.to_dict()["slots"])
        optical = [facts.band(name).sensor == "sen2" for name in preset.bands]
        self.register_buffer("optical", torch.tensor(optical), persistent=False)
        self.register_buffer("places", places_of(PATCH_SIZE), persistent=False)
        self._compute = self._values

    def compile(self, *, dynamic: bool = False, **options: Any) -> None:  # noqa: ANN401
        """Compile what runs on the device; ``options`` are those of ``torch.compile``."""
        self._compute = torch.compile(self._values, fullgraph=True, dynamic=dynamic, **options)

    def forward(self, batch: Mapping[str, Any], *, step: int | None = None) -> dict[str, Any]:
        """Transform a batch.

        Args:
            batch: ``pixel_values`` (b, bands, 32, 32), the bands of the preset in stored order, float as
                stored or whole digital numbers; or ``sen1`` and ``sen2`` apart. ``labels`` (b,) and
                ``soft_labels`` (b, 17) take part in the blending; everything else is passed on.
            step: number of the global batch, from 0: the same step gives the same flips. Default: a count of
                the batches so far in training mode.

        Returns:
            A new dict: the inputs of the model (b, slots, size, size), usually ``pixel_values``; everything
            else as it came; ``soft_labels`` (b, 17) float32 where patches were blended.

        Raises:
            So2SatError: no pixels, or not the bands of the preset.
        """
        rest = dict(batch)
        pixels = self._pixels(rest)
        draws = self._draws(len(pixels), pixels.shape[-1], step) if self.training else None
        values = self._compute(pixels, draws)
        if draws is not None and draws.weight is not None:
            rest["soft_labels"] = self._blended(rest, draws.weight)
        return {**self._inputs(values), **rest}

    def _pixels(self, rest: dict[str, Any]) -> torch.Tensor:
        """Take the pixels out of a batch: (b, bands, h, w)."""
        names = ("pixel_values",) if "pixel_values" in rest else self.preset.sensors
        missing = [name for name in names if name not in rest]
        parts = [rest.pop(name) for name in names if name in rest]
        found = sum(part.shape[1] for part in parts)
        if missing or found != len(self.preset.bands):
            raise So2SatError(
                f"batch for preset {self.preset.name}",
                found=f"no {', '.join(missing)}" if missing else f"{found} bands",
                expected=f"the bands {' '.join(self.preset.bands)}",
                remedy="make it with So2SatCollator and the same preset",
            )
        if len(parts) == 1:
            return parts[0]
        return torch.cat([stored_values(part) for part in parts], dim=1)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _draws(self, count: int, size: int, step: int | None) -> Draws:
        """Draw what is random in a batch; tensors on the device."""
        if step is None:
            step, self.step = self.step, self.step + 1
        drawn = draw(
            self.augment,
            count,
            bands=self.table.num_bands,
            slots=self.table.num_slots,
            seed=(self.seed, step),
            first=self.rank * count,
            size=size,
        )
        return Draws(*(None if values is None else self._moved(values) for values in drawn))

    def _values(self, pixels: torch.Tensor, draws: Draws | None) -> torch.Tensor:
        """(b, bands, h, w) -> (b, slots, size, size)."""
        if draws is None:
            return resize(self.table(pixels), self.size, self.preset.interpolation).to(self.dtype)
        if draws.flips is not None:
            pixels = flipped(pixels, draws.flips, self.places)
        if draws.jitter is not None:
            factors = torch.where(self.optical, draws.jitter, 1.0)
            pixels = stored_values(pixels) * factors[..., None, None]
        values = self.table(pixels)
        if draws.drop is not None:
            values = values.masked_fill(draws.drop[..., None, None], 0.0)
        if draws.blend is not None:
            values = torch.lerp(values.flip(0), values, draws.blend[:, None, None, None])
        if draws.box is not None:
            values = torch.where(_inside(draws.box, values.shape[-1]), values.flip(0), values)
        return resize(values, self.size, self.preset.interpolation).to(self.dtype)

    def _blended(self, rest: Mapping[str, Any], weight: torch.Tensor) -> torch.Tensor:
        """Return the labels of blended patches, (b, 17)."""
        soft = rest.get("soft_labels")
        if soft is None:
            if "labels" not in rest:
                raise So2SatError(
                    "batch", found="no labels", expected="labels, to be blended by mixup or cutmix"
                )
            soft = nn.functional.one_hot(rest["labels"].long(), facts.NUM_CLASSES)
        soft = soft.to(torch.float32)
        return torch.lerp(soft.flip(0), soft, weight[:, None])

    def _inputs(self, values: torch.Tensor) -> dict[str, torch.Tensor]:
        """Deal the channels out to the inputs of the model."""
        if len(self.preset.inputs) == 1:
            return {self.preset.inputs[0]: values}
        slots = self.preset.slots
        return {
            name: values[:, [number for number, slot in enumerate(slots) if slot.input == name]]
            for name in self.preset.inputs
        }

    def _moved(self, values: Any) -> torch.Tensor:  # noqa: ANN401
        """Numpy array -> tensor on the device, without waiting for it."""
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        device = self.optical.device
        if device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(device, non_blocking=True)

    def extra_repr(self) -> str:
        """Return what ``print`` shows."""
        return f"{self.preset.name}, {self.table.num_slots} x {self.size} x {self.size}, {self.augment}"


def flipped(pixels: torch.Tensor, flips: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Flip and turn each patch.

    Args:
        pixels: (b, c, n, n).
        flips: (3, b) bool: transposed, then upside down, then mirrored; together all eight of a square.
        places: (8, n * n), :func:`places_of`.
    """
    if pixels.device.type == "cpu" and not torch.compiler.is_compiling():
        return torch.from_numpy(_flipped_one_by_one(pixels.numpy(force=True), flips.tolist()))
    pixels = stored_values(pixels)  # devices can do little with unsigned numbers
    which = flips[0].long() * 4 + flips[1].long() * 2 + flips[2].long()
    wanted = places[which][:, None].expand(-1, pixels.shape[1], -1)  # one lookup for all bands of a patch
    return pixels.flatten(2).gather(2, wanted).view(pixels.shape)


def _flipped_one_by_one(pixels: NDArray[Any], flips: Sequence[Sequence[bool]]) -> NDArray[Any]:
    """The same on a CPU, patch by patch in its cache: half the time."""
    out = np.empty_like(pixels)
    for place, patch, transpose, upside_down, mirror in zip(out, pixels, *flips, strict=True):
        turned = patch.swapaxes(1, 2) if transpose else patch
        turned = turned[:, ::-1] if upside_down else turned
        place[...] = turned[:, :, ::-1] if mirror else turned
    return out


def places_of(size: int) -> torch.Tensor:
    """Return from where each pixel of the eight flips and turns comes, (8, size * size)."""
    grid = torch.arange(size * size).reshape(size, size)
    turned = [grid, grid.T]
    turned = [each for grid in turned for each in (grid, grid.flip(0))]
    turned = [each for grid in turned for each in (grid, grid.flip(1))]
    return torch.stack([each.flatten() for each in turned])


def _inside(box: torch.Tensor, size: int) -> torch.Tensor:
    """(4, b) -> (b, 1, size, size): whether a pixel is in the rectangle."""
    place = torch.arange(size, device=box.device)
    top, bottom, left, right = box[:, :, None]
    rows = (place >= top) & (place < bottom)
    columns = (place >= left) & (place < right)
    return (rows[:, :, None] & columns[:, None, :])[:, None]
