"""``so2sat browse``: every patch on one page."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from so2sat_hf.cli.options import PATH
from so2sat_hf.cli.output import write_file
from so2sat_hf.cli.progress import bar, note
from so2sat_hf.errors import So2SatError

if TYPE_CHECKING:
    from so2sat_hf.load.place import Place


@click.command(short_help="All patches on one page: a map with filters and pictures.")
@click.argument("data", metavar="OUT|INDEX|OWNER/NAME")
@click.option("--output", "-o", default=Path("browse.html"), show_default=True, type=PATH, help="The page.")
@click.option("--pictures", default=2000, show_default=True, type=click.IntRange(0), help="Embedded in it.")
@click.option("--serve", is_flag=True, help="Serve it here, with a picture of every patch, until Ctrl-C.")
@click.option("--port", default=0, help="Of --serve; default: any that is free.")
def browse(data: str, *, output: Path, pictures: int, serve: bool, port: int) -> None:
    """Write a page that shows every patch in its place, by class, city, split and version.

    It needs no server and no network. DATA is a built dataset, or its index (then without pictures).

    \b
    Example:  so2sat browse out
              so2sat browse out --serve
    """
    from so2sat_hf.load.files import open_place
    from so2sat_hf.maps.browse import browse_page, pictures_of, sample
    from so2sat_hf.maps.positions import is_index, positions_of

    positions = positions_of(data)
    name = Path(data).resolve().name if Path(data).exists() else data
    place = None if is_index(Path(data)) else open_place(data)
    if serve:
        _serve(browse_page(positions, name, {}, server=True), place, port)
        return
    shown: dict[str, bytes] = {}
    if place is not None and pictures:
        ids = sample(positions, pictures)
        with bar(len(ids), "patches", "draw") as advance:
            shown = pictures_of(ids, place, advance)
    write_file(output, browse_page(positions, name, shown))
    click.echo(output)
    note(
        f"{len(positions):,} patches, {len(shown):,} pictures. --serve shows all of them.\n"
        f"Next: open {output} in a browser"
    )


def _serve(content: str, place: "Place | None", port: int) -> None:
    import threading

    from so2sat_hf.maps.serve import serving

    if place is None:
        raise So2SatError("--serve", found="an index, which has no pixels", expected="a built dataset")
    with serving(content, place, port) as address:
        click.echo(address)
        note("Ctrl-C ends it.")
        threading.Event().wait()
