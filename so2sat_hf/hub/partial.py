"""The bytes of a file that is still on its way: kept, hashed, continued, and named when they are right."""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from so2sat_hf.convert.workspace import writable
from so2sat_hf.convert.writing import sync
from so2sat_hf.errors import FolderError

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Origin:
    """What the server said of the bytes; tells later whether it still has the same ones."""

    total: int | None = None
    """Bytes of the whole file."""

    etag: str | None = None
    """Entity tag as sent, e.g. ``'"abc"'``."""

    modified: str | None = None
    """Last-Modified as sent."""

    linked: str | None = None
    """Tag of the content, which the Hub sends while it redirects to a server with tags of its own."""

    def differs(self, other: "Origin") -> bool:
        """Whether the two speak of different bytes, as far as both say anything."""
        names = ("total", "linked") if self.linked and other.linked else ("total", "etag", "modified")
        pairs = ((getattr(self, name), getattr(other, name)) for name in names)
        return any(mine is not None and theirs not in (None, mine) for mine, theirs in pairs)

    @property
    def if_range(self) -> str | None:
        """What a server can compare before it continues: a strong tag, else the date; None after a link."""
        if self.linked:
            return None
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


class PartialFile:
    """``NAME.part`` on its way to ``NAME``, open in one process at a time.

    Beside it ``NAME.part.json`` holds its :class:`Origin`. Both outlive the process until the file is
    finished or discarded.
    """

    def __init__(self, target: Path, *, algorithm: str) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self.size = 0
        self.origin = Origin()
        self._note = target.with_name(f"{target.name}.part.json")
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm)
        self._file: IO[bytes]

    def __enter__(self) -> Self:
        with writable(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
            try:
                self._take()
                self.size = os.fstat(self._file.fileno()).st_size
                self.origin = _read_origin(self._note)
            except BaseException:
                self._file.close()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # finish() has synced; without it the last bytes are only fetched again
            self._file.close()

    def _take(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.fstat(self._file.fileno()).st_ino == self.path.stat().st_ino
        except (BlockingIOError, FileNotFoundError):
            is_ours = False
        if not is_ours:  # locked, or renamed between opening and locking
            raise FolderError(
                self.path,
                found="another process is downloading it",
                expected="one at a time",
                remedy="wait for it, then run the same command again",
            )

    @property
    def digest(self) -> str:
        """Hash of the bytes so far, in hexadecimal digits."""
        return self._hash.hexdigest()

    def read_back(self, progress: Callable[[int], None]) -> None:
        """Hash the bytes of an earlier run; ``progress`` is called with how many are done."""
        done, self._hash = 0, hashlib.new(self._algorithm)
        with writable(self.path.parent):
            self._file.seek(0)
            while chunk := self._file.read(CHUNK_BYTES):
                self._hash.update(chunk)
                done += len(chunk)
                progress(done)
        self.size = done

    def restart(self) -> None:
        """Drop every byte: they belong to another file, or cannot be continued."""
        with writable(self.path.parent):
            self._file.truncate(0)
            self._note.unlink(missing_ok=True)
        self.size, self.origin, self._hash = 0, Origin(), hashlib.new(self._algorithm)

    def remember(self, origin: Origin) -> None:
        """Keep what the server says of the bytes, for the next run."""
        if origin == self.origin:
            return
        with writable(self.path.parent):
            self._note.write_text(json.dumps(asdict(origin)))
        self.origin = origin

    def append(self, chunk: bytes) -> None:
        """Write the next bytes."""
        with writable(self.path.parent):
            self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def finish(self) -> None:
        """Give the file its name. Whoever calls this has compared the digest."""
        with writable(self.path.parent):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._note.unlink(missing_ok=True)
            self.path.replace(self.target)
            sync(self.target.parent)

    def discard(self) -> None:
        """Remove the bytes and what is known of them."""
        with writable(self.path.parent):
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)


def _read_origin(note: Path) -> Origin:
    """Return what an earlier run has kept; nothing if it is absent or cannot be read."""
    try:
        origin = Origin(**json.loads(note.read_text()))
    except (OSError, ValueError, TypeError, RecursionError):
        return Origin()
    texts = (origin.etag, origin.modified, origin.linked)
    return origin if all(isinstance(text, str | None) for text in texts) else Origin()
