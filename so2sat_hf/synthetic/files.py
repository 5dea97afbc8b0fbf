"""Generated patches -> HDF5 files with the published layout. The only file that writes with h5py."""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.geolocation import HALF_PATCH
from so2sat_hf.convert.patches import FILE_OF_SPLIT, PATCH_SIZE, PIXEL_SIZE
from so2sat_hf.errors import FolderError, So2SatError
from so2sat_hf.synthetic.generate import blocks
from so2sat_hf.synthetic.layout import Layout, grid_origin, lay_out

GENERATIONS = ("2026", "2025", "none")

ROW_BYTES = 147_592
"""Of a published file: 8 for each of 32 x 32 x 18 + 17 values; 2,048 bytes of header come before the rows."""

PART = ".part"
"""Ends the name of a file that is not complete."""

RASTER_MARGIN = 5000
"""Rows and columns of a city's rasters north and west of the origin of its grid."""

Progress = Callable[[str, int, int], object]
"""Called with file name, rows written, rows in all."""

Chunk = tuple[int, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""First row, then sen1 (n, 32, 32, 8), sen2 (n, 32, 32, 10) and one-hot label (n, 17) of n rows."""


def write_raw(
    folder: Path,
    *,
    train: int,
    validation: int,
    test: int,
    seed: int = 0,
    geo: str = "2026",
    progress: Progress | None = None,
) -> None:
    """Write ``training.h5``, ``validation.h5``, ``testing.h5`` and their geo files as they are published.

    The same numbers and seed give the same bytes. Files get their names when all of them are complete.

    Args:
        folder: where to; made if it does not exist.
        train: patches in ``training.h5``; a split of 0 patches is left out.
        validation: patches in ``validation.h5``.
        test: patches in ``testing.h5``.
        seed: other patches for other seeds.
        geo: generation of the geo files, ``"2026"`` or ``"2025"``; ``"none"`` for version 2, which has none.
        progress: told after every block.

    Raises:
        So2SatError: a negative number, an unknown generation, a file in the way, or too little room.
    """
    if geo not in GENERATIONS:
        raise So2SatError(f"geo {geo!r}", found="unknown", expected="one of " + ", ".join(GENERATIONS))
    counts = {"train": train, "validation": validation, "test": test}
    layouts = [lay_out(split, count, seed=seed) for split, count in counts.items() if count]
    if not layouts:
        raise So2SatError(folder, found="0 patches in every split", expected="at least one")
    writers: dict[Path, Callable[[Path], None]] = {}
    for layout in layouts:
        stem = FILE_OF_SPLIT[layout.split]
        writers[folder / f"{stem}.h5"] = partial(_write_layout, layout, seed, progress)
        if geo != "none":
            writers[folder / f"{stem}_geo.h5"] = partial(_write_geo, layout, geo)
    check_room(folder, list(writers), sum(counts.values()))
    write_all(folder, writers)


def write_all(folder: Path, writers: Mapping[Path, Callable[[Path], None]]) -> None:
    """Write every file under a temporary name, then rename them all.

    Args:
        folder: the one that an error is about.
        writers: file -> what writes it, called with the temporary path.

    Raises:
        FolderError: a file cannot be written.
    """
    parts = {target: target.with_name(target.name + PART) for target in writers}
    try:
        for target, part in parts.items():
            writers[target](part)
        for target, part in parts.items():
            part.rename(target)
    except OSError as error:
        raise FolderError(
            folder, found=f"cannot be written ({error})", expected="a folder with room"
        ) from error
    finally:
        for part in parts.values():
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def check_room(folder: Path, targets: list[Path], num_rows: int) -> None:
    """Make a folder for files that hold so many patches together.

    Raises:
        FolderError: one of the files is there, the folder cannot be made, or the disk is too full.
    """
    for target in targets:
        if target.exists():
            raise FolderError(
                target, found="exists", expected="no such file", remedy="delete it, or choose another folder"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderError(folder, found=f"cannot be made ({error})", expected="a folder") from error
    free, needed = shutil.disk_usage(folder).free, num_rows * (ROW_BYTES + 200)
    if free < needed:
        raise FolderError(
            folder,
            found=f"{free / 1e9:.1f} GB free",
            expected=f"{needed / 1e9:.1f} GB",
            remedy="ask for fewer rows",
        )


def _write_layout(layout: Layout, seed: int, progress: Progress | None, path: Path) -> None:
    write_patches(path, len(layout), _generated(layout, seed), progress)


def _generated(layout: Layout, seed: int) -> Iterator[Chunk]:
    one_hot = np.eye(len(facts.classes()))
    for start, sen1, sen2 in blocks(layout, seed=seed):
        yield start, sen1, sen2, one_hot[layout.label[start : start + len(sen1)]]


def write_patches(path: Path, num_rows: int, chunks: Iterable[Chunk], progress: Progress | None) -> None:
    """Write sen1, sen2 and label: contiguous little-endian float64, channels last.

    Args:
        path: the file, under its temporary name.
        num_rows: patches in the file.
        chunks: all rows of the file.
        progress: told after every chunk.
    """
    size = PATCH_SIZE
    with h5py.File(path, "w", libver="earliest") as file:
        sen1 = file.create_dataset("sen1", (num_rows, size, size, len(facts.bands("sen1"))), "<f8")
        sen2 = file.create_dataset("sen2", (num_rows, size, size, len(facts.bands("sen2"))), "<f8")
        label = file.create_dataset("label", (num_rows, len(facts.classes())), "<f8")
        for start, some_sen1, some_sen2, some_label in chunks:
            stop = start + len(some_label)
            sen1[start:stop] = some_sen1
            sen2[start:stop] = some_sen2
            label[start:stop] = some_label
            if progress is not None:
                progress(path.name.removesuffix(PART), stop, num_rows)


def _write_geo(layout: Layout, generation: str, path: Path) -> None:
    """Write where the patches lie, in the keys and orders of a generation."""
    nothing = np.zeros(len(layout))
    size = nothing + PIXEL_SIZE
    epsg = layout.epsg[:, None].astype("<i4")
    with h5py.File(path, "w", libver="earliest") as file:
        if generation == "2025":  # GDAL order, positive height
            tfw = np.stack([layout.x_ul, size, nothing, layout.y_ul, nothing, size], axis=1)
            file.create_dataset("coord", data=_raster_positions(layout), dtype="<f8")
            file.create_dataset("epsg", data=epsg)
            file.create_dataset("tfw", data=tfw, dtype="<f8")
        else:  # world-file order
            tfw = np.stack([size, nothing, nothing, -size, layout.x_ul, layout.y_ul], axis=1)
            city = np.array([key.encode() for key in layout.city_keys])
            for key, values in (("city", city), ("epsg", epsg), ("tfw", tfw)):
                file.create_dataset(key, data=values, chunks=True, compression="gzip")


def _raster_positions(layout: Layout) -> NDArray[np.float64]:
    """Return coord (n, 6): centre in UTM metres, then row and column in the city's S1 and S2 rasters."""
    center = np.stack([layout.x_ul + HALF_PATCH, layout.y_ul - HALF_PATCH], axis=1)
    origins = np.array([grid_origin(index) for index in range(len(facts.cities()))])
    east, north = np.rint((center - origins[layout.city]) / PIXEL_SIZE).T
    row, column = RASTER_MARGIN - north, RASTER_MARGIN + east
    offset = layout.city * 4 % 213, layout.city % 2  # of S1 against S2: constant in a city, as published
    return np.stack([*center.T, row + offset[0], column + offset[1], row, column], axis=1)
