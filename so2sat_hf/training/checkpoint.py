"""Checkpoints of a training: read as tensors and numbers alone, whole or not at all."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from so2sat_hf.errors import So2SatError


@contextmanager
def damage_named(checkpoint: str | None) -> Iterator[None]:
    """Say which checkpoint is damaged, or holds objects that would run code: torch then advises to run it.

    Raises:
        So2SatError: it cannot be read, as tensors and numbers.
    """
    try:
        yield
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        unsafe = isinstance(error, pickle.UnpicklingError)
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise So2SatError(
            checkpoint,
            found="more than tensors and numbers in it; nothing was run"
            if unsafe
            else f"unreadable ({said[0]})",
            expected="optimizer, scheduler and random state as a training wrote them",
            remedy="resume from another checkpoint, or train anew",
        ) from None


def load_weights(model: Any, folder: str | Path) -> None:  # noqa: ANN401
    """Give a model the weights of a checkpoint, all of them and no others.

    Raises:
        So2SatError: the checkpoint is of another model, or incomplete.
    """
    try:
        found, told = type(model).from_pretrained(
            folder, config=model.config, dtype=torch.float32, output_loading_info=True, use_safetensors=True
        )
        wrong = {name: names for name, names in told.items() if names}
        if wrong:
            raise So2SatError(
                folder, found=f"weights that do not fit: {wrong}", expected=f"all of {type(model).__name__}"
            )
        model.load_state_dict(found.state_dict(), strict=True)
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise So2SatError(
            folder,
            found=f"cannot be loaded ({str(error).strip().splitlines()[0]})",
            expected=f"a checkpoint of this {type(model).__name__}",
            remedy="remove the incomplete checkpoint, or resume from an earlier one",
        ) from error
