"""The grid of a map: cells of 100 m, windows of 320 m around them, and the tiles that are worked on. Pure.

Cells are counted from the upper-left corner of the scene. The window of a cell has the same centre, so that
neighbouring windows overlap. A **block** of 16 x 16 cells is one batch of the model, always full and always
the same, so that neither the size of the tiles nor the number of processes changes a bit of the result; a
batch of another size may, in the last bits.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from so2sat_hf.convert.patches import PATCH_SIZE, PIXEL_SIZE
from so2sat_hf.errors import So2SatError

BLOCK = 16
"""Cells along a block, unless another batch is wanted; 256 windows."""

MOST_CELLS = 200_000_000
"""Cells of a map: two million square kilometres at 100 m."""


@dataclass(frozen=True, slots=True)
class MapGrid:
    """A raster of cells over a raster of pixels of 10 m."""

    epsg: int
    """UTM zone."""

    left: float
    """Metres of the left edge."""

    top: float
    """Metres of the upper edge."""

    columns: int
    """Cells from west to east."""

    rows: int
    """Cells from north to south."""

    stride: int = 10
    """Pixels along a cell: 10 for 100 m."""

    @property
    def cell(self) -> float:
        """Metres along a cell."""
        return self.stride * PIXEL_SIZE

    @property
    def halo(self) -> int:
        """Pixels that a window reaches beyond its cell to the west and north."""
        return (PATCH_SIZE - self.stride) // 2


@dataclass(frozen=True, slots=True)
class Tile:
    """Cells that are worked on together."""

    row: int
    """First row of cells."""

    column: int
    """First column of cells."""

    rows: int
    """Rows of cells."""

    columns: int
    """Columns of cells."""

    block: int = BLOCK
    """Cells along its blocks."""


def grid_over(epsg: int, bounds: tuple[float, float, float, float], stride_metres: float) -> MapGrid:
    """Return the grid over some bounds, anchored at their upper-left corner.

    Args:
        epsg: UTM zone.
        bounds: west, south, east, north in metres.
        stride_metres: along a cell: a multiple of 10, at most 320.

    Raises:
        So2SatError: another stride, or bounds without room for one cell.
    """
    stride = round(stride_metres / PIXEL_SIZE)
    if stride * PIXEL_SIZE != stride_metres or not 1 <= stride <= PATCH_SIZE:
        raise So2SatError(
            "--stride", found=f"{stride_metres:g}", expected="a multiple of 10 metres, 10 to 320"
        )
    west, south, east, north = bounds
    columns, rows = (int((size + 1e-6) // stride_metres) for size in (east - west, north - south))
    if columns < 1 or rows < 1:
        raise So2SatError("scene", found=f"{east - west:g} x {north - south:g} m", expected="room for a cell")
    if columns * rows > MOST_CELLS:
        raise So2SatError(
            "scene",
            found=f"{east - west:g} x {north - south:g} m, {columns * rows:,} cells",
            expected=f"at most {MOST_CELLS:,} in one map",
            remedy="--bbox names a part of it",
        )
    return MapGrid(epsg, west, north, columns, rows, stride)


def tiles_of(grid: MapGrid, cells: int, block: int = BLOCK) -> Iterator[Tile]:
    """Yield tiles of whole blocks, about so many cells along each side."""
    step = max(block, cells // block * block)
    for row in range(0, grid.rows, step):
        for column in range(0, grid.columns, step):
            yield Tile(row, column, min(step, grid.rows - row), min(step, grid.columns - column), block)


def pixels_of(grid: MapGrid, tile: Tile) -> tuple[int, int, int, int]:
    """Return first row and column of pixels (they may be negative), and how many rows and columns.

    A tile is read as if all its blocks were whole: a batch is always full.
    """
    rows, columns = (-(-count // tile.block) * tile.block for count in (tile.rows, tile.columns))
    extra = PATCH_SIZE - grid.stride
    return (
        tile.row * grid.stride - grid.halo,
        tile.column * grid.stride - grid.halo,
        rows * grid.stride + extra,
        columns * grid.stride + extra,
    )


def blocks_of(tile: Tile) -> Iterator[tuple[int, int]]:
    """Yield first row and column of cells of each block, counted within the tile."""
    for row in range(0, tile.rows, tile.block):
        for column in range(0, tile.columns, tile.block):
            yield row, column


def windows(
    pixels: NDArray[np.generic], stride: int, row: int, column: int, block: int = BLOCK
) -> NDArray[np.generic]:
    """Return the windows of a block, (block * block, ..., 32, 32), out of the pixels of its tile.

    Args:
        pixels: (..., height, width) of the tile, halo included.
        stride: pixels along a cell.
        row: first row of cells of the block within the tile.
        column: first column of cells.
        block: cells along it.
    """
    view = np.lib.stride_tricks.sliding_window_view(pixels, (PATCH_SIZE, PATCH_SIZE), axis=(-2, -1))
    down, along = (slice(cell * stride, (cell + block) * stride, stride) for cell in (row, column))
    picked = view[..., down, along, :, :]
    moved = np.moveaxis(picked, (-4, -3), (0, 1))
    return np.ascontiguousarray(moved.reshape(block * block, *moved.shape[2:]))
