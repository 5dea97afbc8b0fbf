"""What a manifest must hold before anything believes it: it is input, too. Pure."""

import re
from collections.abc import Iterator
from typing import Any

from so2sat_hf.convert.cells import CULTURE_10, LAYOUTS, SPLITS, Cell
from so2sat_hf.convert.limits import MOST_ROWS
from so2sat_hf.convert.patches import COLUMNS, GEO_COLUMNS
from so2sat_hf.errors import FolderError
from so2sat_hf.facts import NUM_CLASSES


def check(manifest: Any, name: str) -> None:  # noqa: ANN401 (a Manifest, which imports this)
    """Refuse values that no build writes.

    Args:
        manifest: a :class:`~so2sat_hf.convert.manifest.Manifest` as read.
        name: of its file.

    Raises:
        ValueError: an unknown format, dtype, layout, column, cell or split, rows that do not add up, or a
            hash that is none.
        TypeError: something that must be a number or a text is none.
        FolderError: a path leads out of the folder.
    """
    if manifest.file_format not in ("parquet", "arrow") or manifest.sen2_dtype not in ("float32", "uint16"):
        raise ValueError("unknown format or dtype")
    if manifest.layout not in (CULTURE_10, *LAYOUTS.values()):
        raise ValueError("unknown layout")
    if not all(_is_count(number) for number in _numbers(manifest)):
        raise TypeError("counts that are not whole numbers")
    if sum(cell.rows for cell in manifest.cells.values()) > MOST_ROWS:
        raise ValueError(f"more than {MOST_ROWS:,} patches")
    if any(file.rows > MOST_ROWS for companion in manifest.companions for file in companion.files):
        raise ValueError(f"a companion of more than {MOST_ROWS:,} patches")
    if not all(isinstance(error, float) for error in manifest.rounding.values()):
        raise TypeError("rounding that is not a number")
    words = (manifest.package_version, manifest.geolocation or "", *(each.name for each in manifest.sources))
    if not all(re.fullmatch(r"[\w.+-]*", word) for word in words):
        raise ValueError("versions or names of files that are none")
    _check_columns(manifest.columns)
    _check_cells(manifest)
    for companion in manifest.companions:
        if not re.fullmatch(r"[a-z0-9_]+", companion.name) or not isinstance(companion.features, dict):
            raise ValueError("a companion without name or features")
        if not {file.split for file in companion.files} <= set(SPLITS):
            raise ValueError("unknown splits")
    for path in manifest.paths:
        _check_path(path, name)
    if not all(re.fullmatch(r"[0-9a-f]{64}", str(digest)) for digest in _digests(manifest)):
        raise ValueError("a sha256 that is none: copies of files are named by it")


def _is_count(number: object) -> bool:
    return type(number) is int and number >= 0


def _numbers(manifest: Any) -> Iterator[Any]:  # noqa: ANN401
    for shard in manifest.shards:
        yield from (shard.rows, shard.bytes)
    for companion in manifest.companions:
        for file in companion.files:
            yield from (file.rows, file.bytes, file.memory)
    for cell in manifest.cells.values():
        yield from (cell.rows, cell.memory, *cell.class_counts)
    yield from (record.bytes for record in manifest.sources)
    yield from (record.bytes for record in manifest.files)


def _digests(manifest: Any) -> Iterator[Any]:  # noqa: ANN401
    yield from (record.sha256 for record in (*manifest.shards, *manifest.files))
    for companion in manifest.companions:
        yield from (file.sha256 for file in companion.files)


def _check_columns(columns: tuple[str, ...]) -> None:
    """In the order of the contract, with id and label, the geolocation whole or not at all."""
    present = set(columns)
    if columns != tuple(name for name in COLUMNS if name in present) or not {"id", "label"} <= present:
        raise ValueError("unknown columns, or not in order")
    if present & set(GEO_COLUMNS) and not present >= set(GEO_COLUMNS):
        raise ValueError("half a geolocation")


def _check_cells(manifest: Any) -> None:  # noqa: ANN401
    """Known splits, every cell with its files in one place, rows and classes that add up."""
    cells = [Cell.parse(key) for key in manifest.cells]
    if not cells or not {cell.split for cell in cells} <= set(SPLITS):
        raise ValueError("no cells, or unknown splits")
    if list(dict.fromkeys(shard.cell for shard in manifest.shards)) != list(manifest.cells):
        raise ValueError("files that are not in the order of the cells")
    for key, record in manifest.cells.items():
        rows = sum(shard.rows for shard in manifest.shards if shard.cell == key)
        if len(record.class_counts) != NUM_CLASSES or not rows == record.rows == sum(record.class_counts):
            raise ValueError(f"{key} has {record.rows:,} rows, but its files have {rows:,}")


def _check_path(path: str, name: str) -> None:
    """Refuse a path that leads out of the folder."""
    if not isinstance(path, str):
        raise TypeError("a path that is no text")
    parts = path.split("/")
    is_odd = any(sign in path for sign in ("\\", "\0", "\n"))
    if path.startswith("/") or is_odd or any(part in ("", ".", "..") for part in parts):
        raise FolderError(name, found=f"shard path {path!r}", expected="a relative path below the folder")
