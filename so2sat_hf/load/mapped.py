"""A split as one Arrow table on memory-mapped files: of a built folder, or of a ``datasets.Dataset``."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.views import REMEDY, check_kinds
from so2sat_hf.errors import FolderError, So2SatError, SourceError


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """A split on this machine; pickled, it is what to open, and no rows."""

    name: str
    """For errors."""

    table: pa.Table
    """Everything that is stored."""

    rows: NDArray[np.int64] | None
    """(n,) rows of the table that make up the split, in order; None: all of them."""

    origin: tuple[Any, ...]
    """What :func:`open_mapped` was asked for, and the digest of the folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, self.origin


def open_mapped(source: str | os.PathLike[str] | Any, split: str) -> Mapped:  # noqa: ANN401
    """Open a split.

    Args:
        source: a built folder of Arrow files, or a ``datasets.Dataset``.
        split: of the folder.

    Raises:
        FolderError: no built folder, or one of Parquet files.
        SourceError: a file is missing or damaged.
        So2SatError: something else.
    """
    if isinstance(source, str | os.PathLike):
        return _open_folder(Path(source), split)
    if all(hasattr(source, name) for name in ("data", "features", "_indices")):
        return _open_dataset(source)
    kind = type(source).__name__
    remedy = "give one of its splits" if isinstance(source, dict) else ""
    if "Iterable" in kind:
        remedy = "PatchStream reads it"
    expected = "a built folder of Arrow files, or a datasets.Dataset"
    raise So2SatError("source", found=f"a {kind}", expected=expected, remedy=remedy)


def _reopen(source: Any, split: str, digest: str | None) -> Mapped:  # noqa: ANN401
    """Open it in another process."""
    found = open_mapped(source, split)
    if found.origin[-1] != digest:
        raise SourceError(source, found="built anew meanwhile", expected=f"the dataset {digest}")
    return found


def _open_dataset(dataset: Any) -> Mapped:  # noqa: ANN401
    rows = None
    if dataset._indices is not None:  # noqa: SLF001 (what select, filter and shuffle leave)
        rows = np.concatenate(
            [np.empty(0, np.int64), *(chunk.to_numpy() for chunk in dataset._indices.column(0).chunks)],  # noqa: SLF001
            dtype=np.int64,
            casting="unsafe",
        )
    return Mapped("datasets.Dataset", dataset.data.table, rows, (dataset, "", None))


def _open_folder(folder: Path, split: str) -> Mapped:
    if not folder.is_dir():
        raise FolderError(
            folder,
            found="no such folder",
            expected="what `so2sat build --format arrow` wrote",
            remedy="`so2sat build OWNER/NAME OUT --format arrow` fetches a dataset of the Hub",
        )
    manifest = Manifest.read(folder)
    if manifest.file_format != "arrow":
        raise FolderError(
            folder,
            found=f"{manifest.file_format} files, which have to be decoded a thousand patches at a time",
            expected="Arrow files",
            remedy=f"`so2sat build {folder} SHARDS --format arrow`, or read it with PatchStream",
        )
    if split not in manifest.split_names:
        raise FolderError(folder, found=f"no split {split!r}", expected=", ".join(manifest.split_names))
    tables = [
        _map_file(folder / shard.path, shard.rows, manifest.columns) for shard in manifest.shards_of(split)
    ]
    try:
        table = pa.concat_tables(tables)
    except pa.ArrowException as error:
        raise SourceError(folder, found=f"files of different columns ({error})", remedy=REMEDY) from error
    return Mapped(f"{folder} ({split})", table, None, (folder.resolve(), split, manifest.digest))


def _map_file(path: Path, rows: int, columns: Sequence[str]) -> pa.Table:
    """Return all record batches of a file, of which nothing is read yet."""
    try:
        with pa.memory_map(str(path)) as stream, pa.ipc.open_file(stream) as file:
            table = file.read_all()
        check_kinds(table.schema, columns)
        table.validate()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SourceError(path, found=f"cannot be read ({error})", remedy=REMEDY) from error
    if len(table) != rows:
        raise SourceError(path, found=f"{len(table):,} rows", expected=f"{rows:,}", remedy=REMEDY)
    return table
