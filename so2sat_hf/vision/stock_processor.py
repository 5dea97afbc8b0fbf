"""The image processor that transformers itself has, where it can do what a preset asks for."""

from typing import Any

from so2sat_hf.errors import So2SatError
from so2sat_hf.vision.preset import Preset

FACTORS = {"reflectance": 1.0, "linear": 1.0, "DN": 10_000.0}
"""Units that are a multiple of the stored value."""

RESAMPLING = {"bilinear": 2, "bicubic": 3}
"""Numbers of Pillow."""


def stock_image_processor(preset: Preset) -> Any:  # noqa: ANN401
    """Return a ``ViTImageProcessor`` that needs no remote code: rescale, resize, normalise.

    It takes float patches (bands, rows, columns) with the bands of the preset, as stored. Needs torchvision:
    the version that works with Pillow alone knows three channels at most.

    Raises:
        So2SatError: something that it cannot do: radar in dB, limits, empty slots, bands out of stored order.
    """
    preset.complete()
    for slot in preset.slots:
        if slot.unit not in FACTORS or slot.limits is not None or slot.band is None:
            raise _impossible(
                preset, f"slot {slot.name} in {slot.unit}" + (", cut off" if slot.limits else "")
            )
    shown = tuple(slot.band for slot in preset.slots)
    factors = {FACTORS[slot.unit] for slot in preset.slots}
    if shown != preset.bands or len(factors) > 1 or len(preset.inputs) > 1:
        raise _impossible(preset, f"slots {' '.join(map(str, shown))} in {len(factors)} units")
    from transformers import ViTImageProcessor  # noqa: PLC0415 (seconds)
    from transformers.utils.import_utils import is_torchvision_available  # noqa: PLC0415

    if not is_torchvision_available():  # then transformers takes Pillow, which stumbles over ten channels
        raise So2SatError(
            "ViTImageProcessor",
            found="torchvision cannot be imported",
            expected="one that fits torch: Pillow knows three channels at most",
            remedy="use so2sat_hf.vision.processor.image_processor, which needs none",
        )
    factor = factors.pop()
    return ViTImageProcessor(
        do_convert_rgb=False,
        do_rescale=factor != 1,
        rescale_factor=factor,
        image_mean=[slot.mean or 0.0 for slot in preset.slots],
        image_std=[slot.std or 1.0 for slot in preset.slots],
        size={"height": preset.size, "width": preset.size},
        resample=RESAMPLING[preset.interpolation],
        input_data_format="channels_first",
    )


def _impossible(preset: Preset, found: str) -> So2SatError:
    return So2SatError(
        f"preset {preset.name}",
        found=found,
        expected="bands in stored order, in one unit of reflectance, none empty: all that a stock "
        "ViTImageProcessor can do",
        remedy="use so2sat_hf.vision.processor.image_processor",
    )
