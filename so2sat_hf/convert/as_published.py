"""Are HDF5 files the published ones, by rows, bytes and hashes?"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from so2sat_hf import facts
from so2sat_hf.convert.cells import LAYOUTS
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.convert.unpack import sha256_of
from so2sat_hf.errors import SourceError


def differences(source: RawSource) -> list[str]:
    """Say, one sentence a file, how files differ from the published ones in rows and bytes."""
    pairs = [(path, file.num_rows) for file in source.files for path in (file.path, file.geo_path) if path]
    return [text for path, num_rows in pairs if (text := _difference(path, num_rows))]


def published_name(path: Path) -> str:
    """Return the name under which a file is published: with its folder in version 3."""
    return f"{path.parent.name}/{path.name}" if path.parent.name in LAYOUTS else path.name


def _difference(path: Path, num_rows: int) -> str | None:
    size = path.stat().st_size
    published = [file for file in facts.source_files(published_name(path)) if file.bytes]
    if any(file.rows in (num_rows, None) and file.bytes == size for file in published):
        return None
    known = sorted(
        {f"{file.rows:,} rows, {file.bytes:,} bytes" for file in published if file.rows}
        or {f"{file.bytes:,} bytes" for file in published}
    )
    if not known:
        return None  # nobody has stated its size
    return (
        f"{path.name} is not the published file: {num_rows:,} rows, {size:,} bytes; "
        f"published: {' or '.join(known)}"
    )


def require_published(source: RawSource) -> None:
    """Refuse files that are not the published ones, by rows and bytes.

    Raises:
        SourceError: at least one differs.
    """
    found = differences(source)
    if found:
        raise SourceError(
            source.files[0].path.parent,
            found="; ".join(found),
            expected="the published files (--strict)",
            remedy="download them again, or build without --strict",
        )


def checksummed(
    source: RawSource, *, strict: bool = False, progress: Callable[[int], None] | None = None
) -> RawSource:
    """Return the source with the hash of every file.

    Args:
        source: an open source.
        strict: refuse a file whose published hash is another one.
        progress: called with the bytes hashed.

    Raises:
        SourceError: with ``strict``, a file is not byte for byte a published one.
    """
    hashes = {path.name: sha256_of(path, progress) for path in source.paths()}
    for name, digest in hashes.items():
        known = {file.sha256 for file in facts.source_files(name) if file.sha256}
        if strict and known and digest not in known:
            raise SourceError(
                source.files[0].path.parent / name,
                found=f"sha256 {digest}",
                expected=" or ".join(sorted(known)),
                remedy="download it again, or build without --strict",
            )
    return replace(source, sha256=hashes)
