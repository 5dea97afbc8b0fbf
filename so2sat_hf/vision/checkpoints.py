"""Weights of timm or torchgeo in a file -> a folder that ``from_pretrained`` of transformers opens.

Many checkpoints for Sentinel-2 are bare state dicts with the names of timm. Needs timm
(``pip install 'so2sat_hf[timm]'``), as the folder does wherever it is opened. No pickle is read.
"""

import os
import pickle
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from so2sat_hf import facts
from so2sat_hf.errors import FolderError, So2SatError, SourceError
from so2sat_hf.vision.image_size import POSITIONS, interpolated
from so2sat_hf.vision.preset import Preset
from so2sat_hf.vision.processor import image_processor

WRAPPINGS = ("state_dict", "model", "teacher", "student", "model_state_dict")
"""Keys under which training scripts keep the weights."""

PREFIXES = (
    "module.",
    "backbone.",
    "encoder_q.",
    "base_encoder.",
    "student.",
    "teacher.",
    "encoder.",
    "model.",
)
"""What training scripts put before the names; taken away as long as that makes more of them known."""

LEFT_BEHIND = ("head", "fc.", "decoder", "mask_token", "projector", "predictor", "prediction", "queue")
"""Beginnings of names that belong to pretraining or to other classes, and are not taken along."""


def convert_checkpoint(
    weights: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    architecture: str,
    preset: Preset,
    model_args: Mapping[str, Any] | None = None,
) -> Path:
    """Write a folder with model, configuration and image processor.

    All weights but those of a head are used, and none is missing; a new head for the 17 classes is drawn at
    random. Position embeddings are interpolated if the size of the preset is another.

    Args:
        weights: a ``.safetensors`` file, or one of ``torch.save`` that holds nothing but tensors.
        out: folder to write; may exist.
        architecture: of timm, e.g. ``"vit_small_patch16_224"``.
        preset: what the weights were trained with, e.g. ``presets()["ssl4eo-s12-s2"]``.
        model_args: further arguments of ``timm.create_model``, e.g. ``{"global_pool": "avg"}``.

    Raises:
        SourceError: the file cannot be read, or its weights are not those of the architecture.
        So2SatError: timm is missing, or has no such architecture.
        FolderError: the disk is full, or has an error.
    """
    state = _read(Path(weights))
    model = _empty(architecture, preset, model_args)
    wanted = model.timm_model.state_dict()
    found = _fitted(_named(state, wanted), wanted)
    missing = [name for name in wanted if name not in found and not name.startswith("head")]
    unexpected = [name for name in found if name not in wanted]
    wrong = [name for name in found if name in wanted and found[name].shape != wanted[name].shape]
    for names, what in ((missing, "missing"), (unexpected, "not part of it"), (wrong, "of another shape")):
        if names:
            raise SourceError(
                weights,
                found=f"{len(names)} tensors {what}, e.g. {names[0]}",
                expected=f"the weights of {architecture} with {len(preset.slots)} channels",
                remedy="name the architecture and preset that these weights were trained with",
            )
    model.timm_model.load_state_dict(found, strict=False)
    with saving(out):
        model.save_pretrained(out)
        image_processor(preset).save_pretrained(out)
    return Path(out)


@contextmanager
def saving(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Say what is wrong where weights cannot be written.

    For a full disk safetensors has an error of its own, and torch a RuntimeError about unexpected positions.

    Raises:
        FolderError: the disk is full, or has an error.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        free = f"; {shutil.disk_usage(folder).free / 1e9:,.1f} GB free" if Path(folder).is_dir() else ""
        raise FolderError(
            folder,
            found=f"the model could not be written ({said}{free})",
            expected="a disk with room for it",
            remedy="make room, and run the same again: what was written before is used",
        ) from error


def _read(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a file by their names."""
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise SourceError(
            path,
            found=f"cannot be read ({str(error).splitlines()[0]})",
            expected="safetensors, or a file of torch.save with tensors alone",
        ) from error
    while isinstance(content, Mapping) and (inner := [key for key in WRAPPINGS if key in content]):
        content = content[inner[0]]
    if not isinstance(content, Mapping) or not any(
        isinstance(each, torch.Tensor) for each in content.values()
    ):
        raise SourceError(path, found="no tensors by name in it", expected="a state dict")
    return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}


def _empty(architecture: str, preset: Preset, model_args: Mapping[str, Any] | None) -> Any:  # noqa: ANN401
    """Return a model of an architecture, drawn at random."""
    try:
        import timm  # noqa: PLC0415 (brings torchvision, which most installations lack)
        from transformers import (  # noqa: PLC0415
            TimmWrapperConfig,
            TimmWrapperForImageClassification,
        )
    except (ImportError, RuntimeError) as error:  # torchvision beside another torch
        raise So2SatError(
            "timm", found=f"cannot be imported ({error})", remedy="pip install 'so2sat_hf[timm]'"
        ) from error
    if not timm.is_model(architecture):
        near = timm.list_models(f"*{architecture.partition('_')[0]}*")[:5]
        raise So2SatError(
            f"architecture {architecture!r}", found="unknown to timm", expected=f"one like {near}"
        )
    arguments = {"in_chans": len(preset.slots), **(model_args or {})}
    known = timm.get_pretrained_cfg(architecture)
    if known is not None and known.fixed_input_size:
        arguments.setdefault("img_size", preset.size)
    classes = facts.class_names()
    config = TimmWrapperConfig(
        architecture=architecture,
        model_args=arguments,
        id2label=dict(enumerate(classes)),
        label2id={label: number for number, label in enumerate(classes)},
    )
    return TimmWrapperForImageClassification(config)


def _named(state: Mapping[str, torch.Tensor], wanted: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return tensors under the names of timm, without those that are left behind."""
    state = dict(state)

    def known(names: Mapping[str, Any]) -> int:
        return len(names.keys() & wanted.keys())

    while True:
        shorter = [
            {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
            for prefix in PREFIXES
        ]
        best = max(shorter, key=lambda each: (known(each), len(each)))
        if not best or known(best) < known(state) or known(state) > len(wanted) // 2:
            break
        state = best
    return {name: value for name, value in state.items() if not name.startswith(LEFT_BEHIND)}


def _fitted(state: dict[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Interpolate position embeddings of another size."""
    return {
        name: interpolated(value, wanted[name].shape[1])
        if name.endswith(POSITIONS) and name in wanted and value.shape != wanted[name].shape
        else value
        for name, value in state.items()
    }
