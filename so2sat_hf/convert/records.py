"""What a manifest says of each file and each group of patches. Pure."""

from dataclasses import dataclass
from typing import Any, Protocol


class TableFile(Protocol):
    """Any file with rows."""

    @property
    def path(self) -> str:
        """Relative to the folder, with forward slashes."""
        ...

    @property
    def rows(self) -> int:
        """How many it has."""
        ...


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """One data file."""

    path: str
    """Relative to the folder, with forward slashes."""

    cell: str
    """Key of the cell it belongs to, e.g. ``train/r1b0``."""

    rows: int
    """Patches in the file."""

    bytes: int
    """Size of the file."""

    sha256: str
    """Hash of the file, hexadecimal."""

    @property
    def split(self) -> str:
        """``train``, ``validation`` or ``test``."""
        return self.cell.partition("/")[0]


@dataclass(frozen=True, slots=True)
class CompanionFile:
    """One file of a config beside the data."""

    path: str
    """Relative to the folder, with forward slashes."""

    split: str
    """``train``, ``validation`` or ``test``."""

    rows: int
    """Patches in the file."""

    bytes: int
    """Size of the file."""

    memory: int
    """Bytes of its rows as Arrow tables."""

    sha256: str
    """Hash of the file, hexadecimal."""


@dataclass(frozen=True, slots=True)
class Companion:
    """A config beside the data, made from the same patches."""

    name: str
    """The config: ``rgb``, ``index``, ``mini``."""

    features: dict[str, Any]
    """Its columns, as ``datasets.Features.to_dict`` has them."""

    files: tuple[CompanionFile, ...]
    """In order."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file beside the data."""

    path: str
    """Relative to the folder, with forward slashes."""

    bytes: int
    """Size of the file."""

    sha256: str
    """Hash of the file, hexadecimal."""


@dataclass(frozen=True, slots=True)
class SplitRecord:
    """Patches of a cell or a split."""

    rows: int
    """Patches."""

    memory: int
    """Bytes of its rows as Arrow tables."""

    class_counts: tuple[int, ...]
    """Patches of each of the 17 classes."""
