"""``so2sat info``, ``synth``, ``verify``: HDF5 files, and a folder that was built from them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from so2sat_hf.cli.options import JOBS, PATH, WORK
from so2sat_hf.cli.progress import bar, bars, note, unpacking, warn
from so2sat_hf.errors import So2SatError

if TYPE_CHECKING:
    from so2sat_hf.convert.manifest import Manifest
    from so2sat_hf.convert.raw import RawSource


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
    from so2sat_hf.convert.manifest import MANIFEST

    files = path.rglob("*.h5*") if checksum and path.is_dir() else [path]
    num_bytes = sum(file.stat().st_size for file in files if file.is_file())
    with bars("arrays", "look at") as looking, bar(num_bytes, "B", "hash") as advance:
        text = describe(path, checksum=checksum, every_row=every_row, progress=advance, looking=looking)
    click.echo(text)
    folder = path if path.is_dir() else path.parent
    next_step = f"verify {folder}" if (folder / MANIFEST).is_file() else f"build {folder} OUT"
    note(f"Next: so2sat show {path}\n      so2sat {next_step}")


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
@click.option("--v3", is_flag=True, help="Version 3 too: folders random, block and culture_10.")
def synth(raw: Path, *, train: int, validation: int, test: int, seed: int, geo: str, v3: bool) -> None:
    """Write training.h5, validation.h5, testing.h5 and their geo files into RAW.

    The data is generated: layout, ranges and class balance are the published ones, the places are real,
    the pixels are not. A class signal of known strength is in them, so models can be tried on it.

    \b
    Example:  so2sat synth raw --train 2000
              so2sat synth raw --v3
    """
    from so2sat_hf.synthetic import write_raw, write_version_3

    if v3 and not (train and validation and test):
        raise So2SatError("--v3", found="a split of 0 patches", expected="some in each of the three files")
    with bars("patches", "generate") as advance:
        write_raw(raw, train=train, validation=validation, test=test, seed=seed, geo=geo, progress=advance)
    if v3:
        with bars("patches", "regroup") as advance:
            write_version_3(raw, seed=seed, progress=advance)
    note(f"Wrote {train + validation + test:,} generated patches to {raw}.\nNext: so2sat build {raw} OUT")


MAX_PROBLEMS = 20
"""Problems that are printed."""


@click.command(short_help="Check a built folder, down to every published value.")
@click.argument("out", type=PATH)
@click.option("--against", type=PATH, help="Folder with the HDF5 files: compare every value with them.")
@JOBS
@WORK
def verify(out: Path, *, against: Path | None, jobs: int | None, work: Path | None) -> None:
    """Check hashes and schema of OUT; with --against every value, back to the float64 of the HDF5.

    \b
    Example:  so2sat verify out --against raw
    """
    from so2sat_hf.convert.manifest import Manifest
    from so2sat_hf.convert.raw import open_raw, splits_of
    from so2sat_hf.convert.verify import verify as run_verify

    manifest = Manifest.read(out)
    raw = None
    if against is not None:
        splits = tuple(split for split in splits_of(against) if split in manifest.splits_of_sources)
        others = [split for split in splits_of(against) if split not in (splits or splits_of(against))]
        if others:
            warn(f"{out} was built without {', '.join(others)}: nothing is compared with them")
        with unpacking() as unpack_progress:
            drop_geo = "city" not in manifest.columns
            raw = open_raw(against, work=work, drop_geo=drop_geo, splits=splits, progress=unpack_progress)
    with bar(manifest.num_rows, "patches", "verify") as advance:
        result = run_verify(out, raw, jobs=jobs, progress=advance)
    for problem in result.problems[:MAX_PROBLEMS]:
        click.secho(problem, fg="red")
    if result.problems:
        if len(result.problems) > MAX_PROBLEMS:
            click.secho(f"and {len(result.problems) - MAX_PROBLEMS:,} more", fg="red")
        note(
            f"{out} is not what it should be. Delete the files named above and run the same "
            "`so2sat build` again: it writes these alone. Or build into another folder."
        )
        sys.exit(1)
    if raw is not None:
        _verify_membership(out, manifest, raw, jobs)
    compared = f", {result.num_values:,} values equal the HDF5" if raw else ", hashes and schema are right"
    click.echo(f"{out}: {result.num_rows:,} patches in {result.num_files} files{compared}")
    for column, error in manifest.rounding.items():
        warn(f"{column} was rounded by up to {error:.3g} when it was built")
    also = "" if raw is not None else f"so2sat verify {out} --against RAW, with the HDF5 files\n      "
    note(f"Next: {also}so2sat push {out} OWNER/NAME --dry-run")


def _verify_membership(out: Path, manifest: "Manifest", raw: "RawSource", jobs: int | None) -> None:
    """Match version 3 again where it lies beside the files; say what could not be checked."""
    from so2sat_hf.assemble import match_versions, version_3_beside
    from so2sat_hf.convert.built import open_built
    from so2sat_hf.convert.membership import cells_of
    from so2sat_hf.convert.raw import open_raw

    built = [name for name in ("random", "block") if name in manifest.configs]
    version_3 = [open_raw(folder, drop_geo=True) for folder in version_3_beside(raw) if folder.name in built]
    missing = [name for name in built if name not in {split.layout for split in version_3}]
    if version_3:
        total = manifest.num_rows * (1 + len(version_3))
        with bar(total, "patches", "match") as advance:
            membership = match_versions(version_3, raw, jobs=jobs, progress=advance)
        cells_of(open_built(out), membership)
        click.echo(f"membership of {', '.join(membership.members)} is that of version 3")
    if missing:
        warn(f"membership of {', '.join(missing)} was not checked: no such folder beside the HDF5 files")
