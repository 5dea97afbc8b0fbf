"""``manifest.json``: what a built folder holds and what it was made from. No time, place or user in it."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from so2sat_hf.convert.cells import Cell, splits_of
from so2sat_hf.convert.check import check
from so2sat_hf.convert.patches import FILE_OF_SPLIT, SourceRecord
from so2sat_hf.convert.records import Companion, CompanionFile, FileRecord, ShardRecord, SplitRecord
from so2sat_hf.errors import FolderError

FORMAT_VERSION = "1.0"
"""Version of the data contract; a reader of 1.x refuses 2.x."""

MANIFEST = "manifest.json"
EVERYTHING = "all"
"""Name of all patches of a dataset, as of a split."""

STATISTICS = "statistics.json"
README = "README.md"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a built folder holds."""

    format_version: str
    """Version of the data contract."""

    package_version: str
    """Version of so2sat_hf that built it."""

    file_format: str
    """``parquet`` or ``arrow``."""

    columns: tuple[str, ...]
    """Columns of every row, in order."""

    sen2_dtype: str
    """``float32`` (reflectance) or ``uint16`` (digital numbers)."""

    geolocation: str | None
    """Generation of the geo files, ``"2025"`` or ``"2026"``; None without."""

    rounding: Mapping[str, float]
    """Column -> largest |stored - published|; empty: every value is exact."""

    sources: tuple[SourceRecord, ...]
    """The published files it was made from."""

    layout: str
    """The config that the split names belong to: ``culture_10``, or that of a version-3 split alone."""

    cells: Mapping[str, SplitRecord]
    """Key of a cell -> what it holds; cells of a split follow each other in the order of its files."""

    shards: tuple[ShardRecord, ...]
    """Every data file."""

    files: tuple[FileRecord, ...] = ()
    """Every other file that was made from the data, such as ``statistics.json``."""

    companions: tuple[Companion, ...] = ()
    """Configs beside the data."""

    @property
    def configs(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Config -> split -> keys of its cells, for every version that the data files make up."""
        configs = splits_of(map(Cell.parse, self.cells), self.layout)
        return {
            name: {split: tuple(cell.key for cell in cells) for split, cells in splits.items()}
            for name, splits in configs.items()
        }

    @property
    def splits(self) -> dict[str, SplitRecord]:
        """Split -> what it holds, in the order train, validation, test."""
        return {split: self.total(cells) for split, cells in self.configs[self.layout].items()}

    @property
    def split_names(self) -> tuple[str, ...]:
        """What :meth:`shards_of` takes: ``train``, of every other version ``random/train``, and ``all``."""
        others = {config: splits for config, splits in self.configs.items() if config != self.layout}
        of_others = (f"{config}/{split}" for config, splits in others.items() for split in splits)
        return (*self.splits, *of_others, EVERYTHING)

    def total(self, cells: Iterable[str]) -> SplitRecord:
        """Add up cells."""
        records = [self.cells[key] for key in cells]
        return SplitRecord(
            rows=sum(record.rows for record in records),
            memory=sum(record.memory for record in records),
            class_counts=tuple(map(sum, zip(*(record.class_counts for record in records), strict=True))),
        )

    @property
    def left_out(self) -> dict[str, int]:
        """``random`` or ``block`` -> patches that this version leaves out, where there are any."""
        counts: dict[str, int] = {}
        for key, record in self.cells.items():
            cell = Cell.parse(key)
            for name in ("random", "block"):
                if getattr(cell, name) == "x":
                    counts[name] = counts.get(name, 0) + record.rows
        return counts

    @property
    def digest(self) -> str:
        """Short hash of the whole manifest: changes whenever a byte of the data does."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file it lists."""
        return (*self.tables, *(file.path for file in self.files))

    @property
    def tables(self) -> dict[str, int]:
        """Path -> bytes of every file with rows: those of the data, then those of the companions."""
        sizes = {shard.path: shard.bytes for shard in self.shards}
        return sizes | {file.path: file.bytes for plan in self.companions for file in plan.files}

    @property
    def num_bytes(self) -> int:
        """Bytes of all data files."""
        return sum(shard.bytes for shard in self.shards)

    @property
    def num_rows(self) -> int:
        """Patches in all splits."""
        return sum(cell.rows for cell in self.cells.values())

    def shards_of(self, split: str) -> tuple[ShardRecord, ...]:
        """The files of one split, in order: ``train``, or of another version ``random/train``; or ``all``."""
        if split == EVERYTHING:
            return self.shards
        config, is_other, name = split.partition("/")
        if not is_other:
            return tuple(shard for shard in self.shards if shard.split == split)
        cells = self.configs.get(config, {}).get(name, ())
        return tuple(shard for shard in self.shards if shard.cell in cells)

    @property
    def splits_of_sources(self) -> tuple[str, ...]:
        """Splits whose published file it was made from, in the order train, validation, test."""
        stems = {record.name.partition(".")[0] for record in self.sources}
        return tuple(split for split, stem in FILE_OF_SPLIT.items() if stem in stems)

    def only(self, splits: Collection[str]) -> "Manifest":
        """Return what it would say if nothing but these splits had been built; files without rows apart."""
        left_out = [stem for split, stem in FILE_OF_SPLIT.items() if split not in splits]
        names = {f"{stem}{end}" for stem in left_out for end in ("", "_geo")}
        beside = (
            replace(plan, files=tuple(file for file in plan.files if file.split in splits))
            for plan in self.companions
        )
        return replace(
            self,
            sources=tuple(record for record in self.sources if record.name.partition(".")[0] not in names),
            cells={key: cell for key, cell in self.cells.items() if Cell.parse(key).split in splits},
            shards=tuple(shard for shard in self.shards if shard.split in splits),
            files=(),
            companions=tuple(plan for plan in beside if plan.files),
        )

    def to_json(self) -> str:
        """Return the content of ``manifest.json``."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read the manifest of a built folder.

        Raises:
            FolderError: there is none, or it cannot be understood.
        """
        if not (folder / MANIFEST).is_file():
            raise FolderError(
                folder,
                found=f"no {MANIFEST}",
                expected="a folder that `so2sat build` finished",
                remedy=_way_to_manifest(folder),
            )
        return cls.read_file(folder / MANIFEST)

    @classmethod
    def read_file(cls, path: Path) -> "Manifest":
        """Read a manifest; see :meth:`read`."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise _unreadable(path, error) from error
        return cls.parse(content, path)

    @classmethod
    def parse(cls, content: str | bytes, path: object) -> "Manifest":
        """Understand the content of a manifest; see :meth:`read`."""
        try:
            plain = json.loads(content)
            version = str(plain["format_version"])
            if major(version) != major(FORMAT_VERSION):
                raise FolderError(
                    path,
                    found=f"format version {version}",
                    expected=f"{major(FORMAT_VERSION)}.x",
                    remedy="install the version of so2sat_hf that built it, or build again",
                )
            plain["sources"] = tuple(SourceRecord(**source) for source in plain["sources"])
            plain["shards"] = tuple(ShardRecord(**shard) for shard in plain["shards"])
            plain["files"] = tuple(FileRecord(**file) for file in plain["files"])
            plain["columns"] = tuple(plain["columns"])
            plain["companions"] = tuple(
                Companion(**{**plan, "files": tuple(CompanionFile(**file) for file in plan["files"])})
                for plan in plain["companions"]
            )
            plain["cells"] = {
                name: SplitRecord(**{**cell, "class_counts": tuple(cell["class_counts"])})
                for name, cell in plain["cells"].items()
            }
            manifest = cls(**{field.name: plain[field.name] for field in fields(cls)})
            check(manifest, MANIFEST)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise _unreadable(path, error) from error
        return manifest


def _way_to_manifest(folder: Path) -> str:
    """Return what to do about a folder that was not built."""
    if not folder.is_dir():
        return "there is no such folder: check its name"
    if any(folder.glob("*.h5*")):
        return f"it holds HDF5 files: `so2sat build {folder} OUT` makes a dataset of them"
    return "if a build was interrupted, the same `so2sat build` continues it"


def _unreadable(path: object, error: Exception) -> FolderError:
    return FolderError(
        path, found=f"cannot be read ({error!r})", remedy="run `so2sat build` again: it writes it anew"
    )


def major(version: str) -> str:
    """Return the first part of a format version: readers of another one refuse the data."""
    return version.partition(".")[0]
