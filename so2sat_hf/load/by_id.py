"""Single patches by their ids, from a built folder on this machine or a repository on the Hub.

Where they lie is looked up first, once per dataset (:mod:`so2sat_hf.load.lookup`). Then the row groups that
hold them are read, and no others (on the Hub: :mod:`so2sat_hf.load.ahead`).
"""

import os
import re
from collections.abc import Iterable
from contextlib import closing

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.patches import GEO_COLUMNS, PATCH_SIZE, GeoBlock, PatchBlock, parse_id, row_id
from so2sat_hf.convert.table import NUM_BANDS, check_columns, to_block
from so2sat_hf.convert.views import REMEDY
from so2sat_hf.errors import FolderError, So2SatError, SourceError
from so2sat_hf.load.files import Place, open_place
from so2sat_hf.load.lookup import Located, locate


def patches(
    ids: Iterable[str], folder: str | os.PathLike[str] | Place, *, columns: Iterable[str] | None = None
) -> PatchBlock:
    """Return the patches with these ids, in the order asked for.

    Only the row groups (Arrow: record batches) that hold them are read, each once, and of these only the
    columns wanted. A further call on the same dataset looks nothing up again.

    On the Hub a patch costs its row group up to the patch, at most 41 MB with all bands (1,024 patches), so
    that a hundred neighbours cost as much as one. What comes cannot be compared with the hash of its file:
    ``so2sat build`` fetches files whole, and does.

    Args:
        ids: n ids as in the column ``id``, e.g. ``["training/000123", "testing/000004"]``; the same one may
            come more than once.
        folder: what ``so2sat build`` wrote; or ``hf://datasets/OWNER/NAME``, with ``@REVISION`` if it is not
            ``main``; or ``OWNER/NAME`` where there is no such folder. The Hub is asked each time which commit
            that is: what :func:`~so2sat_hf.load.files.open_place` returns stays at one commit.
        columns: out of :data:`~so2sat_hf.convert.patches.COLUMNS`; default: all that were built. ``id`` and
            ``label`` always come along, and the columns of the geolocation (``geo`` for short) only together.

    Returns:
        A block of n patches, 72 KiB each with all bands. ``sen2`` is reflectance, also where the folder holds
        digital numbers; a column that is not wanted is None.

    Raises:
        FolderError: the folder has no manifest, or a column was not built.
        SourceError: a file is missing or damaged, or holds other patches than the index says.
        HubError: there is no such dataset on the Hub, or the Hub refuses, is silent, or has other files.
        So2SatError: an id that is malformed or not in the dataset, or a column that does not exist.
    """
    wanted = _checked(ids)
    place = open_place(folder)
    names = _columns(place, columns)
    block = _empty(wanted, names, place.manifest)
    found = locate(wanted, place)
    rows = [np.unique(located.rows).astype(np.int64) for located in found]
    parts = place.parts([(each.shard, of_file) for each, of_file in zip(found, rows, strict=True)], names)
    with closing(parts):
        for located, of_file, tables in zip(found, rows, parts, strict=True):
            _fill(block, located, of_file, tables, place.where(located.shard.path))
    return block


def _checked(ids: Iterable[str]) -> list[str]:
    """Return the ids as a list."""
    if isinstance(ids, str | bytes | os.PathLike):
        raise So2SatError(
            "ids",
            found=repr(ids),
            expected='a list, e.g. ["training/000123", "testing/000004"]',
            remedy="put a single id into a list; the folder comes second",
        )
    wanted = ids.to_pylist() if isinstance(ids, pa.Array | pa.ChunkedArray) else list(ids)
    malformed = [text for text in wanted if not _is_id(text)]
    if malformed:
        raise So2SatError(
            "ids",
            found=f"{len(malformed):,} of {len(wanted):,} are malformed, e.g. {malformed[0]!r}",
            expected="HDF5 file and row, with six digits, e.g. 'training/000123'",
        )
    return wanted


def _is_id(text: object) -> bool:
    if not isinstance(text, str) or re.fullmatch(r"[a-z0-9_/]+/[0-9]{6,9}", text) is None:
        return False
    return row_id(*parse_id(text)) == text


def _columns(place: Place, columns: Iterable[str] | None) -> tuple[str, ...]:
    """Return the columns to read, in the order of the contract."""
    if columns is None:
        return place.manifest.columns
    wanted = {"id", "label", *([columns] if isinstance(columns, str) else columns)}
    if wanted & {"geo", *GEO_COLUMNS}:
        wanted = (wanted - {"geo"}) | set(GEO_COLUMNS)
    names = check_columns(tuple(sorted(wanted)))
    missing = [name for name in names if name not in place.manifest.columns]
    if missing:
        raise FolderError(
            place.name,
            found=f"column {missing[0]} was not built",
            expected=f"columns out of {', '.join(place.manifest.columns)}",
            remedy="leave it out, or build the folder again with it",
        )
    return names


def _empty(ids: list[str], columns: tuple[str, ...], manifest: Manifest) -> PatchBlock:
    """Return a block with room for these patches."""
    count, size = len(ids), (PATCH_SIZE, PATCH_SIZE)
    bands = {name: number for name, number in NUM_BANDS.items() if name in columns}
    geo = None
    if "city" in columns:
        geo = GeoBlock([""] * count, np.empty(count, np.int32), *(np.empty(count) for _ in range(4)))
    return PatchBlock(
        ids=ids,
        label=np.empty(count, np.int64),
        geo=geo,
        rounding={name: error for name, error in manifest.rounding.items() if name in columns},
        **{name: np.empty((count, number, *size), np.float32) for name, number in bands.items()},
    )


def _fill(
    block: PatchBlock, located: Located, rows: NDArray[np.int64], tables: Iterable[pa.Table], name: str
) -> None:
    """Put patches of one file into their places in a block.

    Args:
        block: with room for them.
        located: which they are.
        rows: (k,) those of the file, increasing.
        tables: these rows.
        name: of the file, for errors.
    """
    which = np.searchsorted(rows, located.rows)
    done = 0
    for table in tables:
        part = to_block(table)
        here = np.flatnonzero((which >= done) & (which < done + len(part)))
        source, target = which[here] - done, located.positions[here]
        for row, position in zip(source, target, strict=True):
            if part.ids[row] != block.ids[position]:
                raise SourceError(
                    name,
                    found=f"{part.ids[row]} in row {rows[done + row]}",
                    expected=f"{block.ids[position]}, as the index or an earlier look at this file says",
                    remedy=REMEDY,
                )
        _copy(part, source, block, target)
        done += len(part)


def _copy(part: PatchBlock, source: NDArray[np.int64], block: PatchBlock, target: NDArray[np.int64]) -> None:
    """Copy rows ``source`` of one block to rows ``target`` of another."""
    pairs = [(getattr(part, name), getattr(block, name)) for name in ("label", *NUM_BANDS)]
    if part.geo is not None and block.geo is not None:
        pairs += [(getattr(part.geo, name), getattr(block.geo, name)) for name in GEO_COLUMNS[1:]]
        for row, position in zip(source, target, strict=True):
            block.geo.city[position] = part.geo.city[row]
    for values, room in pairs:
        if room is not None:
            room[target] = values[source]
