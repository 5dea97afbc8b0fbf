"""Files of a dataset repository at one commit, as copies that stay no longer than somebody needs them.

A copy is shared by the processes of a build: the first one that needs it fetches it, and the last one that
has done with it removes it. Each process keeps at most one.
"""

import fcntl
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO

from so2sat_hf.convert.manifest import MANIFEST
from so2sat_hf.convert.records import CompanionFile, ShardRecord
from so2sat_hf.convert.workspace import writable
from so2sat_hf.errors import HubError, SourceError
from so2sat_hf.hub.patience import Patience
from so2sat_hf.hub.request import file_request
from so2sat_hf.hub.transfer import Remote, Wanted, Watch, fetch


@dataclass(frozen=True, slots=True)
class HubShelf:
    """Lends files of a repository: a :class:`~so2sat_hf.convert.shelf.Shelf`. Holds no token."""

    repo_id: str
    """``OWNER/NAME``."""

    commit: str
    """The commit that every file is taken from."""

    endpoint: str | None = None
    """Another Hub than that of ``HF_ENDPOINT``."""

    patience: Patience = field(default_factory=Patience)
    """With the Hub."""

    copies: Path | None = None
    """Where they may lie."""

    @property
    def name(self) -> str:
        """Repository and commit."""
        return f"{self.repo_id} at {self.commit[:8]}"

    def is_at(self, folder: Path) -> bool:  # noqa: ARG002
        """Never: the files are on the Hub."""
        return False

    def with_copies(self, folder: Path) -> "HubShelf":
        """Return the same shelf with a folder for copies."""
        return replace(self, copies=folder)

    @contextmanager
    def lend(self, file: ShardRecord | CompanionFile, *, again: bool) -> Iterator[Path]:
        """Lend a copy that has the size and hash of the manifest.

        Raises:
            HubError: the Hub does not have it, or refuses, or has other bytes.
            FolderError: it cannot be written.
        """
        path = self._place(file)
        copy, _KEPT.copy = _KEPT.copy, None
        if copy is not None and copy.path != path:
            copy.give_back()
            copy = None
        copy = copy or _take(path, file.bytes, lambda: self._fetch(file, path))
        try:
            yield path
        except BaseException:
            copy.close()  # it stays: the next run needs it
            raise
        if again:
            _KEPT.copy = copy
        else:
            copy.give_back()

    def check(self, files: Iterable[ShardRecord]) -> None:
        """Nothing: every file is compared when it comes."""

    def fingerprint(self, files: Iterable[ShardRecord]) -> Mapping[str, object]:  # noqa: ARG002
        """Nothing: the manifest covers every byte, whichever commit it is taken from."""
        return {}

    def bytes_of_copies(self, files: Iterable[ShardRecord], jobs: int) -> int:
        """Return the size of the largest files, one for each process."""
        return sum(sorted((file.bytes for file in files), reverse=True)[:jobs])

    def clear(self) -> None:
        """Remove all copies."""
        copy, _KEPT.copy = _KEPT.copy, None
        if copy is not None:
            copy.close()
        if self.copies is not None:
            shutil.rmtree(self.copies, ignore_errors=True)

    def _place(self, file: ShardRecord | CompanionFile) -> Path:
        """Where the copy of a file lies: its hash is its name."""
        if self.copies is None:
            raise HubError(self.name, found=f"{file.path} is wanted outside a build", expected="a build")
        return self.copies / f"{file.sha256}{PurePosixPath(file.path).suffix}"

    def _fetch(self, file: ShardRecord | CompanionFile, path: Path) -> None:
        """Fetch a file, or the rest of it; it has its name when its hash is right."""
        try:
            url, headers = file_request(self.repo_id, file.path, revision=self.commit, endpoint=self.endpoint)
            remote = Remote(
                name=path.name,
                url=url,
                headers=headers,
                wanted=(Wanted(file.bytes, file.sha256, f"in {MANIFEST}"),),
                algorithm="sha256",
                with_ranges=True,
                advice=f"see {url.partition('/resolve/')[0]}/tree/{self.commit}",
            )
            fetch(remote, path.parent, patience=self.patience, watch=Watch())
        except SourceError as error:
            raise HubError(
                error.thing, found=error.found, expected=error.expected, remedy=error.remedy
            ) from error


@dataclass(frozen=True, slots=True)
class _Copy:
    """A file that is there while this is held."""

    path: Path
    lock: IO[bytes]
    """Beside it; shared by all who hold the copy."""

    def __del__(self) -> None:
        """Let go of the copy, for a thread that ends while it keeps one."""
        self.lock.close()

    def close(self) -> None:
        """Let go of the copy and leave it where it is."""
        self.lock.close()

    def give_back(self) -> None:
        """Let go of the copy, and remove it if nobody else holds it."""
        with self.lock, suppress(OSError):  # somebody else does, or a new run has removed the folder
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.path.unlink(missing_ok=True)


class _Kept(threading.local):
    """What a thread keeps because the next task may want other rows of it."""

    copy: _Copy | None = None


_KEPT = _Kept()


def _take(path: Path, size: int, fetch_it: Callable[[], None]) -> _Copy:
    """Hold a copy; who finds none fetches it, and the others wait meanwhile."""
    with writable(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f"{path.name}.lock").open("a+b")
    try:
        while True:
            fcntl.flock(lock, fcntl.LOCK_SH)
            if path.is_file() and path.stat().st_size == size:
                return _Copy(path, lock)
            fcntl.flock(lock, fcntl.LOCK_UN)  # two that both wanted more would wait for each other
            fcntl.flock(lock, fcntl.LOCK_EX)  # another one may have fetched it by now
            if not (path.is_file() and path.stat().st_size == size):
                fetch_it()
    except BaseException:
        lock.close()
        raise
