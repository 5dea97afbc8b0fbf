"""What a push does to every file of a repository: decided before anything is sent."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from so2sat_hf.convert.unpack import sha256_of
from so2sat_hf.hub.remote import RemoteFile

FATES = ("new", "replaced", "removed", "kept")
"""What becomes of a file, in the order of the list."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to publish."""

    path: str
    """In the repository."""

    content: Path | bytes
    """Where it is, or itself if it is small."""

    num_bytes: int
    """Its size."""

    sha256: str
    """Its hash, hexadecimal."""

    @classmethod
    def of(cls, path: str, content: bytes) -> "LocalFile":
        """Return a small file."""
        return cls(path, content, len(content), hashlib.sha256(content).hexdigest())

    @property
    def git_oid(self) -> str:
        """The hash that git gives it; reads it whole."""
        content = self.content if isinstance(self.content, bytes) else self.content.read_bytes()
        head = f"blob {len(content)}\0".encode()
        return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()

    def is_unchanged(self) -> bool:
        """Tell whether the file on disk is still the one with this hash; reads it whole."""
        if isinstance(self.content, bytes):
            return True
        try:
            return sha256_of(self.content) == self.sha256
        except OSError:
            return False

    def is_same(self, remote: RemoteFile | None) -> bool:
        """Tell whether the Hub has exactly this file there."""
        if remote is None or remote.num_bytes != self.num_bytes:
            return False
        return remote.sha256 == self.sha256 if remote.sha256 else remote.oid == self.git_oid


@dataclass(frozen=True, slots=True)
class Item:
    """What becomes of one file of the repository."""

    path: str
    """In the repository."""

    fate: str
    """One of :data:`FATES`."""

    num_bytes: int
    """Its size: of the new content if there is one."""

    is_ours: bool
    """Whether the dataset holds it, or did; the files of others are always kept."""


def plan_change(
    wanted: Mapping[str, LocalFile], there: Mapping[str, RemoteFile], listed: Collection[str]
) -> list[Item]:
    """Decide what becomes of every file.

    Args:
        wanted: path -> file of the dataset to publish.
        there: path -> file that the repository holds now.
        listed: paths that the manifest in the repository lists: those of the dataset before. No other file is
            ever removed.
    """
    items = []
    for path, file in wanted.items():
        fate = "new" if path not in there else "kept" if file.is_same(there[path]) else "replaced"
        items.append(Item(path, fate, file.num_bytes, is_ours=True))
    for path, remote in there.items():
        if path not in wanted:
            gone = path in listed
            items.append(Item(path, "removed" if gone else "kept", remote.num_bytes, is_ours=gone))
    return sorted(items, key=lambda item: (FATES.index(item.fate), not item.is_ours, item.path))


def is_done(wanted: Mapping[str, LocalFile], there: Mapping[str, RemoteFile], removed: Iterable[str]) -> bool:
    """Tell whether a tree holds every wanted file, and none of the removed ones."""
    return all(file.is_same(there.get(path)) for path, file in wanted.items()) and not any(
        path in there for path in removed
    )


def mistaken(items: Iterable[Item], patterns: Iterable[str]) -> list[str]:
    """Return the files of others that a reader would take for data of the dataset.

    Args:
        items: what :func:`plan_change` decided.
        patterns: of the data files, as in the YAML of the README.

    >>> mistaken([Item("data/train/old.parquet", "kept", 1, is_ours=False)], ["data/train/*.parquet"])
    ['data/train/old.parquet']
    """
    globs = [PurePosixPath(pattern).as_posix() for pattern in patterns]
    return [
        item.path
        for item in items
        if not item.is_ours
        and any(
            PurePosixPath(item.path).match(glob) and item.path.count("/") == glob.count("/") for glob in globs
        )
    ]
