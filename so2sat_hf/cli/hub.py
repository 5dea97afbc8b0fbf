"""``so2sat download``: the published files, from where they are."""

from pathlib import Path

import click

from so2sat_hf.cli.options import PATH, SPLITS, timeout_after
from so2sat_hf.cli.progress import bars, note, warn
from so2sat_hf.errors import So2SatError


@click.command(short_help="Fetch the published HDF5 files, checked and continued after a cut.")
@click.argument("raw", type=PATH, required=False)
@click.option(
    "--version",
    default="4",
    show_default=True,
    type=click.Choice(["1", "2", "3", "4"]),
    help="4 is fetched; of 1 to 3 addresses, sizes, hashes and commands are printed.",
)
@click.option(
    "--from",
    "mirror",
    type=click.Choice(["hub", "mediatum"]),
    help="Hugging Face Hub (gzipped, 18 GB; default) or mediaTUM (plain, 59 GB).",
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    type=SPLITS,
    help="Only the files of this split; may be repeated.",
)
@click.option(
    "--files", multiple=True, metavar="NAME", help="Only this file, e.g. testing_geo; may be repeated."
)
@click.option("--unpack", is_flag=True, help="Unpack the .h5.gz files when all are there.")
@click.option("--work", type=PATH, help="Where they are unpacked; default: beside them.")
@click.option("--checksum", is_flag=True, help="Hash files that are there already, too.")
@click.option("--revision", help="Commit, tag or branch of the Hub; default: the one with known hashes.")
@click.option("--base-url", metavar="URL", help="Another address of the folder of mediaTUM.")
@timeout_after(60.0)
def download(
    raw: Path | None,
    *,
    version: str,
    mirror: str | None,
    splits: tuple[str, ...],
    files: tuple[str, ...],
    unpack: bool,
    work: Path | None,
    checksum: bool,
    revision: str | None,
    base_url: str | None,
    timeout: float,
) -> None:
    """Fetch the published files into RAW: pixels, labels and geolocation of version 4.

    A file gets its name when its hash is right. Interrupted, the same command continues; files that are
    there are not fetched again. Space for all of them is checked first.

    \b
    Example:  so2sat download raw
              so2sat download raw --split validation --unpack
              so2sat download --version 3
    """
    from so2sat_hf import facts
    from so2sat_hf.hub.download import download as run_download
    from so2sat_hf.hub.listing import describe, describe_addresses, readable
    from so2sat_hf.hub.patience import Patience
    from so2sat_hf.hub.pieces import Selection, plan_download, size_of
    from so2sat_hf.hub.transfer import Watch

    given: dict[str, object] = {
        "--from": mirror,
        "--unpack": unpack,
        "--checksum": checksum,
        "--revision": revision,
    }
    given |= {"--work": work, "--base-url": base_url}
    if version != "4":
        _refuse(given, f"version {version} is not fetched, only described")
        chosen = Selection(splits=splits, names=files)
        click.echo(describe_addresses(facts.version(version), raw or Path("raw"), chosen))
        return
    if raw is None:
        raise So2SatError("RAW", found="missing", expected="the folder to fetch version 4 into")
    _refuse({"--work": work and not unpack}, "nothing is unpacked without --unpack")
    if mirror == "mediatum":
        _refuse({"--revision": revision}, "mediaTUM has no revisions")
        _refuse({"--unpack": unpack}, "the files of mediaTUM are plain")
    else:
        _refuse({"--base-url": base_url}, "only mediaTUM has another address; HF_ENDPOINT is that of the Hub")
    wish = Selection(mirror or "hub", splits, files, revision, base_url=base_url, unpack=unpack, work=work)
    plan = plan_download(raw, wish)
    note(describe(plan, raw))
    with bars("B", "fetch") as fetched, bars("B", "hash") as checked, bars("B", "unpack") as unpacked:
        watch = Watch(fetched, checked, unpacked, note)
        found = run_download(plan, raw, checksum=checksum, patience=Patience(silence=timeout), watch=watch)
    click.echo(f"{raw}: {len(found)} files of version 4, {readable(sum(map(size_of, found)))}")
    for file in found:
        if file.generation == 2025:
            known = file.note or "their positions are those of the 2026 files"
            warn(f"{file.path} is of generation 2025: {known}; the Hub has that of 2026")
        if not any((file.sha256, file.sha512, file.md5)):
            warn(f"{file.path}: nobody has stated its hash, so only its size was compared")
    note(f"Next: so2sat build {raw} OUT")


def _refuse(given: dict[str, object], reason: str) -> None:
    """Refuse options that would have no effect."""
    for name, value in given.items():
        if value:
            raise So2SatError(name, found=reason, remedy="leave it out")
