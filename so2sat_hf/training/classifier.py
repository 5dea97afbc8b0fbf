"""Any image classifier of transformers with the 17 classes, and what it says of patches."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForImageClassification

from so2sat_hf import facts
from so2sat_hf.errors import So2SatError
from so2sat_hf.facts import NUM_CLASSES
from so2sat_hf.load.place import Place
from so2sat_hf.vision.catalogue import preset as find_preset
from so2sat_hf.vision.catalogue import with_statistics_of
from so2sat_hf.vision.collate import So2SatCollator
from so2sat_hf.vision.image_processing import So2SatImageProcessor
from so2sat_hf.vision.preset import Preset
from so2sat_hf.vision.processor import preset_of
from so2sat_hf.vision.transform import So2SatTransform

LAYERS = re.compile("layers|depths?$|blocks|stages")
MOST_LAYERS = 1000
"""Layers of a model; ViT-H has 32."""

LARGEST_NUMBER = 1_000_000
"""Channels, pixels, heads and all other numbers of a configuration."""


@dataclass(frozen=True, slots=True)
class Classifier:
    """A model in evaluation, with what it eats and the order of its classes."""

    name: str
    """Folder or Hub id."""

    model: Any
    """Of transformers; gives ``logits`` (b, 17)."""

    preset: Preset
    """What it eats, with mean and deviation."""

    order: tuple[int, ...]
    """Class 0 to 16 -> which output of the model it is."""

    def probabilities(
        self,
        patches: Any,  # noqa: ANN401
        *,
        batch_size: int = 512,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        progress: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        """Return (n, 17) probabilities of all patches, in order.

        Args:
            patches: a PatchTable or ``datasets.Dataset``.
            batch_size: patches at a time.
            device: where the model computes; it is moved there.
            dtype: torch.bfloat16 or torch.float16 for autocast.
            progress: called with the patches done.
        """
        collate, transform = So2SatCollator(self.preset), So2SatTransform(self.preset).to(device).eval()
        model = self.model.to(device).eval()
        kind = torch.device(device).type
        cast = nullcontext() if dtype == torch.float32 else torch.autocast(kind, dtype)
        found = np.empty((len(patches), NUM_CLASSES), np.float32)
        for start in range(0, len(patches), batch_size):
            batch = transform(collate(patches[start : start + batch_size]))
            with torch.inference_mode(), cast:
                logits = model(**{name: batch[name] for name in self.preset.inputs}).logits
            values = torch.softmax(logits.float(), dim=-1)[:, list(self.order)]
            found[start : start + len(values)] = values.cpu().numpy()
            if progress:
                progress(len(values))
        return found


def open_classifier(name: str, place: Place | None = None, preset: str | None = None) -> Classifier:
    """Open a fine-tuned model.

    Args:
        name: a folder, or a Hub id.
        place: data whose statistics complete the preset, where it has none of its own.
        preset: what the model eats; default: what its saved processor says, if it is one of ours.

    Raises:
        So2SatError: no such model, other classes, other channels than the preset has, or nothing tells what
            the model eats.
    """
    model = loaded(name)
    eats = _preset(name, preset)
    if not eats.is_complete and place is not None:
        eats = with_statistics_of(eats, place)
    return fitting(name, model, eats.complete())


def fitting(name: str, model: Any, eats: Preset) -> Classifier:  # noqa: ANN401
    """Return a loaded model with what it eats.

    Raises:
        So2SatError: other classes, or other channels than the preset has.
    """
    channels = getattr(model.config, "num_channels", len(eats.slots))
    if channels != len(eats.slots):
        raise So2SatError(
            f"model {name!r}",
            found=f"{channels} channels",
            expected=f"{len(eats.slots)}, as preset {eats.name} has slots",
            remedy="--preset names what the model was trained with",
        )
    return Classifier(name, model, eats, class_order(model.config.id2label, name))


def device_of(name: str | None) -> str:
    """Return where to compute: the device named, else a GPU if there is one.

    Raises:
        So2SatError: there is no such device.
    """
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise So2SatError(
            f"device {name!r}", found=str(error).splitlines()[0], expected="cpu, or cuda where there is a GPU"
        ) from error
    return name


def loaded(name: str, **options: Any) -> Any:  # noqa: ANN401
    """Return a model of transformers. Code that lies beside it is not run, and no pickle is read.

    Raises:
        So2SatError: there is none.
    """
    _check_config(name)
    try:
        # Without a word on remote code transformers asks at the keyboard, or takes the answer from a pipe.
        return AutoModelForImageClassification.from_pretrained(
            name, trust_remote_code=False, use_safetensors=True, **options
        )
    except Exception as error:  # whatever transformers makes of a folder that holds something else
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise So2SatError(
            f"model {name!r}",
            found=f"cannot be loaded ({said[0]})",
            expected="a folder or Hub id of an image classifier of transformers, with safetensors",
        ) from error


def _check_config(name: str) -> None:
    """Refuse a folder whose configuration asks for a model without end, before it is made.

    Raises:
        So2SatError: a number of layers, channels or pixels that no model has.
    """
    path = Path(name) / "config.json"
    if not path.is_file():
        return
    try:
        config = json.loads(path.read_bytes())
        numbers = dict(_numbers(config))
    except (OSError, ValueError, RecursionError) as error:
        raise So2SatError(
            path, found=f"cannot be read ({error})", expected="the configuration of a model"
        ) from error
    for key, value in numbers.items():
        most = MOST_LAYERS if LAYERS.search(key) else LARGEST_NUMBER
        if value > most:
            raise So2SatError(path, found=f"{key} {value:g}", expected=f"at most {most:,}")


def _numbers(tree: Any, key: str = "") -> Iterator[tuple[str, float]]:  # noqa: ANN401
    """Yield (key, number) of every number of a tree of plain values."""
    if isinstance(tree, dict):
        for name, each in tree.items():
            yield from _numbers(each, name)
    elif isinstance(tree, list):
        for each in tree:
            yield from _numbers(each, key)
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        yield key, tree


def _preset(name: str, preset: str | None) -> Preset:
    if preset is not None:
        return find_preset(preset)
    try:
        return preset_of(So2SatImageProcessor.from_pretrained(name))
    except Exception as error:  # whatever is saved with it
        raise So2SatError(
            f"model {name!r}",
            found="no So2SatImageProcessor saved with it",
            expected="what it eats: bands, units, mean and deviation",
            remedy="--preset names it; `so2sat presets` lists them, and a TOML file works too",
        ) from error


def class_order(id2label: Mapping[int, str], name: str = "model") -> tuple[int, ...]:
    """Return which output each class is, by the names that the model gives to them.

    Args:
        id2label: of the config. Names (``Compact high-rise``), codes (``1``, ``LCZ A``), or ``LABEL_0`` to
            ``LABEL_16``, which stand for the order of the dataset.
        name: of the model, for the error.

    Raises:
        So2SatError: other classes.

    >>> class_order({number: f"LABEL_{number}" for number in range(17)})[:3]
    (0, 1, 2)
    """
    outputs = {_plain(str(label)): number for number, label in id2label.items()}
    spellings = (
        [_plain(lcz.name) for lcz in facts.classes()],
        [_plain(lcz.code) for lcz in facts.classes()],
        [f"label{lcz.index}" for lcz in facts.classes()],
    )
    for names in spellings:
        if len(id2label) == NUM_CLASSES and set(names) == set(outputs):
            return tuple(int(outputs[each]) for each in names)
    some = ", ".join(map(str, list(id2label.values())[:3]))
    raise So2SatError(
        f"model {name!r}",
        found=f"{len(id2label)} classes: {some}, …",
        expected=f"the {NUM_CLASSES} local climate zones, by name or code",
        remedy="set id2label in its config.json",
    )


def _plain(label: str) -> str:
    return re.sub(r"[^a-z0-9]", "", str(label).lower()).removeprefix("lcz")
