"""Everything that a published folder holds: the data of every version, companions, card."""

from collections.abc import Callable, Iterable
from pathlib import Path

from so2sat_hf.companions.brightness import Scale, percentiles
from so2sat_hf.companions.match import check_pair, hash_patches, match, merged, without_members
from so2sat_hf.companions.planners import NAMES, planners
from so2sat_hf.convert.build import Extras
from so2sat_hf.convert.cells import CULTURE_10, VERSION_3_SPLITS
from so2sat_hf.convert.membership import Membership, read_membership
from so2sat_hf.convert.patches import FILE_OF_SPLIT, Source
from so2sat_hf.convert.raw import RawSource, open_raw
from so2sat_hf.errors import SourceError
from so2sat_hf.hub import card
from so2sat_hf.hub.contents import PICTURE
from so2sat_hf.pages.classes import class_picture

Progress = Callable[[int], None] | None


def version_3_beside(source: Source) -> list[Path]:
    """Return the folders ``random`` and ``block`` that lie beside the HDF5 files of version 2."""
    if not isinstance(source, RawSource) or source.layout != CULTURE_10:
        return []
    if set(source.num_rows) != set(FILE_OF_SPLIT):
        return []
    folder = source.folder
    return [folder / name for name in VERSION_3_SPLITS if (folder / name).is_dir()]


def match_versions(
    version_3: Iterable[RawSource],
    base: Source,
    *,
    known: Membership | None = None,
    complete: bool = False,
    jobs: int | None = None,
    progress: Progress = None,
) -> Membership:
    """Match splits of version 3 against version 2.

    Args:
        version_3: ``random``, ``block`` or ``culture_10``.
        base: version 2 or 4, HDF5 or built.
        known: what was matched before, against the same base.
        complete: refuse a split that leaves patches out.
        jobs: processes at work, this one among them; default: one per core.
        progress: called with the rows hashed.

    Raises:
        SourceError: a row without partner, a row in train and test at once, or another folder than these.
    """
    version_3 = list(version_3)
    for split in version_3:  # before any pixel is read
        check_pair(split, base)
    if known is not None:
        merged(known, without_members(base))
    keys = hash_patches(base, jobs=jobs, progress=progress)
    for split in version_3:
        known = merged(known, match(split, base, keys, jobs=jobs, progress=progress))
    if known is None:
        raise SourceError("version 3", found="no folder", expected="random, block or culture_10")
    if complete:
        require_complete(known)
    return known


def require_complete(membership: Membership) -> None:
    """Refuse a membership in which a split of version 3 leaves patches out.

    Raises:
        SourceError: at least one does.
    """
    for name, count in membership.left_out().items():
        raise SourceError(
            f"version 3 {name}",
            found=f"{count:,} patches of version 2 are in neither its train nor its test",
            expected="every patch in one of them (--complete)",
            remedy="check that its files are whole, or leave --complete out",
        )


def membership_of(
    source: Source,
    table: Path | None = None,
    *,
    complete: bool = False,
    work: Path | None = None,
    unpacking: Callable[[str, int, int], None] | None = None,
    jobs: int | None = None,
    progress: Progress = None,
) -> Membership | None:
    """Return what is known of version 3: from a table, else from the folders beside the source, else None.

    Args:
        source: version 2 or 4.
        table: what ``so2sat match`` wrote.
        complete: refuse a split that leaves patches out.
        work: where archives are unpacked; default: beside them.
        unpacking: called with (file name, bytes done, bytes in all) meanwhile.
        jobs: processes at work, this one among them; default: one per core.
        progress: called with the rows hashed.
    """
    if table is not None:
        membership = read_membership(table)
        if complete:
            require_complete(membership)
        return membership
    folders = version_3_beside(source)
    if not folders:
        return None
    allow_rounding = bool(getattr(source, "allow_rounding", False))
    version_3 = [
        open_raw(folder, work=work, drop_geo=True, allow_rounding=allow_rounding, progress=unpacking)
        for folder in folders
    ]
    return match_versions(version_3, source, complete=complete, jobs=jobs, progress=progress)


def extras(
    source: Source,
    membership: Membership | None = None,
    *,
    companions: tuple[str, ...] = NAMES,
    stretch: str = "tfds",
    progress: Progress = None,
) -> Extras:
    """Return what a published folder holds on top of the patches.

    Args:
        source: where the patches come from.
        membership: which splits of version 3 they belong to.
        companions: names of the configs beside the data.
        stretch: of the pictures: ``tfds``, or ``percentile``, which reads all pixels once.
        progress: called with the rows read for the stretch.

    Raises:
        So2SatError: there is no companion of that name.
    """
    scale = None
    if stretch == "percentile" and "rgb" in companions and "sen2" in source.columns:
        scale = Scale(stretch, percentiles(source, progress=progress))
    return Extras(membership, planners(companions, scale=scale), {PICTURE: class_picture}, card.page)
