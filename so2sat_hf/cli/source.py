"""What SOURCE of ``so2sat build`` is: HDF5 files, a folder built before, or a dataset on the Hub."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from so2sat_hf.cli.progress import bar, note, unpacking, warn
from so2sat_hf.errors import So2SatError

MAX_DIFFERENCES = 1
"""Files that are told apart; of the others, how many."""

if TYPE_CHECKING:
    from so2sat_hf.convert.built import BuiltSource
    from so2sat_hf.convert.raw import RawSource
    from so2sat_hf.hub.address import Address


def address_of(source: str, revision: str | None) -> "Address | None":
    """Return the dataset on the Hub that is meant; None for a path. What is there is never taken for a name.

    Raises:
        So2SatError: a revision of something that has none, or two of them.
    """
    from dataclasses import replace

    from so2sat_hf.hub.address import parse_address

    address = None if Path(source).exists() else parse_address(source)
    if revision is None:
        return address
    if address is None:
        raise So2SatError(
            "--revision",
            found=f"{source} is no dataset on the Hub",
            expected="OWNER/NAME",
            remedy="leave it out",
        )
    if address.revision is not None:
        raise So2SatError("--revision", found=f"and @{address.revision} in SOURCE", expected="one of them")
    return replace(address, revision=revision)


def open_published(
    address: "Address", splits: tuple[str, ...], raw_options: Mapping[str, bool], **refused: object
) -> "RawSource | BuiltSource":
    """Open a dataset on the Hub, and say what is going to be fetched.

    Args:
        address: of the dataset.
        splits: those that are wanted; empty for all.
        raw_options: option -> whether it was given, of those for HDF5 files.
        refused: option -> its value, of those that need all patches before the first file is written.
    """
    from so2sat_hf.hub.dataset import open_dataset

    _refuse_raw_options(raw_options)
    for name, given in refused.items():
        if given:
            raise So2SatError(
                f"--{name}",
                found="SOURCE is a dataset on the Hub, which is read once, file by file",
                expected="this option with a folder on this machine",
                remedy="leave it out, then `so2sat build OUT OTHER` with it; or fetch the whole repository",
            )
    opened = open_dataset(address, splits, say=note)
    manifest = opened.manifest
    note(
        f"From {opened.shelf.name}: {len(manifest.shards)} files of {', '.join(manifest.splits)},"
        f" {manifest.num_bytes / 1e9:,.2f} GB, one at a time in each process; no companions."
    )
    return opened


def open_folder(
    source: str, splits: tuple[str, ...], raw_options: Mapping[str, bool], work: Path | None
) -> "RawSource | BuiltSource":
    """Open what lies on this machine, and say how HDF5 files differ from the published ones.

    Args:
        source: the folder.
        splits: those that are wanted; empty for all.
        raw_options: option -> whether it was given, of those for HDF5 files.
        work: where archives are unpacked; None for beside them.
    """
    from so2sat_hf.convert.raw import RawSource
    from so2sat_hf.convert.source import open_source

    with unpacking() as unpack_progress:
        opened = open_source(
            Path(source),
            work=work,
            drop_geo=raw_options["drop_geo"],
            allow_rounding=raw_options["allow_rounding"],
            splits=splits,
            progress=unpack_progress,
        )
    if isinstance(opened, RawSource):
        return _checked(opened, strict=raw_options["strict"], checksum=raw_options["checksum"])
    _refuse_raw_options(raw_options)
    return opened


def is_raw(source: "RawSource | BuiltSource") -> bool:
    """Whether it is HDF5 files."""
    from so2sat_hf.convert.raw import RawSource

    return isinstance(source, RawSource)


def has_version_3(source: str) -> bool:
    """Whether folders lie beside the HDF5 files that can only be matched with all of these."""
    from so2sat_hf.convert.cells import VERSION_3_SPLITS

    return any((Path(source) / name).is_dir() for name in VERSION_3_SPLITS)


def _checked(source: "RawSource", *, strict: bool, checksum: bool) -> "RawSource":
    """Say how files differ from the published ones, or refuse them."""
    from so2sat_hf.convert.as_published import checksummed, differences, require_published

    if strict:
        require_published(source)
    found = differences(source)
    for difference in found[:MAX_DIFFERENCES]:
        warn(difference)
    if len(found) > MAX_DIFFERENCES:
        others = len(found) - MAX_DIFFERENCES
        warn(f"nor are {others} others; all are built as they are, and `so2sat info` describes them")
    if not checksum:
        return source
    with bar(sum(path.stat().st_size for path in source.paths()), "B", "hash") as advance:
        return checksummed(source, strict=strict, progress=advance)


def _refuse_raw_options(raw_options: Mapping[str, bool]) -> None:
    """Say which options mean nothing for what was built before."""
    for name, given in raw_options.items():
        if given:
            raise So2SatError(
                f"--{name.replace('_', '-')}",
                found="SOURCE was built before",
                expected="this option with the HDF5 files only",
                remedy="leave it out; --columns chooses what is kept",
            )
