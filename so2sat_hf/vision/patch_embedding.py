"""Give an image classifier of transformers as many channels as a preset has slots."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from so2sat_hf.errors import So2SatError
from so2sat_hf.vision.catalogue import preset as preset_named
from so2sat_hf.vision.preset import Preset, Slot

FAMILIES = (
    "vit",
    "dinov2",
    "dinov2_with_registers",
    "beit",
    "swin",
    "swinv2",
    "convnextv2",
    "hiera",
    "timm_wrapper",
)
"""Model types that are tested; others with one convolution at their entrance work as well."""

INITS = ("named", "repeat", "mean", "random")

RGB = "rgb"
"""Preset whose slots are the channels of a checkpoint with three of them."""


def adapt_patch_embedding(
    model: Any,  # noqa: ANN401
    preset: Preset,
    init: str = "named",
    *,
    source: Preset | None = None,
) -> None:
    """Replace the first convolution of a model by one with a channel for each slot, in place.

    ``save_pretrained`` and ``from_pretrained`` then keep it as it is.

    Args:
        model: an image classifier of transformers, as it was loaded.
        preset: what it is to eat.
        init: kernels of the new channels, k of S old ones:
            ``named``: a slot that shows the same band as an old channel keeps its kernel, others get the mean
            of the old kernels; all times S / N, unless the bands are the old ones.
            ``repeat``: slot i gets old kernel i modulo S, times S / N, as timm does.
            ``mean``: the mean of the old kernels, times S / N.
            ``random``: as the model initialises itself.
        source: what the model ate so far; default, for three channels: red, green and blue.

    Raises:
        So2SatError: another kind of model, several inputs, or a source that it cannot have had.
    """
    if init not in INITS:
        raise So2SatError("init", found=repr(init), expected=" or ".join(INITS))
    if len(preset.inputs) > 1:
        raise So2SatError(
            f"preset {preset.name}", found=f"inputs {', '.join(preset.inputs)}", expected="one input"
        )
    name, old = first_convolution(model)
    slots = (preset_named(RGB) if source is None else source).slots
    if len(slots) != old.in_channels:
        raise So2SatError(
            f"model {model.config.model_type}",
            found=f"{old.in_channels} channels",
            expected=f"{len(slots)}, the slots of its source",
            remedy="source= says which bands the model was trained with",
        )
    new = _wider(old, len(preset.slots))
    if init == "random":
        model._init_weights(new)  # noqa: SLF001 (as transformers initialises every module)
    else:
        with torch.no_grad():
            new.weight.copy_(_kernels(old.weight, slots, preset.slots, init))
            if old.bias is not None and new.bias is not None:
                new.bias.copy_(old.bias)
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, new)
    _note_channels(model, old.in_channels, len(preset.slots))


def first_convolution(model: Any) -> tuple[str, nn.Conv2d]:  # noqa: ANN401
    """Return the convolution that pixels enter by, and its name.

    Raises:
        So2SatError: there is none, or it does not take all channels at once.
    """
    found = next(((name, each) for name, each in model.named_modules() if isinstance(each, nn.Conv2d)), None)
    if found is None or found[1].groups != 1:
        raise So2SatError(
            f"model {getattr(model.config, 'model_type', type(model).__name__)}",
            found="no convolution that all channels enter by",
            expected="an image classifier such as " + ", ".join(FAMILIES),
        )
    return found


def _wider(old: nn.Conv2d, channels: int) -> nn.Conv2d:
    shape: dict[str, Any] = {
        name: getattr(old, name) for name in ("kernel_size", "stride", "padding", "dilation", "padding_mode")
    }
    place: dict[str, Any] = {"device": old.weight.device, "dtype": old.weight.dtype}
    return nn.Conv2d(channels, old.out_channels, bias=old.bias is not None, **shape, **place)


def _kernels(old: torch.Tensor, source: Sequence[Slot], target: Sequence[Slot], init: str) -> torch.Tensor:
    """(d, S, k, k) -> (d, N, k, k)."""
    scale = len(source) / len(target)
    if init == "repeat":
        return old[:, [number % len(source) for number in range(len(target))]] * scale
    mean = old.mean(dim=1)
    if init == "mean":
        return torch.stack([mean] * len(target), dim=1) * scale
    matches = [_match(slot, source) for slot in target]
    if None not in matches and sorted(matches) == list(range(len(source))):  # type: ignore[type-var]
        scale = 1.0
    return torch.stack([mean if match is None else old[:, match] for match in matches], dim=1) * scale


def _match(slot: Slot, source: Sequence[Slot]) -> int | None:
    """Return the old channel that a slot takes the place of."""
    for number, old in enumerate(source):
        if slot.band is not None and slot.band == old.band:
            return number
    names = [old.name for old in source]
    return names.index(slot.name) if slot.name in names else None


def _note_channels(model: Any, old: int, new: int) -> None:  # noqa: ANN401
    """Let everything that knows the number of channels know the new one."""
    for module in model.modules():
        if getattr(module, "num_channels", None) == old:
            module.num_channels = new
    config = model.config
    if config.model_type == "timm_wrapper":
        config.model_args = {**(config.model_args or {}), "in_chans": new}
    else:
        config.num_channels = new
