"""A folder of published HDF5 files as one source."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from so2sat_hf.convert import geo_file, split_file
from so2sat_hf.convert.cells import CULTURE_10, LAYOUTS, Cell
from so2sat_hf.convert.patches import (
    COLUMNS,
    GEO_COLUMNS,
    SPLIT_OF_FILE,
    PatchBlock,
    Rows,
    SourceRecord,
    chosen_splits,
)
from so2sat_hf.convert.split_file import SplitFile
from so2sat_hf.convert.unpack import unpack
from so2sat_hf.errors import SourceError


@dataclass(frozen=True, slots=True)
class RawSource:
    """The published HDF5 files of one folder: a :class:`~so2sat_hf.convert.patches.Source`."""

    files: tuple[SplitFile, ...]
    """One per split, in the order train, validation, test."""

    allow_rounding: bool = False
    """Whether values that cannot be stored exactly are rounded instead of refused."""

    sha256: Mapping[str, str] = field(default_factory=dict)
    """File name -> hash, for the files whose hash was computed."""

    folder: Path = Path()
    """The folder that was opened; archives may have been unpacked elsewhere."""

    layout: str = CULTURE_10
    """``culture_10``; ``random``, ``block`` or ``culture_10_v3`` for a split of version 3 by itself."""

    def only(self, splits: tuple[str, ...]) -> "RawSource":
        """Return the source as if there were no files of other splits; empty for all.

        Raises:
            SourceError: it has no such split.
        """
        wanted = chosen_splits(splits, self.num_rows, self.folder)
        return replace(self, files=tuple(file for file in self.files if file.split in wanted))

    @property
    def num_rows(self) -> Mapping[str, int]:
        """Split -> number of patches."""
        return {file.split: file.num_rows for file in self.files}

    @property
    def cells(self) -> Mapping[Cell, int]:
        """One cell per file: nothing is known of other versions."""
        return {Cell(file.split): file.num_rows for file in self.files}

    def hdf5_rows(self, split: str) -> NDArray[np.int64]:
        """Every row of the file, in its order."""
        return np.arange(self.file(split).num_rows)

    def raster(self, split: str) -> NDArray[np.int32] | None:
        """The publisher's row and column numbers, where the geo file is of 2025; else None."""
        file = self.file(split)
        return geo_file.read_raster(file.geo_path, file.num_rows) if file.geo_path else None

    def labels(self, split: str) -> NDArray[np.int64]:
        """Class index of every row of the file."""
        return split_file.read_labels(self.file(split).path)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the contract; without geo files those of the pixels and labels only."""
        with_geo = self.files[0].geo_path is not None
        return COLUMNS if with_geo else tuple(name for name in COLUMNS if name not in GEO_COLUMNS)

    @property
    def geo_generation(self) -> str | None:
        """``"2025"``, ``"2026"``, or None without geo files."""
        first = self.files[0]
        return geo_file.geo_generation(first.geo_path, first.num_rows) if first.geo_path else None

    def paths(self) -> list[Path]:
        """Every file of the source."""
        return [path for file in self.files for path in (file.path, file.geo_path) if path]

    def fingerprint(self) -> Mapping[str, object]:
        """Per file its size and modification time in ns."""
        stats = {path.name: path.stat() for path in self.paths()}
        return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}

    def records(self) -> tuple[SourceRecord, ...]:
        """Name, size and (where computed) hash of every file."""
        return tuple(
            SourceRecord(path.name, path.stat().st_size, self.sha256.get(path.name)) for path in self.paths()
        )

    def file(self, split: str) -> SplitFile:
        """The files of one split."""
        return next(file for file in self.files if file.split == split)

    def blocks(
        self,
        split: str,
        rows: Rows,
        *,
        columns: tuple[str, ...],
        size: int,
        reuse: bool = False,
    ) -> Iterator[PatchBlock]:
        """Yield blocks of a split; see :class:`~so2sat_hf.convert.patches.Source`."""
        return self.file(split).blocks(
            rows, columns=columns, size=size, reuse=reuse, allow_rounding=self.allow_rounding
        )


def raw_files(folder: Path) -> list[Path]:
    """Return the split files and geo files of a folder as they lie there: plain, or else gzipped."""
    paths = []
    for stem in SPLIT_OF_FILE:
        image, geo = (
            [folder / f"{name}.h5{end}" for end in ("", ".gz") if (folder / f"{name}.h5{end}").is_file()]
            for name in (stem, f"{stem}_geo")
        )
        paths += image[:1] + (geo[:1] if image else [])
    return paths


def splits_of(folder: Path) -> tuple[str, ...]:
    """Return the splits whose files a folder holds, plain or gzipped."""
    stems = {path.name.partition(".")[0] for path in raw_files(folder)}
    return tuple(split for stem, split in SPLIT_OF_FILE.items() if stem in stems)


def is_raw_folder(folder: Path) -> bool:
    """Whether a folder holds at least one published split file, plain or gzipped."""
    return bool(raw_files(folder))


def open_raw(
    folder: Path,
    *,
    work: Path | None = None,
    drop_geo: bool = False,
    allow_rounding: bool = False,
    splits: tuple[str, ...] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> RawSource:
    """Open ``training.h5 validation.h5 testing.h5`` (those that are there) and their geo files.

    Args:
        folder: holds the files, plain or as ``.h5.gz``.
        work: where archives are unpacked; default: the folder itself.
        drop_geo: leave geolocation out even if geo files are there.
        allow_rounding: see :class:`RawSource`.
        splits: leave the files of others alone; empty for all.
        progress: called with (file name, bytes done, bytes in all) while unpacking.

    Raises:
        SourceError: no such files, one of them unreadable or laid out differently, or geo files for some
            splits only. Positions are checked too (:class:`~so2sat_hf.errors.GeolocationError`).
    """
    name, folder = Path(os.path.abspath(folder)).name, folder.resolve()  # noqa: PTH100 (keeps the name of a link)
    if work is not None and name in LAYOUTS:
        work /= name  # files of all versions have the same names
    files, there = [], splits_of(folder)
    wanted = chosen_splits(splits, there, folder) if there else ()
    for stem, split in SPLIT_OF_FILE.items():
        if split in there and split not in wanted:
            continue
        path = _find(folder, stem, work, progress)
        if path is not None:
            geo_path = None if drop_geo else _find(folder, f"{stem}_geo", work, progress)
            files.append(SplitFile(split, stem, path, geo_path, split_file.count_rows(path)))
    if not files:
        version_3 = [split for split in LAYOUTS if (folder / split).is_dir()]
        raise SourceError(
            folder,
            found="none of training.h5, validation.h5, testing.h5" if folder.is_dir() else "no such folder",
            expected="a folder with the published HDF5 files, plain or .gz",
            remedy=f"without the files of version 2 give one split of version 3, {folder / version_3[0]}"
            if version_3
            else "give the folder that holds them; `so2sat synth` writes one with generated data",
        )
    _check_geo(folder, files)
    layout = _layout(name, there)
    if layout != CULTURE_10:
        files = [replace(file, stem=f"{name}/{file.stem}") for file in files]
    return RawSource(tuple(files), allow_rounding, folder=folder, layout=layout)


def _layout(name: str, splits: tuple[str, ...]) -> str:
    """Tell a split of version 3 by the name of its folder and the files that it holds."""
    if splits == ("train", "test"):
        return LAYOUTS.get(name, CULTURE_10)
    return CULTURE_10


def _find(
    folder: Path, stem: str, work: Path | None, progress: Callable[[str, int, int], None] | None
) -> Path | None:
    plain, archive = folder / f"{stem}.h5", folder / f"{stem}.h5.gz"
    for path in (plain, archive):
        if (path.exists() or path.is_symlink()) and not path.is_file():
            kind = "a folder" if path.is_dir() else "a link that leads nowhere"
            raise SourceError(path, found=kind, expected="a file", remedy="remove it, or put the file there")
    if not plain.is_file():
        return unpack(archive, work or folder, progress=progress) if archive.is_file() else None
    if archive.is_file() and archive.stat().st_mtime_ns > plain.stat().st_mtime_ns:
        raise SourceError(
            plain,
            found=f"older than {archive.name} beside it",
            expected="one of them, or the file that was unpacked from the archive",
            remedy="remove the one that is out of date",
        )
    return plain


def _check_geo(folder: Path, files: list[SplitFile]) -> None:
    """All splits or none have geo files, of one generation, with every position near a city."""
    without = [file.stem for file in files if file.geo_path is None]
    if len(without) == len(files):
        return
    if without:
        raise SourceError(
            folder,
            found=f"no geo file for {', '.join(without)}",
            expected="geo files for all splits or for none",
            remedy=f"add {without[0]}_geo.h5, or leave geolocation out with --drop-geo",
        )
    generations = {}
    for file in files:
        file.locate()
        generations[file.stem] = geo_file.geo_generation(Path(str(file.geo_path)), file.num_rows)
    if len(set(generations.values())) > 1:
        raise SourceError(
            folder,
            found="geo files of two generations: " + ", ".join(f"{k} {v}" for k, v in generations.items()),
            expected="one generation",
            remedy="take all geo files from the same release",
        )
