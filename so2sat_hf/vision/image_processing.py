"""From the stored values of a So2Sat patch to what a vision model eats. This file is saved with the model.

It imports nothing but torch, numpy and transformers, so that ``AutoImageProcessor.from_pretrained(...,
trust_remote_code=True)`` and ``pipeline("image-classification", ...)`` work without so2sat_hf, which it is
part of. Apache-2.0; data: So2Sat LCZ42, doi 10.1109/MGRS.2020.2964708.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers.image_processing_base import BatchFeature, ImageProcessingMixin

DN_PER_REFLECTANCE = 10_000.0
"""Whole numbers are digital numbers: reflectance times this."""

DB_FLOOR = 1e-6
"""Smallest intensity before the logarithm: -60 dB."""

LINEAR = {"reflectance": 1.0, "DN": DN_PER_REFLECTANCE, "linear": 1.0}
"""Unit -> factor from the stored value to it. ``brightness`` is 1 / scale, cut off at 0 and 1."""


class SlotTable(nn.Module):
    """Stored bands -> the model's channels, in its units, normalised; the size stays."""

    inner: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    factor: torch.Tensor
    shift: torch.Tensor

    def __init__(self, bands: Sequence[str], slots: Sequence[Mapping[str, Any]]) -> None:
        """Work out which neighbouring channels are treated alike.

        Args:
            bands: names of the channels that come in.
            slots: one table a channel that goes out: ``unit``, ``mean``, ``std``, and ``band``, or ``fill``
                for an empty one; ``scale`` and ``limits`` where it has some.
        """
        super().__init__()
        self.num_bands, self.num_slots = len(bands), len(slots)
        self.has_radar = any(slot["unit"] in ("dB", "asinh", "linear") for slot in slots if slot.get("band"))
        kinds = [_kind(bands, slot) for slot in slots]
        self.runs: list[tuple[str, int, int, int]] = []  # kind, first band, first slot, channels
        for number, (kind, band) in enumerate(kinds):
            last = self.runs[-1] if self.runs else ("", 0, 0, 0)
            if kind == last[0] and band in (last[1] + last[3], -1):
                self.runs[-1] = (*last[:3], last[3] + 1)
            else:
                self.runs.append((kind, band, number, 1))
        numbers = np.array([_numbers(slot) for slot in slots], np.float64).T[..., None, None]
        for name, values in zip(("inner", "low", "high", "factor", "shift"), numbers, strict=True):
            self.register_buffer(name, torch.tensor(values.astype(np.float32)), persistent=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalise.

        Args:
            pixels: (b, bands, h, w), the stored values; whole numbers are digital numbers of Sentinel-2.

        Returns:
            (b, slots, h, w) float32.

        Raises:
            ValueError: whole numbers for bands of Sentinel-1.
        """
        if self.has_radar and not pixels.is_floating_point():
            raise ValueError("whole numbers for Sentinel-1: expected amplitude and power as floats")
        pixels = stored_values(pixels)
        out = _room(pixels, self.num_slots)
        for kind, band, slot, count in self.runs:
            part = slice(slot, slot + count)
            factor, shift = self.factor[part], self.shift[part]
            if kind == "empty":
                out[:, part] = shift
                continue
            values = pixels[:, band : band + count]
            if kind in ("dB", "dB limited"):
                values = 10.0 * torch.log10(values.clamp_min(DB_FLOOR))
            elif kind in ("asinh", "asinh limited"):
                values = _asinh(values * self.inner[part])
            elif kind == "linear limited":
                values = values * self.inner[part]
            if kind.endswith("limited"):
                values = torch.minimum(torch.maximum(values, self.low[part]), self.high[part])
            out[:, part] = torch.addcmul(shift, values, factor)
        return out


def _room(like: torch.Tensor, channels: int) -> torch.Tensor:
    """Memory for so many channels; numpy asks for large pages, which torch on a CPU waits for one by one."""
    shape = (like.shape[0], channels, *like.shape[2:])
    if like.device.type == "cpu" and not torch.compiler.is_compiling():
        return torch.from_numpy(np.empty(shape, np.float32))
    return like.new_empty(shape)


def _asinh(values: torch.Tensor) -> torch.Tensor:
    """On a CPU numpy's takes a twentieth of the time of torch's."""
    if values.device.type == "cpu" and not torch.compiler.is_compiling():
        return torch.from_numpy(np.arcsinh(values.numpy(force=True)))
    return torch.asinh(values)


def _kind(bands: Sequence[str], slot: Mapping[str, Any]) -> tuple[str, int]:
    """Return how a slot is computed, and from which channel."""
    if not slot.get("band"):
        return "empty", -1
    kind = slot["unit"] if slot["unit"] in ("dB", "asinh") else "linear"
    limited = slot.get("limits") is not None or slot["unit"] == "brightness"
    return kind + (" limited" if limited else ""), list(bands).index(slot["band"])


def _numbers(slot: Mapping[str, Any]) -> tuple[float, float, float, float, float]:
    """Return (inner factor, low, high, factor, shift): ``clip(f(inner x), low, high) * factor + shift``."""
    mean, std, unit = slot["mean"], slot["std"], slot["unit"]
    if not slot.get("band"):
        return 1.0, 0.0, 0.0, 0.0, (slot["fill"] - mean) / std
    inner = 1.0 / slot["scale"] if unit in ("asinh", "brightness") else LINEAR.get(unit, 1.0)
    low, high = slot.get("limits") or ((0.0, 1.0) if unit == "brightness" else (-np.inf, np.inf))
    is_plain = unit in LINEAR and slot.get("limits") is None  # then the factor is applied in one step
    return inner, low, high, (inner if is_plain else 1.0) / std, -mean / std


def stored_values(pixels: torch.Tensor) -> torch.Tensor:
    """Return pixels as float32 in the stored unit; whole numbers are digital numbers of Sentinel-2."""
    values = pixels.to(torch.float32)
    return values if pixels.is_floating_point() else values / DN_PER_REFLECTANCE


def resize(pixels: torch.Tensor, size: int, interpolation: str) -> torch.Tensor:
    """(b, c, h, w) -> (b, c, size, size): bilinear or bicubic, anti-aliased, pixel centres aligned."""
    if pixels.shape[-2:] == (size, size):
        return pixels
    return functional.interpolate(
        pixels, (size, size), mode=interpolation, antialias=True, align_corners=False
    )


class ProcessorArguments(TypedDict, total=False):
    """What ``from_pretrained`` may overrule."""

    size: dict[str, int]
    interpolation: str


class So2SatImageProcessor(ImageProcessingMixin):
    """Patches of So2Sat LCZ42 -> ``pixel_values`` of the model that it is saved with."""

    model_input_names: list[str] = ["pixel_values"]  # noqa: RUF012 (as transformers declares it)
    valid_kwargs = ProcessorArguments

    def __init__(
        self,
        bands: Sequence[str] = (),
        slots: Sequence[Mapping[str, Any]] = (),
        size: Mapping[str, int] | None = None,
        interpolation: str = "bilinear",
        sensors: Mapping[str, Sequence[str]] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Take the numbers of a preset; :func:`so2sat_hf.vision.processor.image_processor` fills them in.

        Args:
            bands: that a patch is made of, in stored order.
            slots: see :class:`SlotTable`.
            size: height and width of ``pixel_values``.
            interpolation: ``bilinear`` or ``bicubic``.
            sensors: column of the dataset -> names of all its bands, in stored order.
            kwargs: kept, and saved again.
        """
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.bands, self.slots = list(bands), [dict(slot) for slot in slots]
        self.size = dict(size or {"height": 32, "width": 32})
        self.interpolation = interpolation
        self.sensors = {name: list(names) for name, names in (sensors or {}).items()}

    def __call__(self, images: Any, **kwargs: Any) -> BatchFeature:  # noqa: ANN401
        """Preprocess."""
        return self.preprocess(images, **kwargs)

    def preprocess(self, images: Any, return_tensors: str | None = None, **_: Any) -> BatchFeature:  # noqa: ANN401
        """Turn patches into ``pixel_values``.

        Args:
            images: one patch or a list of patches, each (bands, rows, columns): the ``bands`` of this
                processor in stored order, or all bands of one sensor, or of both, Sentinel-1 first; or a row
                of the dataset, with ``sen1`` and ``sen2``. Float values are as stored (reflectance, linear
                power); whole numbers are digital numbers of Sentinel-2.
            return_tensors: ``"pt"``, ``"np"``, or None for a list of arrays.

        Returns:
            ``pixel_values`` (b, slots, height, width) float32.

        Raises:
            ValueError: something else than patches, other bands, or a 4-D array of several patches: give a
                list of them, so that a pipeline answers each.
        """
        patches = [self._patch(image) for image in _listed(images)]
        if len({(patch.shape, patch.is_floating_point()) for patch in patches}) > 1:
            raise ValueError("patches: of different shapes or kinds; expected all alike")
        with torch.no_grad():
            table = SlotTable(self.bands, self.slots).to(patches[0].device)
            pixels = resize(table(torch.stack(patches)), self.size["height"], self.interpolation)
        if return_tensors == "pt":
            return BatchFeature({"pixel_values": pixels})
        arrays = pixels.cpu().numpy()
        return BatchFeature({"pixel_values": arrays if return_tensors == "np" else list(arrays)})

    def _patch(self, image: Any) -> torch.Tensor:  # noqa: ANN401
        """Return the bands of one patch, (bands, h, w)."""
        if isinstance(image, Mapping):
            missing = [sensor for sensor in self.sensors if sensor not in image]
            if missing:
                raise ValueError(f"row with {', '.join(map(str, image))}: expected {', '.join(missing)}, too")
            parts = [_stored(_tensor(image[sensor]), sensor) for sensor in self.sensors]
            whole = torch.cat(parts)
            names = [name for sensor in self.sensors.values() for name in sensor]
        else:
            whole = _tensor(image)
            names = self._names_of(whole)
        if len(whole) != len(names):
            raise ValueError(f"row with {len(whole)} bands: expected {len(names)}, {' '.join(names)}")
        wanted = [names.index(band) for band in self.bands]
        return whole if wanted == list(range(len(names))) else whole[wanted]

    def _names_of(self, patch: torch.Tensor) -> list[str]:
        """Tell from their count which bands a patch is made of."""
        every = [name for sensor in self.sensors.values() for name in sensor]
        for names in (self.bands, every):
            if patch.ndim == 3 and len(patch) == len(names):
                return names
        raise ValueError(
            f"patch of shape {tuple(patch.shape)}: expected ({len(self.bands)}, rows, columns), the bands "
            f"{' '.join(self.bands)}" + (f", or ({len(every)}, rows, columns)" if every else "")
        )


def _listed(images: Any) -> list[Any]:  # noqa: ANN401
    """Return a list of patches."""
    if isinstance(images, list | tuple):
        if not images:
            raise ValueError("no patches: expected at least one")
        is_patch = not isinstance(images[0], Mapping) and np.ndim(images[0]) < 3  # nested lists
        return [images] if is_patch else [each for image in images for each in _listed(image)]
    if not isinstance(images, Mapping) and np.ndim(images) == 4:
        if len(images) != 1:
            raise ValueError(
                f"a 4-D array of {len(images)} patches: expected a list of patches, list(batch), "
                "since a pipeline takes an array for one image and would answer the first alone"
            )
        return [images[0]]
    return [images]


def _tensor(values: Any) -> torch.Tensor:  # noqa: ANN401
    if not isinstance(values, torch.Tensor):
        array = np.asarray(values)
        if array.dtype.kind not in "fiu":
            raise ValueError(f"patch of {type(values).__name__}: expected numbers (bands, rows, columns)")
        values = torch.from_numpy(np.ascontiguousarray(array))
    return values


def _stored(values: torch.Tensor, sensor: str) -> torch.Tensor:
    """Return values of one sensor as float32 in the stored unit."""
    if sensor == "sen1" and not values.is_floating_point():
        raise ValueError("sen1 in whole numbers: expected amplitude and power as floats")
    return stored_values(values)
