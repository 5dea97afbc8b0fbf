"""Where the files of a built folder are taken from: the folder itself, or copies that come and go."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from so2sat_hf.convert.records import CompanionFile, ShardRecord
from so2sat_hf.convert.unpack import sha256_of
from so2sat_hf.errors import SourceError


class Shelf(Protocol):
    """Lends the files of a built folder. Picklable."""

    @property
    def name(self) -> str:
        """What people call the place."""
        ...

    def is_at(self, folder: Path) -> bool:
        """Whether the files lie in that folder."""
        ...

    def with_copies(self, folder: Path) -> "Shelf":
        """Return the same shelf, told where files may lie for as long as they are needed."""
        ...

    def lend(self, file: ShardRecord | CompanionFile, *, again: bool) -> AbstractContextManager[Path]:
        """Lend a file for the time of a block.

        Args:
            file: which.
            again: whether somebody may soon ask for other rows of it; else a copy is removed at once.

        Raises:
            So2SatError: it cannot be had, or is not what the manifest says.
        """
        ...

    def check(self, files: Iterable[ShardRecord]) -> None:
        """Compare every file with the manifest, unless that happens whenever one is lent.

        Raises:
            SourceError: a file was changed or damaged since it was built.
        """
        ...

    def fingerprint(self, files: Iterable[ShardRecord]) -> Mapping[str, object]:
        """What tells that the files are others now, beyond the manifest. Plain JSON values."""
        ...

    def bytes_of_copies(self, files: Iterable[ShardRecord], jobs: int) -> int:
        """Disk space for copies that so many processes need at once, in bytes."""
        ...

    def clear(self) -> None:
        """Remove the copies; nobody needs one any more."""
        ...


@dataclass(frozen=True, slots=True)
class FolderShelf:
    """A folder on this machine: nothing is copied."""

    folder: Path
    """Holds the files."""

    first: Path | None = None
    """Looked into before: holds those that have no final name yet."""

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.folder)

    def is_at(self, folder: Path) -> bool:
        """Whether it is that folder."""
        return self.folder.resolve() == folder.resolve()

    def with_copies(self, folder: Path) -> "FolderShelf":  # noqa: ARG002
        """Return the same shelf."""
        return self

    def lend(
        self,
        file: ShardRecord | CompanionFile,
        *,
        again: bool,  # noqa: ARG002
    ) -> AbstractContextManager[Path]:
        """Say where the file is; whoever reads it says so if it is missing."""
        if self.first is not None and (self.first / file.path).is_file():
            return nullcontext(self.first / file.path)
        return nullcontext(self.folder / file.path)

    def check(self, files: Iterable[ShardRecord]) -> None:
        """Read every file and compare its hash with the manifest."""
        for file in files:
            if sha256_of(self.folder / file.path) != file.sha256:
                raise SourceError(
                    self.folder / file.path,
                    found="another sha256 than in the manifest: the file was changed or damaged",
                    expected="the file that `so2sat build` wrote",
                    remedy="copy it again, or build the folder again",
                )

    def fingerprint(self, files: Iterable[ShardRecord]) -> Mapping[str, object]:
        """Size and age of each file: its damage."""
        stats = {file.path: (self.folder / file.path).stat() for file in files}
        return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}

    def bytes_of_copies(self, files: Iterable[ShardRecord], jobs: int) -> int:  # noqa: ARG002
        """None."""
        return 0

    def clear(self) -> None:
        """There are none."""
