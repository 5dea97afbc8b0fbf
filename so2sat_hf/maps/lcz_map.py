"""A scene and a model -> a map of local climate zones, tile by tile, continued after a kill."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from math import isqrt
from pathlib import Path

import torch

from so2sat_hf.convert.executor import run
from so2sat_hf.convert.lock import held
from so2sat_hf.convert.writing import write_text
from so2sat_hf.errors import FolderError, So2SatError
from so2sat_hf.facts.labels import palette
from so2sat_hf.maps.map_files import MapOptions, check_target, write_map
from so2sat_hf.maps.map_tile import Task, map_tile, predict_tile, predictor
from so2sat_hf.maps.scene import Scene
from so2sat_hf.maps.tiles import MapGrid, Tile, tiles_of
from so2sat_hf.training.classifier import Classifier
from so2sat_hf.vision.preset import Preset


def make_map(
    classifier: Classifier,
    scenes: Sequence[Scene],
    grid: MapGrid,
    out: Path,
    options: MapOptions | None = None,
    *,
    jobs: int = 1,
    executor: Executor | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, float]:
    """Map scenes; return the share of the cells of each class, by its code.

    Finished tiles lie in ``OUT.tiles`` until the map is complete; the same call continues with them, unless
    model, scenes or options are others.

    Args:
        classifier: the model; with Sentinel-2 bands alone.
        scenes: with the bands of its preset.
        grid: of the map.
        out: the GeoTIFF, replaced if it is there.
        options: what is wanted.
        jobs: processes at work; 1: this one, with all threads of torch.
        executor: runs the tiles instead, e.g. Dask's; its workers must see the same files.
        progress: called with the cells of each tile.

    Raises:
        So2SatError: nothing in the scenes that a map could show, or a tile that failed.
        FolderError: the files cannot be written.
    """
    options = options or MapOptions()
    check_map(classifier.preset, options)
    for layer in (layer for scene in scenes for layer in scene.layers.values()):
        if layer.path.resolve() == out.resolve():
            raise So2SatError(out, found="a scene", expected="another name for the map")
    work = out.with_name(f"{out.name}.tiles")
    check_target(out)
    with held(work):
        _prepare(work, _plan(classifier, scenes, grid, options))
        found = _tiles(classifier, scenes, grid, work, options, jobs, executor, progress)
        shares = write_map(found, grid, out, options)
        shutil.rmtree(work)
    return shares


def _tiles(
    classifier: Classifier,
    scenes: Sequence[Scene],
    grid: MapGrid,
    work: Path,
    options: MapOptions,
    jobs: int,
    executor: Executor | None,
    progress: Callable[[int], None] | None,
) -> list[tuple[Tile, Path]]:
    """Work on the tiles that are not finished; return all with their files."""
    tasks = {
        tile: Task(
            classifier.name, classifier.preset, tuple(scenes), grid, tile,
            work / f"{tile.row:06d}-{tile.column:06d}.npz", options.device,
        )
        for tile in tiles_of(grid, options.tile, isqrt(options.batch_size))
    }  # fmt: skip
    missing = {tile: task for tile, task in tasks.items() if not task.path.is_file()}
    for tile in tasks.keys() - missing.keys():
        _advance(progress, tile)
    if jobs == 1 and executor is None:
        predict = predictor(classifier, options.device)  # the model is open: others have to load it
        for tile, task in missing.items():
            predict_tile(task, predict)
            _advance(progress, tile)
    else:
        for tile, _ in run(map_tile, missing, jobs=jobs, executor=executor):
            _advance(progress, tile)
    return [(tile, task.path) for tile, task in tasks.items()]


def check_map(preset: Preset, options: MapOptions) -> None:
    """Refuse what no Sentinel-2 scene can be mapped with.

    Raises:
        So2SatError: a model of radar, or an unknown choice.
    """
    if preset.sensors != ("sen2",):
        raise So2SatError(
            f"preset {preset.name}", found=f"bands of {' and '.join(preset.sensors)}",
            expected="Sentinel-2 alone: a scene has nothing else", remedy="train with --preset s2 or rgb",
        )  # fmt: skip
    palette(options.palette)
    if options.batch_size < 1 or isqrt(options.batch_size) ** 2 != options.batch_size:
        raise So2SatError(
            "--batch-size", found=f"{options.batch_size}", expected="a square number: 64, 256, 1024..."
        )
    if options.values not in ("number", "wudapt"):
        raise So2SatError("--values", found=options.values, expected="number or wudapt")


def _advance(progress: Callable[[int], None] | None, tile: Tile) -> None:
    if progress:
        progress(tile.rows * tile.columns)


def _plan(
    classifier: Classifier, scenes: Sequence[Scene], grid: MapGrid, options: MapOptions
) -> dict[str, str]:
    """Return what the tiles depend on; other options are only about writing them."""
    weights = hashlib.sha256()
    for name, values in classifier.model.state_dict().items():
        weights.update(name.encode())
        weights.update(values.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    files = {layer.path for scene in scenes for layer in scene.layers.values()}
    stats = {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(files)}
    return {
        "weights": weights.hexdigest(), "preset": json.dumps(classifier.preset.to_dict()),
        "layers": repr([scene.layers for scene in scenes]), "files": repr(stats), "grid": repr(grid),
        "order": repr(classifier.order), "tile": f"{options.tile} {options.batch_size}",
    }  # fmt: skip


def _prepare(work: Path, plan: dict[str, str]) -> None:
    """Remove tiles that an earlier run with another plan left there."""
    known = work / "plan.json"
    try:
        if not known.is_file() or json.loads(known.read_text()) != plan:
            known.unlink(missing_ok=True)  # first: tiles without a plan prove nothing
            for left in work.iterdir():
                left.unlink()
            write_text(known, json.dumps(plan))
    except (OSError, ValueError, RecursionError) as error:
        raise FolderError(
            work, found=f"cannot be used ({error})", expected="a folder beside the map"
        ) from error
