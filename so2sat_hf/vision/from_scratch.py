"""Plain vision transformers at the native 32 pixels, to be trained from scratch: ``vit-small-8`` and its kin.

They are ``ViTForImageClassification`` of transformers, with as many channels as a preset has slots, so that
everybody opens them without any code of ours. Patches of 8 pixels see 80 m, patches of 4 pixels 40 m and cost
four times as much.
"""

from typing import Any

from transformers import ViTConfig, ViTForImageClassification

from so2sat_hf import facts
from so2sat_hf.errors import So2SatError
from so2sat_hf.vision.preset import Preset

PATCH_SIZES = (4, 8)
MLP_RATIO = 4


def names() -> list[str]:
    """Return the names of the models, small ones first."""
    return [
        f"{each['name']}-{size}" for each in facts.architecture_tables() for size in reversed(PATCH_SIZES)
    ]


def scratch_config(name: str, preset: Preset, **options: Any) -> ViTConfig:  # noqa: ANN401
    """Return the configuration of a model.

    Args:
        name: ``vit-{tiny,small,base}-{4,8}``: size and pixels of a patch.
        preset: what it eats: as many channels as slots, ``size`` pixels.
        options: of ``ViTConfig``, which overrule.

    Raises:
        So2SatError: there is no such model, or the patches do not fit into the size of the preset.
    """
    family, _, patch_size = name.rpartition("-")
    if name not in names():
        raise So2SatError(f"model {name!r}", found="unknown", expected="one of " + ", ".join(names()))
    if preset.size % int(patch_size) or len(preset.inputs) > 1:
        raise So2SatError(
            f"model {name} for preset {preset.name}",
            found=f"size {preset.size}, inputs {', '.join(preset.inputs)}",
            expected=f"a multiple of {patch_size} pixels, and one input",
        )
    sizes = next(each for each in facts.architecture_tables() if each["name"] == family)
    classes = facts.class_names()
    known = {
        "hidden_size": sizes["hidden_size"],
        "num_hidden_layers": sizes["num_hidden_layers"],
        "num_attention_heads": sizes["num_attention_heads"],
        "intermediate_size": MLP_RATIO * sizes["hidden_size"],
        "patch_size": int(patch_size),
        "image_size": preset.size,
        "num_channels": len(preset.slots),
        "id2label": dict(enumerate(classes)),
        "label2id": {label: number for number, label in enumerate(classes)},
    }
    return ViTConfig(**known | options)


def scratch_model(name: str, preset: Preset, **options: Any) -> ViTForImageClassification:  # noqa: ANN401
    """Return a model with random weights, drawn from torch's own generator; see :func:`scratch_config`."""
    return ViTForImageClassification(scratch_config(name, preset, **options))
