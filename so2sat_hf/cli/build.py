"""``so2sat build``, ``match``: from HDF5 to a dataset that holds every version."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from so2sat_hf.cli.options import JOBS, PATH, SPLITS, WORK
from so2sat_hf.cli.progress import bar, counted, note, unpacking, warn
from so2sat_hf.cli.source import address_of, has_version_3, is_raw, open_folder, open_published
from so2sat_hf.errors import So2SatError

if TYPE_CHECKING:
    from so2sat_hf.convert.build import BuildReport
    from so2sat_hf.convert.membership import Membership
    from so2sat_hf.convert.patches import Source


@click.command(short_help="Convert HDF5 files into a dataset that load_dataset opens.")
@click.argument("source")
@click.argument("out", type=PATH)
@click.option(
    "--format",
    "file_format",
    default="parquet",
    show_default=True,
    type=click.Choice(["parquet", "arrow"]),
    help="Parquet for the Hub and for most uses, Arrow for training machines.",
)
@click.option(
    "--columns", help="Comma-separated, e.g. sen2,geo; id and label always come along. Default: all."
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    type=SPLITS,
    help="Only this split, as if SOURCE had no other; may be repeated.",
)
@click.option("--revision", help="Commit, tag or branch of a dataset on the Hub; default: main.")
@click.option(
    "--sen2-dtype",
    default="float32",
    show_default=True,
    type=click.Choice(["float32", "uint16"]),
    help="uint16 stores digital numbers (Arrow only).",
)
@click.option("--rows-per-shard", type=click.IntRange(min=1), help="Rows in a file; default: as published.")
@JOBS
@click.option("--drop-geo", is_flag=True, help="Leave geolocation out although geo files are there.")
@click.option(
    "--allow-rounding",
    is_flag=True,
    help="Store the nearest value where none is exact; the manifest says so.",
)
@click.option(
    "--membership", type=PATH, help="Table that `so2sat match` wrote: random and block of version 3."
)
@click.option("--no-match", is_flag=True, help="Leave folders random and block beside the files alone.")
@click.option(
    "--complete", is_flag=True, help="Refuse a split of version 3 that leaves out patches of version 2."
)
@click.option(
    "--companions",
    help="Comma-separated configs beside the data; empty for none. Default: index,rgb,mini,"
    " but none from the Hub.",
)
@click.option(
    "--rgb",
    "stretch",
    default="tfds",
    show_default=True,
    type=click.Choice(["tfds", "percentile"]),
    help="Brightness of the pictures: as TFDS has it, or between the 2nd and 98th percentile of each band.",
)
@click.option("--strict", is_flag=True, help="Refuse files that are not the published ones.")
@click.option(
    "--checksum",
    is_flag=True,
    help="Hash the source files into the manifest; with --strict compare them too.",
)
@WORK
def build(
    source: str,
    out: Path,
    *,
    file_format: str,
    columns: str | None,
    splits: tuple[str, ...],
    revision: str | None,
    sen2_dtype: str,
    rows_per_shard: int | None,
    jobs: int | None,
    drop_geo: bool,
    allow_rounding: bool,
    membership: Path | None,
    no_match: bool,
    complete: bool,
    companions: str | None,
    stretch: str,
    strict: bool,
    checksum: bool,
    work: Path | None,
) -> None:
    """Convert SOURCE into OUT, checking that every value survives.

    SOURCE is the folder with training.h5, validation.h5, testing.h5 (those that you have, plain or .gz) and
    their geo files, a folder built before, or a dataset on the Hub: OWNER/NAME, fetched file by file at one
    commit, so that the disk holds OUT and one more file for each process. What lies on this machine comes
    first. Folders random and block of version 3 beside the HDF5 files are matched with them, and become
    configs of the same dataset. Interrupted, the same command continues.

    \b
    Example:  so2sat build raw out
              so2sat build out shards --format arrow
              so2sat build zhu-xlab/So2Sat-LCZ42 shards --format arrow --split train
    """
    from so2sat_hf.assemble import extras
    from so2sat_hf.companions.planners import NAMES, planners
    from so2sat_hf.convert.build import build as run_build
    from so2sat_hf.convert.build import draw
    from so2sat_hf.convert.options import BuildOptions
    from so2sat_hf.convert.workspace import changes, check_output

    if no_match and membership:
        raise So2SatError("--no-match", found="together with --membership", expected="one of them")
    options = BuildOptions(file_format, _names(columns), sen2_dtype, rows_per_shard)
    address = address_of(source, revision)
    names = _names(companions) if companions is not None else () if address else NAMES
    planners(names)
    check_output(out)
    raw_options = {"strict": strict, "checksum": checksum, "allow_rounding": allow_rounding}
    raw_options["drop_geo"] = drop_geo
    is_matched = not (no_match or membership) and has_version_3(source)
    opened = (
        open_published(address, splits, raw_options, companions=names, membership=membership)
        if address
        else open_folder(source, () if is_matched else splits, raw_options, work)
    )
    known = None
    if not no_match:
        known = _membership(opened, membership, complete=complete, jobs=jobs, work=work)
    opened = opened.only(splits)
    with bar(sum(opened.num_rows.values()), "patches", "measure") as advance:
        more = extras(opened, known, companions=names, stretch=stretch, progress=advance)
    for change in changes(out, draw(opened, options, known), names):
        warn(change)
    with counted("rows", "build") as advance_to:
        report = run_build(opened, out, options, extras=more, jobs=jobs, progress=advance_to)
    _tell(out, report)
    against = f" --against {source}" if is_raw(opened) else ""
    note(f"Next: so2sat verify {out}{against}\n      load_dataset({str(out)!r})")


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _membership(
    source: "Source", table: Path | None, *, complete: bool, jobs: int | None, work: Path | None
) -> "Membership | None":
    """Read the membership, or match the folders of version 3 that lie beside the source."""
    from so2sat_hf.assemble import membership_of, version_3_beside

    beside = version_3_beside(source)
    folders = [] if table else beside
    if folders:
        note(f"Matching version 3 {' and '.join(folder.name for folder in folders)} with version 2.")
    total = sum(source.num_rows.values()) * (1 + len(folders))
    with unpacking() as unpack_progress, bar(total, "patches", "match") as advance:
        known = membership_of(
            source,
            table,
            complete=complete,
            work=work,
            unpacking=unpack_progress,
            jobs=jobs,
            progress=advance,
        )
    if known is not None:
        _tell_left_out(known)
        for folder in beside:
            if folder.name not in known.members:
                warn(f"{folder} is not used: the table says nothing of {folder.name}")
    return known


def _tell_left_out(membership: "Membership") -> None:
    for name, count in membership.left_out().items():
        warn(f"version 3 {name} leaves out {count:,} patches of version 2; they are in no split of {name}")


def _tell(out: Path, report: "BuildReport") -> None:
    manifest = report.manifest
    splits = ", ".join(f"{name} {split.rows:,}" for name, split in manifest.splits.items())
    continued = f" ({report.reused} files were there already)" if report.reused else ""
    click.echo(f"{out}: {manifest.num_rows:,} patches ({splits})")
    versions = ", ".join(manifest.configs)
    beside = sum(len(companion.files) for companion in manifest.companions)
    size = f"{sum(manifest.tables.values()) / 1e6:,.1f} MB"
    click.echo(f"{len(manifest.shards)} data files and {beside} of companions, {size}{continued}")
    names = ", ".join(companion.name for companion in manifest.companions)
    click.echo(f"versions: {versions}" + (f"; beside them: {names}" if names else ""))
    for column, error in manifest.rounding.items():
        warn(f"{column} was rounded by up to {error:.3g}; the manifest says so")


@click.command(short_help="Find the patches of version 3 among those of version 2.")
@click.argument("folders", nargs=-1, required=True, type=PATH, metavar="V3...")
@click.option("--against", required=True, type=PATH, help="HDF5 files of version 2 or 4, or a built folder.")
@click.option(
    "--output",
    "-o",
    default=Path("membership.parquet"),
    show_default=True,
    type=PATH,
    help="The table; what it already says of other splits stays.",
)
@click.option("--complete", is_flag=True, help="Refuse a split that leaves out patches of version 2.")
@click.option("--allow-rounding", is_flag=True, help="Match the nearest values where none is exact.")
@JOBS
@WORK
def match(
    folders: tuple[Path, ...],
    *,
    against: Path,
    output: Path,
    complete: bool,
    allow_rounding: bool,
    jobs: int | None,
    work: Path | None,
) -> None:
    """Write a table of where each patch is in version 3, for `so2sat build --membership`.

    V3 are folders random, block or culture_10 of version 3, each with training.h5 and testing.h5. Give one at
    a time if you cannot keep them all: the table is extended. culture_10 follows from version 2 and is only
    checked.

    \b
    Example:  so2sat match v3/random --against raw
              so2sat match v3/block --against raw
              so2sat build raw out --membership membership.parquet
    """
    from so2sat_hf.assemble import match_versions
    from so2sat_hf.convert.membership import read_membership
    from so2sat_hf.convert.raw import open_raw
    from so2sat_hf.convert.source import open_source

    if not output.absolute().parent.is_dir():
        raise So2SatError(output, found="no such folder", expected="a folder to write the table into")
    with unpacking() as unpack_progress:
        base = open_source(
            against, work=work, drop_geo=True, allow_rounding=allow_rounding, progress=unpack_progress
        )
        version_3 = [
            open_raw(
                folder, work=work, drop_geo=True, allow_rounding=allow_rounding, progress=unpack_progress
            )
            for folder in folders
        ]
    known = read_membership(output) if output.exists() else None
    with bar(sum(base.num_rows.values()) * (1 + len(folders)), "patches", "match") as advance:
        membership = match_versions(
            version_3, base, known=known, complete=complete, jobs=jobs, progress=advance
        )
    membership.write(output)
    for name, codes in membership.members.items():
        click.echo(f"{name}: train {int((codes == 1).sum()):,}, test {int((codes == 0).sum()):,}")
    if "culture_10_v3" in {source.layout for source in version_3}:
        click.echo("culture_10: train, and validation with test, as in version 2")
    _tell_left_out(membership)
    click.echo(f"{output}: {sum(membership.rows.values()):,} patches, {output.stat().st_size / 1e6:,.2f} MB")
    note(f"Next: so2sat build {against} OUT --membership {output}")
