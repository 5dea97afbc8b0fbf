"""``so2sat show`` and ``so2sat demo``: see something before reading anything."""

from pathlib import Path

import click

from so2sat_hf.cli.options import PATH, SPLITS
from so2sat_hf.cli.progress import bar, note, unpacking


@click.command(short_help="Draw patches as a contact sheet.")
@click.argument("source", type=PATH)
@click.option(
    "--split",
    type=SPLITS,
    help="Default: the first one that SOURCE has.",
)
@click.option("--label", help="Only this class: code (10, A) or name, or part of it (water, open mid).")
@click.option("--city", help="Only this city: key or name, or part of it (munich, hong kong).")
@click.option(
    "--count", "-n", default=12, show_default=True, type=click.IntRange(1, 400), help="Patches to draw."
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Same seed, same patches."
)
@click.option(
    "--output",
    "-o",
    default="contact_sheet.png",
    show_default=True,
    type=PATH,
    help="PNG to write; replaced if it exists.",
)
def show(
    source: Path,
    *,
    split: str | None,
    label: str | None,
    city: str | None,
    count: int,
    seed: int,
    output: Path,
) -> None:
    """Draw patches of SOURCE on one sheet: optical and radar, with class, city and id.

    SOURCE is the folder with the HDF5 files, a folder that `so2sat build` wrote, or a single HDF5 file.
    Without --label the classes take turns. The stretch is fixed, so patches can be compared.

    \b
    Example:  so2sat show raw
              so2sat show out --label water --city munich --split test
    """
    from so2sat_hf.convert.source import open_source
    from so2sat_hf.pages.choice import Wish, single_file
    from so2sat_hf.pages.contact_sheet import show as write_sheet

    with unpacking() as unpack_progress:
        is_file = source.is_file() and source.suffix != ".gz"
        opened = (
            single_file(source)
            if is_file
            else open_source(source, allow_rounding=True, progress=unpack_progress)
        )
    with bar(count, "patches", "read") as advance:
        ids = write_sheet(
            opened,
            output,
            Wish(split, label, city, count, seed),
            name=source.resolve().name,
            progress=advance,
        )
    click.echo(output)
    place = "; one city: --city munich" if "city" in opened.columns else ""
    note(
        f"Drew {len(ids)}. Others: --seed {seed + 1}; one class: --label water{place}\n"
        "Next: so2sat stats, for numbers; so2sat browse, for all patches of a built folder on a map"
    )


@click.command(short_help="Every step on generated data, offline, in a minute or two.")
@click.argument("directory", type=PATH, default="so2sat-demo")
def demo(directory: Path) -> None:
    """Run every step on generated data in DIRECTORY (default: so2sat-demo).

    \b
    Example:  so2sat demo
    """
    from so2sat_hf.demo import run

    run(directory)
