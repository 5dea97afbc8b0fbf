"""Which published files a user wants, and what a folder has of them. Nothing is fetched or written here."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from so2sat_hf import facts
from so2sat_hf.errors import FolderError, So2SatError, SourceError
from so2sat_hf.facts import Mirror, SourceFile, Version


@dataclass(frozen=True, slots=True)
class Selection:
    """What a user wants to have, and from where."""

    mirror: str = "hub"
    """``"hub"`` (gzipped) or ``"mediatum"`` (plain)."""

    splits: tuple[str, ...] = ()
    """``"train"``, ``"validation"``, ``"test"``; empty for all."""

    names: tuple[str, ...] = ()
    """Files, with or without extension, e.g. ``"testing_geo"``; empty for all."""

    revision: str | None = None
    """Commit, tag or branch on the Hub; None for the one that facts pin."""

    endpoint: str | None = None
    """Another Hub than that of ``HF_ENDPOINT``."""

    base_url: str | None = None
    """Another address of the folder of mediaTUM; user and password of its own may be part of it."""

    unpack: bool = False
    """Whether gzipped files are unpacked when all are there."""

    work: Path | None = None
    """Where they are unpacked; None for beside them."""


class State(StrEnum):
    """What a folder has of a file."""

    MISSING = "missing"
    PARTIAL = "partial"
    FINISHED = "finished"
    UNPACKED = "unpacked"
    """Only the plain file that the archive would unpack to."""


HERE = (State.FINISHED, State.UNPACKED)
"""Nothing is to be fetched."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A published file and what a folder has of it."""

    path: Path
    """Where it is, or will be."""

    files: tuple[SourceFile, ...]
    """What it may be: one published file, or one of each geolocation generation."""

    plain: SourceFile | None
    """What it unpacks to; None if it is not an archive."""

    plain_path: Path | None
    """Where that is, or will be."""

    state: State
    """What is there."""

    bytes_there: int
    """Size of what is there; 0 if it cannot be used."""

    bytes_missing: int
    """To fetch, at most."""

    bytes_to_unpack: int
    """Size of the plain file that is still to be written."""

    with_ranges: bool
    """Whether the server continues a transfer that was cut."""

    @property
    def is_here(self) -> bool:
        """Whether nothing is to be fetched."""
        return self.state in HERE


@dataclass(frozen=True, slots=True)
class Plan:
    """What a download will do."""

    version: Version
    """What is fetched."""

    mirror: Mirror
    """Where from, with the revision or address that was asked for."""

    selection: Selection
    """What the user said."""

    pieces: tuple[Piece, ...]
    """Smallest first, so that what may go wrong does so early."""

    @property
    def bytes_missing(self) -> int:
        """To fetch, at most."""
        return sum(piece.bytes_missing for piece in self.pieces)

    @property
    def bytes_to_unpack(self) -> int:
        """To write when the archives are there."""
        return sum(piece.bytes_to_unpack for piece in self.pieces)


def plan_download(folder: Path, selection: Selection, *, version: Version | None = None) -> Plan:
    """Look at a folder and say what is to be fetched. Nothing is asked for, nothing is written.

    Args:
        folder: where the files go; need not exist.
        selection: what is wanted.
        version: what was published; default: version 4 as facts know it.

    Raises:
        So2SatError: there is no such split or file.
        SourceError: something else lies where a file would go.
    """
    version = version or facts.version("4")
    mirror = version.mirror(selection.mirror)
    if mirror.repo_id:
        mirror = replace(mirror, revision=selection.revision or mirror.revision)
    elif selection.base_url:
        mirror = replace(mirror, page=re.sub("//[^/]*@", "//", selection.base_url))  # without a password
    paths = choose([file for file in version.files if mirror.name in file.mirrors], selection)
    pieces = [_piece(folder, path, version, mirror, selection) for path in paths]
    pieces.sort(key=lambda piece: max(size_of(file) for file in piece.files))
    return Plan(version, mirror, selection, tuple(pieces))


