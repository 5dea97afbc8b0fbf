"""Whole files: hash them, or unpack ``.h5.gz`` once, with the space checked first."""

import fcntl
import gzip
import hashlib
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from so2sat_hf.convert.limits import check_packed
from so2sat_hf.errors import FolderError, SourceError

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
CHUNK_BYTES = 8 << 20


def hdf5_size(head: bytes) -> int | None:
    """Read the length of an HDF5 file from its first bytes (end-of-file address of the superblock).

    Args:
        head: at least 64 bytes.

    Returns:
        Bytes of the whole file, or None if this is not the start of an HDF5 file.
    """
    if len(head) < 64 or not head.startswith(HDF5_SIGNATURE):
        return None
    version = head[8]
    offset = {0: 40, 1: 44, 2: 28, 3: 28}.get(version)  # HDF5 File Format Specification, section II.A
    return None if offset is None else int(struct.unpack_from("<Q", head, offset)[0])


def unpacked_size(path: Path) -> int:
    """Bytes that a ``.h5.gz`` unpacks to, from the HDF5 header inside it.

    Raises:
        SourceError: not gzip, or no HDF5 file inside.
    """
    try:
        with gzip.open(path, "rb") as stream:
            size = hdf5_size(stream.read(64))
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(
            path, found=f"cannot be unpacked ({error})", expected="a gzip file", remedy="download it again"
        ) from error
    if size is None:
        raise SourceError(path, found="no HDF5 file inside", expected="a gzipped HDF5 file")
    check_packed(path, claimed=size, stored=path.stat().st_size)
    return size


def unpack(path: Path, folder: Path, *, progress: Callable[[str, int, int], None] | None = None) -> Path:
    """Unpack ``name.h5.gz`` to ``folder/name.h5`` and return that path.

    A file unpacked before is used again if it has the right size and the age of the archive.

    Args:
        path: the archive.
        folder: where to unpack; created if missing.
        progress: called with (file name, bytes done, bytes in all).

    Raises:
        SourceError: the archive is damaged.
        FolderError: too little space, or the folder cannot be written.
    """
    target = folder / path.name.removesuffix(".gz")
    size, stamp = unpacked_size(path), path.stat().st_mtime_ns
    if target.is_file() and target.stat().st_size == size and target.stat().st_mtime_ns == stamp:
        return target
    part = target.with_name(target.name + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(part) as out:
            free = shutil.disk_usage(folder).free
            if free < size:
                raise FolderError(
                    folder,
                    found=f"{free / 1e9:,.1f} GB free",
                    expected=f"{size / 1e9:,.1f} GB to unpack {path.name}",
                    remedy="free some space, or name another folder with --work DIR",
                )
            _copy(path, out, size, progress)
            os.utime(part, ns=(stamp, stamp))
            part.replace(target)
    except OSError as error:
        raise FolderError(
            folder,
            found=f"cannot be written ({error.strerror or error})",
            remedy="name another with --work DIR",
        ) from error
    return target


@contextmanager
def _alone(part: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file, emptied, that no other process is writing; it is gone afterwards."""
    with part.open("ab") as out:
        try:
            fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.fstat(out.fileno()).st_ino == part.stat().st_ino
        except (BlockingIOError, FileNotFoundError):
            is_ours = False
        if not is_ours:  # locked, or renamed between opening and locking
            raise FolderError(
                part,
                found="another process is unpacking it",
                expected="one at a time",
                remedy="wait for it, then run the same command again",
            )
        out.truncate(0)
        try:
            yield out
        finally:
            part.unlink(missing_ok=True)


def _copy(path: Path, out: IO[bytes], size: int, progress: Callable[[str, int, int], None] | None) -> None:
    done = 0
    try:
        with gzip.open(path, "rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                out.write(chunk)
                done += len(chunk)
                if done > size:
                    break
                if progress:
                    progress(path.name, done, size)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(
            path,
            found=f"damaged after {done:,} unpacked bytes ({error})",
            expected=f"{size:,} bytes",
            remedy="download it again",
        ) from error
    out.flush()
    os.fsync(out.fileno())
    if done != size:
        raise SourceError(
            path,
            found=f"unpacks to {'more than ' if done > size else ''}{min(done, size):,} bytes",
            expected=f"{size:,}, as the HDF5 header says",
            remedy="download it again",
        )


def sha256_of(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """Hash a file in chunks; ``progress`` is called with the bytes of each."""
    return hash_of(path, "sha256", progress)


def hash_of(path: Path, kind: str, progress: Callable[[int], None] | None = None) -> str:
    """Hash a file in chunks with any hash of ``hashlib``, such as ``md5``."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
            if progress:
                progress(len(chunk))
    return digest.hexdigest()
