"""``so2sat classes``: names, numbers and colours of the 17 classes."""

from pathlib import Path

import click

from so2sat_hf.cli.options import PALETTE, PATH, VALUES
from so2sat_hf.cli.output import print_table, write_file
from so2sat_hf.cli.progress import note


@click.command(short_help="The 17 classes: codes, numbers on maps, groups, colours, styles for QGIS.")
@PALETTE
@click.option(
    "--values",
    default="number",
    show_default=True,
    type=VALUES,
    help="Of styles.",
)
@click.option("--qml", type=PATH, help="Write a style file for QGIS.")
@click.option("--clr", type=PATH, help="Write a colour table, value red green blue.")
def classes(*, palette: str, values: str, qml: Path | None, clr: Path | None) -> None:
    """List the classes, or write style files for maps of them.

    \b
    Example:  so2sat classes
              so2sat classes --palette colour_blind --qml lcz.qml
    """
    from so2sat_hf import facts
    from so2sat_hf.facts.labels import groupings, schemes
    from so2sat_hf.facts.labels import palette as find_palette
    from so2sat_hf.maps.styles import clr_of, qml_of

    colors = find_palette(palette)
    if qml or clr:
        for path, style_of in ((qml, qml_of), (clr, clr_of)):
            if path:
                write_file(path, style_of(values, colors))
                click.echo(path)
        note("Next: in QGIS, properties of the map's layer, symbology, load style")
        return
    known = groupings()
    rows = [
        [
            lcz.code, lcz.name, *(str(schemes()[name][lcz.index]) for name in ("index", "number", "wudapt")),
            *(each.names[each.group_of[lcz.index]] for each in known.values()), colors.colors[lcz.index],
        ]
        for lcz in facts.classes()
    ]  # fmt: skip
    print_table(
        ["code", "name", "label", "number", "wudapt", *known, "colour"], rows, left=(0, 1, 5, 6, 7, 8)
    )
    note("Next: so2sat classes --qml lcz.qml writes a style for maps in QGIS")
