"""Files -> one commit of a branch, made once however often it is asked for."""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from so2sat_hf.errors import FolderError, HubError
from so2sat_hf.hub.change import LocalFile, is_done
from so2sat_hf.hub.patience import patiently
from so2sat_hf.hub.refusal import MovedError
from so2sat_hf.hub.repository import Repository


def send(
    files: Iterable[LocalFile], repository: Repository, revision: str, sent: Callable[[int, int], None]
) -> None:
    """Send the content of files that are large, where the Hub does not have it. No commit is made.

    Args:
        files: those on disk are sent, one after the other.
        repository: where to.
        revision: branch that they are for.
        sent: called with the bytes that are there, and all of them.

    Raises:
        FolderError: a file changed since its hash was stated.
        HubError: the Hub refuses, or patience ended; what was sent stays.
    """
    large = [file for file in files if isinstance(file.content, Path)]
    meter = _Meter(sum(file.num_bytes for file in large), sent)
    for file in large:
        meter.start(file.num_bytes)
        try:
            sha256 = repository.upload(file.path, file.content, revision, meter.add)
        except HubError as error:
            if not file.is_unchanged():
                raise _changed(file) from error
            raise
        if sha256 not in (None, file.sha256):
            raise _changed(file)
    meter.start(0)


def _changed(file: LocalFile) -> FolderError:
    return FolderError(
        file.path,
        found="changed while it was sent",
        expected="files that stay as they are",
        remedy="run `so2sat verify`, then the same command again",
    )


class _Meter:
    """Counts the bytes of one file after the other; those of a second try do not count twice."""

    def __init__(self, total: int, sent: Callable[[int, int], None]) -> None:
        self.total = total
        self.sent = sent
        self.low = self.now = self.high = 0

    def start(self, size: int) -> None:
        """Begin a file: all before it are there."""
        self.low = self.now = self.high
        self.high += size
        self.sent(self.now, self.total)

    def add(self, more: int) -> None:
        """Count a piece of the file."""
        self.now = min(self.now + more, self.high)
        self.sent(self.now, self.total)


def settle(
    wanted: Mapping[str, LocalFile],
    removed: Collection[str],
    repository: Repository,
    revision: str,
    *,
    message: str,
    parent: str | None = None,
    origin: str | None = None,
) -> str:
    """Return the commit of a branch that holds the files; make it if need be, but once.

    An answer that was lost is no reason to commit again: the head is looked at first, and what it holds.

    Args:
        wanted: path -> file that it should hold.
        removed: paths that it should not hold.
        repository: where.
        revision: the branch.
        message: first line of the commit.
        parent: its head before; None: whatever it is.
        origin: commit that has the large files already; they are taken from there.

    Raises:
        HubError: the branch is at another commit than ``parent``, or the Hub refuses.
    """

    def attempt() -> str:
        head = head_of(repository, revision)
        there = repository.tree(head)
        if is_done(wanted, there, removed):
            return head
        if parent is not None and head != parent:
            raise _moved(repository, revision, head, parent)
        files = {path: file.content for path, file in wanted.items() if not file.is_same(there.get(path))}
        copies = {path: origin for path, content in files.items() if origin and isinstance(content, Path)}
        try:
            return repository.commit(
                revision,
                head,
                message=message,
                files={path: content for path, content in files.items() if path not in copies},
                copies=copies,
                removed=[path for path in removed if path in there],
            )
        except MovedError as error:  # perhaps by a commit of ours whose answer was lost
            now = head_of(repository, revision)
            if is_done(wanted, repository.tree(now), removed):
                return now
            raise _moved(repository, revision, now, head) from error

    return patiently(attempt, repository.patience, thing=repository.repo_id, say=repository.say)


def head_of(repository: Repository, revision: str) -> str:
    """Return the commit that a revision points to.

    Raises:
        HubError: there is no such revision.
    """
    head = repository.head(revision)
    if head is None:
        raise HubError(
            f"{repository.repo_id}, {revision}",
            found="not there, or not for this token",
            remedy="run the same command again",
        )
    return head


def _moved(repository: Repository, revision: str, found: str, expected: str) -> HubError:
    return HubError(
        f"{repository.repo_id}, {revision}",
        found=f"somebody else changed it meanwhile: it is at {found[:7]}",
        expected=f"{expected[:7]}, as at the start",
        remedy="nothing was overwritten; run the same command again",
    )