def choose(files: Sequence[SourceFile], selection: Selection) -> list[str]:
    """Return the paths of the files that are wanted, each once.

    Raises:
        So2SatError: a split or file is not among them.
    """
    for wanted, known in (
        (selection.splits, {file.split for file in files}),
        ([stem(name) for name in selection.names], {stem(file.path) for file in files}),
    ):
        for name in wanted:
            if name not in known:
                raise So2SatError(name, found="unknown", expected="one of " + ", ".join(sorted(known)))
    names = {stem(name) for name in selection.names}
    paths = dict.fromkeys(
        file.path
        for file in files
        if file.split in (selection.splits or (file.split,))
        and stem(file.path) in (names or {stem(file.path)})
    )
    if not paths:
        raise So2SatError(
            ", ".join((*selection.splits, *selection.names)),
            found="no file is in both",
            expected="one at least",
        )
    return list(paths)


def stem(path: str) -> str:
    """Return a path without ``.h5`` and ``.gz``, which people may leave out."""
    return path.removesuffix(".gz").removesuffix(".h5")


def _piece(folder: Path, name: str, version: Version, mirror: Mirror, selection: Selection) -> Piece:
    """Compare what lies in a folder with what was published."""
    files = tuple(file for file in version.files if file.path == name and mirror.name in file.mirrors)
    plain = next((file for file in version.files if f"{file.path}.gz" == name), None)
    path, with_ranges = folder / name, name not in mirror.without_ranges
    plain_path = (selection.work or folder) / plain.path if plain else None
    unpacked = _unpacked(path, plain, {folder, selection.work or folder})
    if _is_file(path):
        there, state = _published_size(path, files), State.FINISHED
    elif unpacked:
        there, state = size_of(plain), State.UNPACKED  # type: ignore[arg-type]
    else:
        part = path.with_name(f"{name}.part")
        there = part.stat().st_size if part.is_file() else 0
        there = there if with_ranges and there <= max(size_of(file) for file in files) else 0
        state = State.PARTIAL if there else State.MISSING
    missing = 0 if state in HERE else max(size_of(file) for file in files) - there
    to_unpack = size_of(plain) if plain and selection.unpack and not unpacked else 0
    return Piece(path, files, plain, unpacked or plain_path, state, there, missing, to_unpack, with_ranges)


def _unpacked(path: Path, plain: SourceFile | None, folders: set[Path]) -> Path | None:
    """Return the plain file of an archive if one is there that is not older."""
    if plain is None:
        return None
    for candidate in (folder / plain.path for folder in sorted(folders)):
        if _is_file(candidate):
            _published_size(candidate, (plain,))
            if not path.is_file() or candidate.stat().st_mtime_ns >= path.stat().st_mtime_ns:
                return candidate
    return None


def _is_file(path: Path) -> bool:
    if (path.exists() or path.is_symlink()) and not path.is_file():
        kind = "a folder" if path.is_dir() else "a link that leads nowhere"
        raise SourceError(path, found=kind, expected="a file, or nothing", remedy="remove or rename it")
    return path.is_file()


def _published_size(path: Path, files: Sequence[SourceFile]) -> int:
    """Return the size of a file, if it is a published one."""
    size = path.stat().st_size
    if size not in {file.bytes for file in files}:
        raise SourceError(
            path,
            found=f"{size:,} bytes there already",
            expected=" or ".join(f"{size_of(file):,}" for file in files) + " as published",
            remedy="remove or rename it, or name another folder; nothing was changed",
        )
    return size


def size_of(file: SourceFile) -> int:
    """Return the bytes of a file that a mirror has; facts state them all."""
    if file.bytes is None:
        raise SourceError(file.path, found="nobody has stated its size", expected="a number in facts")
    return file.bytes


def nearest_folder(path: Path) -> Path:
    """Return a path, or the nearest folder above it that is there: whose disk it is going to be on."""
    return next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())


def check_space(plan: Plan, folder: Path) -> None:
    """Compare what all files together need with what is free, before anything is written.

    Raises:
        FolderError: too little.
    """
    needs: dict[int, list[tuple[Path, int, str]]] = {}
    work = plan.selection.work or folder
    for place, size, verb in ((folder, plan.bytes_missing, "fetch"), (work, plan.bytes_to_unpack, "unpack")):
        existing = nearest_folder(place)
        if size:
            needs.setdefault(existing.stat().st_dev, []).append((existing, size, verb))
    for parts in needs.values():
        free, total = shutil.disk_usage(parts[0][0]).free, sum(size for _, size, _ in parts)
        if free < total:
            raise FolderError(
                parts[0][0],
                found=f"{free / 1e9:,.2f} GB free",
                expected=" and ".join(f"{size / 1e9:,.2f} GB to {verb}" for _, size, verb in parts),
                remedy="free some space, name another folder, or take fewer files (--split)",
            )
