"""Let an image classifier of transformers take pictures of another size, for good: saving keeps it."""

import copy
import math
from typing import Any

import torch
from torch.nn import functional

from so2sat_hf.errors import So2SatError
from so2sat_hf.vision.patch_embedding import first_convolution

SIZES = (32, 64, 96, 112, 128, 192, 224, 256, 384)
"""Tried for the error message, so that it names some that work."""

POSITIONS = ("position_embeddings", "pos_embed")
"""Ends of the names of absolute position embeddings, (1, prefix + rows * columns, d)."""


def resize_model(model: Any, size: int) -> Any:  # noqa: ANN401
    """Return a model that takes pictures of ``size`` x ``size`` pixels without a further argument.

    Models that take any size (DINOv2, BEiT, SwinV2, ConvNeXtV2) come back as they are; of others a copy is
    built for the size, its position embeddings interpolated once (bicubic).

    Args:
        model: an image classifier of transformers.
        size: in pixels.

    Raises:
        So2SatError: the architecture does not allow that size, with some that it allows.
    """
    if _cuts(model, size):
        stride = first_convolution(model)[1].stride[0]
        raise So2SatError(
            f"model {model.config.model_type} at {size} pixels",
            found=f"patches of {stride} pixels: the last {size % stride} rows and columns would be left out",
            expected=f"a multiple of {stride}, such as {size - size % stride or stride}",
        )
    found = _sized(model, size)
    if found is None:
        works = [str(each) for each in SIZES if not _cuts(model, each) and _sized(model, each) is not None]
        raise So2SatError(
            f"model {model.config.model_type} at {size} pixels",
            found="its architecture does not allow this size",
            expected=f"one of {', '.join(works) or 'no size that was tried'}",
        )
    return found


def _cuts(model: Any, size: int) -> bool:  # noqa: ANN401
    """Whether pixels at the edge would be left out without a word."""
    convolution = first_convolution(model)[1]
    return bool(size % convolution.stride[0]) and not any(map(bool, convolution.padding))


def _sized(model: Any, size: int) -> Any | None:  # noqa: ANN401
    """Return a model that takes a size; None if there is none."""
    if _takes(model, size):
        return model
    try:
        other = _rebuilt(model, size)
    except (RuntimeError, ValueError, TypeError, AssertionError, ZeroDivisionError):
        return None
    return other if other is not None and _takes(other, size) else None


def _takes(model: Any, size: int) -> bool:  # noqa: ANN401
    """Whether a picture of zeros goes through."""
    weight = first_convolution(model)[1].weight
    pixels = torch.zeros(1, weight.shape[1], size, size, dtype=weight.dtype, device=weight.device)
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval()(pixel_values=pixels)
    except (RuntimeError, ValueError, AssertionError):
        return False
    finally:
        model.train(was_training)
    return True


def _rebuilt(model: Any, size: int) -> Any | None:  # noqa: ANN401
    """Return a copy that is built for a size, with the weights of the model."""
    config = copy.deepcopy(model.config)
    if config.model_type == "timm_wrapper":
        config.model_args = {**(config.model_args or {}), "img_size": size}
    elif hasattr(config, "image_size"):
        config.image_size = [size, size] if isinstance(config.image_size, list | tuple) else size
    else:
        return None
    other = type(model)(config).to(next(model.parameters()))
    wanted, weights = other.state_dict(), model.state_dict()
    for name, value in weights.items():
        if name.endswith(POSITIONS) and name in wanted and value.shape != wanted[name].shape:
            weights[name] = interpolated(value, wanted[name].shape[1])
    other.load_state_dict(weights)
    return other.train(model.training)


def interpolated(positions: torch.Tensor, count: int) -> torch.Tensor:
    """(1, prefix + g * g, d) -> (1, prefix + h * h, d); the prefix stays."""
    old = positions.shape[1]
    prefix = next(number for number in range(old) if math.isqrt(old - number) ** 2 == old - number)
    before, after = math.isqrt(old - prefix), math.isqrt(count - prefix)
    grid = positions[:, prefix:].reshape(1, before, before, -1).permute(0, 3, 1, 2)
    grid = functional.interpolate(
        grid.float(), (after, after), mode="bicubic", antialias=True, align_corners=False
    )
    flat = grid.permute(0, 2, 3, 1).reshape(1, after * after, -1).to(positions.dtype)
    return torch.cat([positions[:, :prefix], flat], dim=1)
