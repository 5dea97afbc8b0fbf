"""What a push is going to do: every file of a built folder beside every file of the repository."""

import difflib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from so2sat_hf.companions.planners import NAMES
from so2sat_hf.convert.configs import configs
from so2sat_hf.convert.manifest import MANIFEST, README, STATISTICS, Manifest
from so2sat_hf.convert.verify import verify
from so2sat_hf.errors import FolderError, HubError, VerificationError
from so2sat_hf.hub import card
from so2sat_hf.hub.change import Item, LocalFile, mistaken, plan_change
from so2sat_hf.hub.contents import PICTURE
from so2sat_hf.hub.remote import RemoteFile
from so2sat_hf.hub.repository import Repository

GIT_FILES = (".json", ".md")
"""Endings of files that lie in the commit itself."""

OWN = ("data", *NAMES, STATISTICS, PICTURE.partition("/")[0])
"""First parts of the paths that a build writes: nothing else is ever removed, whatever a manifest says."""

MOST_MANIFEST = 64 << 20
"""Bytes of a manifest; that of the published dataset has 0.1 MB."""


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What a push is going to do."""

    folder: Path
    """What is published."""

    manifest: Manifest
    """Of the folder."""

    wanted: dict[str, LocalFile]
    """Path -> every file of the dataset."""

    head: str | None
    """Of main, seen before anything else; None if there is no such repository."""

    items: tuple[Item, ...]
    """What becomes of every file."""

    before: str | None
    """Digest of the manifest on main, if there is one."""

    format_before: str | None
    """Its format version."""

    readme_before: str
    """README on main; empty without."""

    @property
    def changed(self) -> list[LocalFile]:
        """The files that main does not have, or has otherwise."""
        return [self.wanted[item.path] for item in self.items if item.fate in ("new", "replaced")]

    @property
    def removed(self) -> list[str]:
        """Paths that go."""
        return [item.path for item in self.items if item.fate == "removed"]

    @property
    def subject(self) -> str:
        """What is published: the same words for the same data."""
        return f"So2Sat LCZ42, data {self.manifest.digest}"

    @property
    def tags(self) -> tuple[str, str]:
        """The format version, which moves along, and the data version, which stays."""
        return f"format-{self.manifest.format_version}", f"data-{self.manifest.digest}"

    def readme_changes(self) -> list[str]:
        """Return the lines of the README that differ."""
        after = self.wanted[README].content
        lines = after.decode() if isinstance(after, bytes) else after.read_text()
        if not self.readme_before:
            return [f"{README}: new, {len(lines.splitlines()):,} lines"]
        return list(
            difflib.unified_diff(
                self.readme_before.splitlines(),
                lines.splitlines(),
                README,
                f"{README}, new",
                lineterm="",
            )
        )


def check_folder(
    folder: Path, *, jobs: int | None = None, progress: Callable[[int], None] | None = None
) -> None:
    """Check hashes and schema of every file, before anything is sent.

    Raises:
        VerificationError: something is not what the manifest says.
    """
    result = verify(folder, jobs=jobs, progress=progress)
    if result.problems:
        raise VerificationError(
            folder,
            found=f"{result.problems[0]} ({len(result.problems)} such problems)",
            expected="what the manifest says; nothing was sent",
            remedy="`so2sat verify` lists them; build again",
        )


def plan_push(folder: Path, repository: Repository) -> PushPlan:
    """Compare a built folder with what main holds. Changes nothing, neither here nor there.

    Raises:
        FolderError: no manifest, or a file that differs from it.
        HubError: the Hub refuses, or files of others there would be read as data.
    """
    if Path(repository.repo_id).exists():
        raise HubError(
            repository.repo_id,
            found="a folder of that name lies here, and load_dataset would check it instead of the Hub",
            remedy="run the command from another folder",
        )
    manifest = Manifest.read(folder)
    wanted = _wanted(folder, manifest, repository.repo_id)
    head = repository.head()
    there = repository.tree(head) if head else {}
    listed, before, version = _manifest_there(repository, head, there)
    items = plan_change(wanted, there, listed)
    patterns = (p for config in configs(manifest) for files in config.files.values() for p in files)
    foreign = mistaken(items, patterns)
    if foreign:
        raise HubError(
            repository.repo_id,
            found=f"{len(foreign)} files of others that would be read as data, e.g. {foreign[0]}",
            expected="no other files where the README looks for data",
            remedy="move or remove them on the Hub first: nothing of others is ever removed here",
        )
    old = repository.read(README, head).decode(errors="replace") if head and README in there else ""
    return PushPlan(folder, manifest, wanted, head, tuple(items), before, version, old)


def _wanted(folder: Path, manifest: Manifest, repo_id: str) -> dict[str, LocalFile]:
    """Return every file to publish; the README is rendered for the repository."""
    hashes = {shard.path: shard.sha256 for shard in manifest.shards}
    hashes |= {file.path: file.sha256 for plan in manifest.companions for file in plan.files}
    wanted = {
        path: LocalFile(path, folder / path, size, hashes[path]) for path, size in manifest.tables.items()
    }
    for record in manifest.files:
        local = LocalFile.of(record.path, (folder / record.path).read_bytes())
        if local.sha256 != record.sha256:
            raise FolderError(folder / record.path, found="not what the manifest says", remedy="build again")
        is_small = record.path.endswith(GIT_FILES)
        wanted[record.path] = (
            local if is_small else LocalFile(local.path, folder / local.path, local.num_bytes, local.sha256)
        )
    page = card.readme_of(folder, repo_id).encode()
    for small in (LocalFile.of(README, page), LocalFile.of(MANIFEST, (folder / MANIFEST).read_bytes())):
        wanted[small.path] = small
    return wanted


def _manifest_there(
    repository: Repository, head: str | None, there: dict[str, RemoteFile]
) -> tuple[set[str], str | None, str | None]:
    """Return the files of the dataset on main, its digest and its format version; of any format."""
    if head is None or MANIFEST not in there:
        return set(), None, None
    size = there[MANIFEST].num_bytes
    content = repository.read(MANIFEST, head) if size <= MOST_MANIFEST else b""
    try:
        plain = json.loads(content)
        tables = [*plain["shards"], *(file for each in plain["companions"] for file in each["files"])]
        listed = {str(file["path"]) for file in [*tables, *plain["files"]]}
        version = re.fullmatch(r"[0-9]{1,4}\.[0-9]{1,4}", plain["format_version"])
        if version is None:
            raise ValueError("no format version")  # noqa: TRY301
        own = {path for path in listed if path.partition("/")[0] in OWN}
        return own, LocalFile.of(MANIFEST, content).sha256[:16], version[0]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HubError(
            f"{repository.repo_id}/{MANIFEST}",
            found=f"cannot be understood ({type(error).__name__}): which files are those of the old dataset?",
            expected="what so2sat_hf wrote",
            remedy="repair or remove it on the Hub first",
        ) from error
