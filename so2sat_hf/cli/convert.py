"""``so2sat info``, ``synth``, ``build``, ``verify``: from HDF5 to a verified dataset."""

import sys
from pathlib import Path

import click

from so2sat_hf.cli.progress import bar, bars, note, unpacking, warn
from so2sat_hf.errors import So2SatError

PATH = click.Path(path_type=Path)
JOBS = click.option(
    "--jobs", "-j", type=click.IntRange(min=1), help="Processes at work; default: one per core."
)


@click.command(short_help="What a file or folder is, and whether it is the published one.")
@click.argument("path", type=PATH)
@click.option("--checksum", is_flag=True, help="Hash every file and compare with the published hashes.")
@click.option("--all", "every_row", is_flag=True, help="Ranges over every row instead of a sample.")
def info(path: Path, *, checksum: bool, every_row: bool) -> None:
    """Say what PATH is: an HDF5 file, its geo file, a folder of them, or a built folder.

    \b
    Example:  so2sat info raw/training.h5 --checksum
    """
    from so2sat_hf.convert.inspect import describe

    if not checksum:
        click.echo(describe(path, every_row=every_row))
        return
    files = path.rglob("*.h5*") if path.is_dir() else [path]
    with bar(sum(file.stat().st_size for file in files if file.is_file()), "B", "hash") as advance:
        text = describe(path, checksum=True, every_row=every_row, progress=advance)
    click.echo(text)


@click.command(short_help="Write HDF5 files with generated data and the published layout.")
@click.argument("raw", type=PATH)
@click.option(
    "--train", default=2000, show_default=True, type=click.IntRange(min=0), help="Patches in training.h5."
)
@click.option(
    "--validation",
    default=400,
    show_default=True,
    type=click.IntRange(min=0),
    help="Patches in validation.h5.",
)
@click.option(
    "--test", default=400, show_default=True, type=click.IntRange(min=0), help="Patches in testing.h5."
)
@click.option("--seed", default=0, show_default=True, help="Same seed, same files.")
@click.option(
    "--geo",
    default="2026",
    show_default=True,
    type=click.Choice(["2025", "2026", "none"]),
    help="Generation of the geo files.",
)
def synth(raw: Path, *, train: int, validation: int, test: int, seed: int, geo: str) -> None:
    """Write training.h5, validation.h5, testing.h5 and their geo files into RAW.

    The data is generated: layout, ranges and class balance are the published ones, the places are real,
    the pixels are not. A class signal of known strength is in them, so models can be tried on it.

    \b
    Example:  so2sat synth raw --train 2000
    """
    from so2sat_hf.synthetic import write_raw

    with bars("patches", "generate") as advance:
        write_raw(raw, train=train, validation=validation, test=test, seed=seed, geo=geo, progress=advance)
    note(f"Wrote {train + validation + test:,} generated patches to {raw}.\nNext: so2sat build {raw} OUT")


