"""Files that are complete or not there: written under a temporary name, made durable, renamed."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from so2sat_hf.errors import FolderError


class HashingFile:
    """A file that hashes and counts what is written to it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()
        self.num_bytes = 0
        self.closed = False

    def write(self, data: Any) -> int:  # noqa: ANN401 (pyarrow hands over buffers)
        """Write, hash and count."""
        view = memoryview(data)
        self.digest.update(view)
        self._stream.write(view)
        self.num_bytes += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        """Pass on to the file."""
        self._stream.flush()

    def tell(self) -> int:
        """Bytes written so far."""
        return self.num_bytes

    def close(self) -> None:
        """Left to whoever opened the stream, who has to fsync first."""


@contextmanager
def placing(target: Path, *, durable: bool = True, part: Path | None = None) -> Iterator[Path]:
    """Give a temporary name beside the target, for whoever writes the file.

    When the body succeeds it gets its name; otherwise it is removed.

    Args:
        target: the file.
        durable: whether it has to outlive a power failure.
        part: another temporary name, in the same folder; default: one of this process.

    Raises:
        FolderError: the operating system refuses (permission, disk full, read-only).
    """
    part = part or target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            if durable:
                sync(part)
            part.replace(target)
            if durable:
                sync(target.parent)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise FolderError(
            target.parent,
            found=f"cannot write {target.name} ({error.strerror or error})",
            expected="a folder with enough space and permission to write",
            remedy="free some space or choose another folder, then run the same command again: it continues",
        ) from error


@contextmanager
def writing(target: Path, *, durable: bool = True) -> Iterator[HashingFile]:
    """Open a temporary file that becomes the target; see :func:`placing`."""
    with placing(target, durable=durable) as part, part.open("wb") as stream:
        yield HashingFile(stream)


def write_text(target: Path, text: str, *, durable: bool = True) -> None:
    """Write a small file all at once, or not at all; see :func:`placing`."""
    write_bytes(target, text.encode(), durable=durable)


def write_bytes(target: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a small file all at once, or not at all; see :func:`placing`."""
    with writing(target, durable=durable) as sink:
        sink.write(data)


def sync(path: Path) -> None:
    """Make the content of a file durable, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def drop_parts(folder: Path) -> None:
    """Remove what killed runs have left in a folder that nobody else writes to."""
    for part in folder.glob("*.part"):
        part.unlink(missing_ok=True)
