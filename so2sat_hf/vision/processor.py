"""The image processor of a preset, to be saved with a model; and the preset of a saved one."""

from typing import Any

from so2sat_hf import facts
from so2sat_hf.errors import So2SatError
from so2sat_hf.vision.image_processing import So2SatImageProcessor
from so2sat_hf.vision.preset import Preset
from so2sat_hf.vision.preset_table import from_dict

KEPT = ("name", "title", "patch_size", "tier", "statistics", "ranges")
"""What of a preset a processor stores beside the numbers that it works with."""


def image_processor(preset: Preset) -> So2SatImageProcessor:
    """Return the processor that does what the transform does in evaluation, within 1e-5 on logits.

    ``save_pretrained`` writes its numbers and its code; ``AutoImageProcessor`` opens it with
    ``trust_remote_code=True``, ``So2SatImageProcessor`` without.

    Raises:
        So2SatError: slots without mean and deviation, or a model with several inputs.
    """
    plain = preset.complete().to_dict()
    if len(preset.inputs) > 1:
        raise So2SatError(
            f"preset {preset.name}",
            found=f"inputs {', '.join(preset.inputs)}",
            expected="one input: an image processor gives pixel_values alone",
            remedy="use So2SatTransform",
        )
    So2SatImageProcessor.register_for_auto_class()  # type: ignore[no-untyped-call]
    return So2SatImageProcessor(
        bands=preset.bands,
        slots=plain["slots"],
        size={"height": preset.size, "width": preset.size},
        interpolation=preset.interpolation,
        sensors={sensor: [band.name for band in facts.bands(sensor)] for sensor in preset.sensors},
        preset={name: plain[name] for name in KEPT},
    )


def preset_of(processor: Any) -> Preset:  # noqa: ANN401 (also a class that was loaded from a folder)
    """Return the preset that a processor was made from.

    Args:
        processor: what :func:`image_processor` returned, or ``from_pretrained`` of it.

    Raises:
        So2SatError: it is another kind of processor.
    """
    kept = getattr(processor, "preset", None)
    if not isinstance(kept, dict) or not hasattr(processor, "slots"):
        raise So2SatError(
            f"processor {type(processor).__name__}",
            found="no slots of a preset in it",
            expected="a So2SatImageProcessor",
            remedy="name the preset that the model was trained with",
        )
    numbers = {"slots": processor.slots, "size": processor.size["height"]}
    return from_dict({**kept, **numbers, "interpolation": processor.interpolation}, "processor")