@click.command(short_help="Convert HDF5 files into a dataset that load_dataset opens.")
@click.argument("source", type=PATH)
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
@click.option("--strict", is_flag=True, help="Refuse files that are not the published ones.")
@click.option(
    "--checksum",
    is_flag=True,
    help="Hash the source files into the manifest; with --strict compare them too.",
)
@click.option("--work", type=PATH, help="Where .h5.gz files are unpacked; default: beside them.")
def build(
    source: Path,
    out: Path,
    *,
    file_format: str,
    columns: str | None,
    sen2_dtype: str,
    rows_per_shard: int | None,
    jobs: int | None,
    drop_geo: bool,
    allow_rounding: bool,
    strict: bool,
    checksum: bool,
    work: Path | None,
) -> None:
    """Convert SOURCE into OUT, checking that every value survives.

    SOURCE is the folder with training.h5, validation.h5, testing.h5 (those that you have, plain or .gz) and
    their geo files, or a folder built before. Interrupted, the same command continues.

    \b
    Example:  so2sat build raw out
              so2sat build out shards --format arrow
    """
    from so2sat_hf.convert.build import BuildOptions
    from so2sat_hf.convert.build import build as run_build
    from so2sat_hf.convert.raw import RawSource, checksummed, differences, require_published
    from so2sat_hf.convert.source import open_source

    names = tuple(name.strip() for name in columns.split(",") if name.strip()) if columns else ()
    options = BuildOptions(file_format, names, sen2_dtype, rows_per_shard)
    with unpacking() as unpack_progress:
        opened = open_source(
            source, work=work, drop_geo=drop_geo, allow_rounding=allow_rounding, progress=unpack_progress
        )
    if not isinstance(opened, RawSource):
        _refuse_raw_options(
            strict=strict, checksum=checksum, allow_rounding=allow_rounding, drop_geo=drop_geo
        )
    else:
        if strict:
            require_published(opened)
        for difference in differences(opened):
            warn(difference)
        if checksum:
            with bar(sum(path.stat().st_size for path in opened.paths()), "B", "hash") as advance:
                opened = checksummed(opened, strict=strict, progress=advance)
    with bar(sum(opened.num_rows.values()), "patches", "build") as advance:
        report = run_build(opened, out, options, jobs=jobs, progress=advance)
    manifest = report.manifest
    splits = ", ".join(f"{name} {split.rows:,}" for name, split in manifest.splits.items())
    continued = f" ({report.reused} files were there already)" if report.reused else ""
    click.echo(f"{out}: {manifest.num_rows:,} patches ({splits})")
    click.echo(f"{len(manifest.shards)} files, {manifest.num_bytes / 1e6:,.1f} MB{continued}")
    for column, error in manifest.rounding.items():
        warn(f"{column} was rounded by up to {error:.3g}; the manifest says so")
    against = f" --against {source}" if isinstance(opened, RawSource) else ""
    note(f"Next: so2sat verify {out}{against}\n      load_dataset({str(out)!r})")


def _refuse_raw_options(**options: bool) -> None:
    """Say which options mean nothing for a folder that was built."""
    for name, given in options.items():
        if given:
            raise So2SatError(
                f"--{name.replace('_', '-')}",
                found="SOURCE is a folder that was built",
                expected="this option with the HDF5 files only",
                remedy="leave it out; --columns chooses what is kept of a built folder",
            )


@click.command(short_help="Check a built folder, down to every published value.")
@click.argument("out", type=PATH)
@click.option("--against", type=PATH, help="Folder with the HDF5 files: compare every value with them.")
@JOBS
@click.option("--work", type=PATH, help="Where .h5.gz files are unpacked; default: beside them.")
def verify(out: Path, *, against: Path | None, jobs: int | None, work: Path | None) -> None:
    """Check hashes and schema of OUT; with --against every value, back to the float64 of the HDF5.

    \b
    Example:  so2sat verify out --against raw
    """
    from so2sat_hf.convert.manifest import Manifest
    from so2sat_hf.convert.raw import open_raw
    from so2sat_hf.convert.verify import verify as run_verify

    manifest = Manifest.read(out)
    raw = None
    if against is not None:
        with unpacking() as unpack_progress:
            drop_geo = "city" not in manifest.columns
            raw = open_raw(against, work=work, drop_geo=drop_geo, progress=unpack_progress)
    with bar(manifest.num_rows, "patches", "verify") as advance:
        result = run_verify(out, raw, jobs=jobs, progress=advance)
    for problem in result.problems:
        click.secho(problem, fg="red")
    if result.problems:
        note(f"{out} is not what it should be. `so2sat build` into another folder makes it anew.")
        sys.exit(1)
    compared = f", {result.num_values:,} values equal the HDF5" if raw else ", hashes and schema are right"
    click.echo(f"{out}: {result.num_rows:,} patches in {result.num_files} files{compared}")
    for column, error in manifest.rounding.items():
        warn(f"{column} was rounded by up to {error:.3g} when it was built")
