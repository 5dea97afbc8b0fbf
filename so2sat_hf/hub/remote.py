"""What a repository on the Hub is made of. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository."""

    path: str
    """In the repository."""

    num_bytes: int
    """Its size."""

    oid: str
    """Hash that git knows it by: of the file itself, or of the pointer to large content."""

    sha256: str | None
    """Hash of large content (LFS); None where git keeps the file itself."""


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A proposed change of a repository."""

    number: int
    """As the Hub counts them."""

    title: str
    """First line."""

    status: str
    """Of the Hub: ``draft`` (as programs make them), ``open``, ``closed``, ``merged``."""

    @property
    def is_open(self) -> bool:
        """Whether it can still take commits."""
        return self.status in ("draft", "open")

    @property
    def revision(self) -> str:
        """Git reference of its commits."""
        return f"refs/pr/{self.number}"
