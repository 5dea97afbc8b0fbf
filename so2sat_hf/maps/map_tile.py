"""One tile of a map: every window of it predicted, in any process."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.patches import PIXEL_SIZE
from so2sat_hf.convert.writing import placing
from so2sat_hf.maps.scene import Scene, read_scene
from so2sat_hf.maps.tiles import MapGrid, Tile, blocks_of, pixels_of, windows
from so2sat_hf.training.classifier import Classifier, fitting, loaded
from so2sat_hf.vision.preset import Preset
from so2sat_hf.vision.transform import So2SatTransform

Predict = Callable[[NDArray[np.generic]], NDArray[np.float32]]
"""(n, bands, 32, 32) reflectance -> (n, 17) probabilities."""


@dataclass(frozen=True, slots=True)
class Task:
    """A tile, with all that another process needs to work on it."""

    model: str
    """Folder or Hub id."""

    preset: Preset
    """What the model eats."""

    scenes: tuple[Scene, ...]
    """They are averaged where they overlap."""

    grid: MapGrid
    """Of the map."""

    tile: Tile
    """Which cells."""

    path: Path
    """Of the file with the result."""

    device: str
    """Where the model computes."""


def map_tile(task: Task) -> str:
    """Work on a tile in any process, which loads the model for its first one; see :func:`predict_tile`."""
    return predict_tile(task, _loaded_predictor(task.model, task.preset, task.device))


def predict_tile(task: Task, predict: Predict) -> str:
    """Predict every window of a tile, write the probabilities, and return the name of their file.

    Where several scenes show a window, the mean of their probabilities counts. A window with an unknown pixel
    is left out.

    Args:
        task: the tile.
        predict: what :func:`predictor` made of its model.

    Raises:
        So2SatError: a scene that cannot be read.
        FolderError: the file cannot be written.
    """
    tile, grid, block = task.tile, task.grid, task.tile.block
    classes = len(facts.classes())
    total = np.zeros((classes, tile.rows, tile.columns), np.float32)
    count = np.zeros((tile.rows, tile.columns), np.uint16)
    row, column, height, width = pixels_of(grid, tile)
    left, top = grid.left + PIXEL_SIZE * column, grid.top - PIXEL_SIZE * row
    for scene in task.scenes:
        pixels, known = read_scene(scene, grid.epsg, left, top, height, width)
        if not known.any():
            continue
        for first_row, first_column in blocks_of(tile):
            is_known = windows(known, grid.stride, first_row, first_column, block).all(axis=(-2, -1))
            if not is_known.any():
                continue
            found = predict(windows(pixels, grid.stride, first_row, first_column, block))
            found[~is_known] = 0
            rows = slice(first_row, min(first_row + block, tile.rows))
            columns = slice(first_column, min(first_column + block, tile.columns))
            shape = rows.stop - rows.start, columns.stop - columns.start
            chance = found.reshape(block, block, classes)[: shape[0], : shape[1]]
            total[:, rows, columns] += chance.transpose(2, 0, 1)
            count[rows, columns] += is_known.reshape(block, block)[: shape[0], : shape[1]]
    with placing(task.path) as part, part.open("wb") as file:
        np.savez(file, total=total, count=count)
    return task.path.name


@lru_cache(maxsize=1)
def _loaded_predictor(name: str, preset: Preset, device: str) -> Predict:
    """Load a model, once a process."""
    return predictor(fitting(name, loaded(name), preset), device)


def predictor(classifier: Classifier, device: str) -> Predict:
    """Return what predicts windows on a device; the model is moved there."""
    model, preset = classifier.model.to(device).eval(), classifier.preset
    transform = So2SatTransform(preset).to(device).eval()
    order = list(classifier.order)

    def predict(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
        with torch.inference_mode():
            batch = transform({"pixel_values": torch.from_numpy(pixels).to(device)})
            logits = model(**{each: batch[each] for each in preset.inputs}).logits
            found: NDArray[np.float32] = torch.softmax(logits.float(), dim=-1)[:, order].cpu().numpy()
        return found

    return predict
