"""What a repository holds: files by their contents, commits, branches, tags, discussions."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

LFS_ENDINGS = (".parquet", ".arrow", ".h5", ".gz", ".png", ".safetensors", ".bin", ".zip", ".pt", ".tif")
REGULAR_LIMIT = 10_000_000
"""Bytes from which every file is stored as LFS."""
ATTRIBUTES = "".join(f"*{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in LFS_ENDINGS).encode()

_numbers = count()


def now() -> str:
    """The time as the Hub writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def git_oid(kind: str, content: bytes) -> str:
    """Name of an object in git."""
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """What git holds in place of an LFS file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def is_lfs(path: str, size: int) -> bool:
    """Whether a file has to be uploaded as LFS. Empty ones never are."""
    return size > 0 and (path.endswith(LFS_ENDINGS) or size >= REGULAR_LIMIT)


@dataclass(frozen=True)
class Entry:
    """A file of a tree."""

    size: int
    oid: str
    """Name of the blob in git: that of the pointer for LFS."""
    sha256: str | None = None
    """Of LFS files."""


@dataclass(frozen=True)
class Commit:
    sha: str
    title: str
    parents: tuple[str, ...]
    files: Mapping[str, Entry]
    author: str = "system"
    message: str = ""
    date: str = field(default_factory=now)


@dataclass
class Comment:
    author: str
    text: str


@dataclass
class Pull:
    """A pull request, or a discussion where `is_pull` is false."""

    number: int
    title: str
    author: str
    status: str
    """open, closed, draft, merged"""
    head: str
    """Commit of refs/pr/N."""
    base: str
    """Commit of main that it started from."""
    comments: list[Comment] = field(default_factory=list)
    """The first one is the description."""
    is_pull: bool = True
    merged: str | None = None
    """Commit of main that it became."""
    events: list[dict[str, Any]] = field(default_factory=list)
    created: str = field(default_factory=now)


class MissingError(KeyError):
    """There is no such revision or path."""


class Repo:
    """A repository. Trees are dictionaries of whole paths."""

    def __init__(self, name: str, kind: str, *, private: bool = False, creator: str = "system") -> None:
        self.name, self.kind, self.private, self.creator = name, kind, private, creator
        self.owner = name.partition("/")[0]
        self.created = now()
        self.commits: dict[str, Commit] = {}
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.discussions: dict[int, Pull] = {}
        self.blobs: dict[str, bytes] = {}
        """Regular files by git oid."""
        self.objects: dict[str, bytes] = {}
        """LFS files by sha256."""
        self.write({".gitattributes": ATTRIBUTES}, title="initial commit")

    @property
    def pulls(self) -> dict[int, Pull]:
        return {number: pull for number, pull in self.discussions.items() if pull.is_pull}

    @property
    def refs(self) -> dict[str, str]:
        """Every full and short name of a commit that has one; branches hide tags of the same name."""
        pulls = {f"refs/pr/{number}": pull.head for number, pull in self.pulls.items()}
        full = {f"refs/heads/{name}": sha for name, sha in self.branches.items()}
        full |= {f"refs/tags/{name}": sha for name, sha in self.tags.items()}
        return {**self.tags, **self.branches, **full, **pulls}

    def head(self, revision: str = "main") -> str:
        """Commit of a branch, tag, refs/pr/N or (shortened) sha; raises MissingError."""
        if revision in self.refs:
            return self.refs[revision]
        found = [sha for sha in self.commits if len(revision) >= 7 and sha.startswith(revision)]
        if len(found) != 1:
            raise MissingError(revision)
        return found[0]

    def tree(self, revision: str = "main") -> dict[str, Entry]:
        return dict(self.commits[self.head(revision)].files)

    def content(self, entry: Entry) -> bytes:
        return self.objects[entry.sha256] if entry.sha256 else self.blobs[entry.oid]

    def read(self, revision: str, path: str) -> bytes:
        """Bytes of a file; raises MissingError."""
        tree = self.tree(revision)
        if path not in tree:
            raise MissingError(path)
        return self.content(tree[path])

    def history(self, revision: str = "main") -> list[Commit]:
        """Commits along the first parents, newest first."""
        commits = [self.commits[self.head(revision)]]
        while commits[-1].parents:
            commits.append(self.commits[commits[-1].parents[0]])
        return commits

    def keep(self, path: str, content: bytes) -> Entry:
        """Store the bytes of a file as its name and size ask for."""
        if is_lfs(path, len(content)):
            sha256 = hashlib.sha256(content).hexdigest()
            self.objects[sha256] = content
            return self.lfs_entry(sha256, len(content))
        return self.keep_regular(content)

    def keep_regular(self, content: bytes) -> Entry:
        oid = git_oid("blob", content)
        self.blobs[oid] = content
        return Entry(len(content), oid)

    @staticmethod
    def lfs_entry(sha256: str, size: int) -> Entry:
        return Entry(size, git_oid("blob", pointer(sha256, size)), sha256)

    def write(
        self,
        files: Mapping[str, bytes],
        revision: str = "main",
        *,
        title: str = "Add files",
        delete: Any = (),
    ) -> Commit:
        """Commit files as somebody else would, without a request."""
        tree = self.tree(revision) if self.branches else {}
        tree = {path: entry for path, entry in tree.items() if path not in delete}
        tree |= {path: self.keep(path, content) for path, content in files.items()}
        return self.advance(revision, tree, title=title)

    def advance(
        self,
        revision: str,
        tree: Mapping[str, Entry],
        *,
        title: str,
        author: str = "system",
        message: str = "",
    ) -> Commit:
        """Put a commit on top of a branch or refs/pr/N."""
        parents = (self.head(revision),) if self.branches else ()
        text = repr((next(_numbers), parents, title, sorted(tree))).encode()
        commit = Commit(git_oid("commit", text), title, parents, dict(tree), author, message)
        self.commits[commit.sha] = commit
        if revision.startswith("refs/pr/"):
            self.pulls[int(revision.rpartition("/")[2])].head = commit.sha
        else:
            self.branches[revision.removeprefix("refs/heads/")] = commit.sha
        return commit
