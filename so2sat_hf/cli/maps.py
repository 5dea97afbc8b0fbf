"""``so2sat map``: a scene and a model in, a map of local climate zones out."""

from pathlib import Path

import click

from so2sat_hf.cli.options import PALETTE, PATH, VALUES
from so2sat_hf.cli.output import print_table
from so2sat_hf.cli.progress import bar, note, warn
from so2sat_hf.errors import So2SatError


@click.command("map", short_help="Map a Sentinel-2 scene: 100 m local climate zones as GeoTIFF.")
@click.argument("model")
@click.argument("scenes", nargs=-1, required=True, type=PATH, metavar="SCENE...")
@click.argument("out", type=PATH)
@click.option("--preset", help="What the model eats, where its processor is not one of ours.")
@click.option("--units", help="reflectance, dn (x 10,000), dn-1000 (since 2022); default: as the scene says.")
@click.option("--bands", help="Names of the bands of a raster, in order: B02,B03,...")
@click.option("--level", type=click.Choice(["L1C", "L2A"]), help="Of the scenes, where they do not say it.")
@click.option("--crs", help="UTM zone of the map, EPSG:32632; default: that of the first scene.")
@click.option("--bbox", help="West,south,east,north in degrees; default: the scenes.")
@click.option("--stride", default=100.0, show_default=True, help="Metres along a cell.")
@click.option(
    "--smooth",
    default="none",
    show_default=True,
    type=click.Choice(["none", "majority", "gaussian"]),
    help="Filter of the map.",
)
@click.option("--radius", default=150.0, show_default=True, help="Metres: radius, or deviation of gaussian.")
@click.option("--picture", is_flag=True, help="Write a PNG with a legend, too, to look at: OUT.png.")
@click.option("--probabilities", is_flag=True, help="Write probabilities and entropy, too.")
@click.option(
    "--values",
    default="number",
    show_default=True,
    type=VALUES,
    help="1 to 17, or 1 to 10 and 101 to 107.",
)
@PALETTE
@click.option("--tile", default=64, show_default=True, type=click.IntRange(16), help="Cells along a tile.")
@click.option("--batch-size", default=256, show_default=True, help="Windows at once: 64, 256, 1024...")
@click.option("--jobs", "-j", default=1, show_default=True, type=click.IntRange(1), help="Processes.")
@click.option("--device", help="Default: cuda if there is one, else cpu.")
def map_scene(
    model: str,
    scenes: tuple[Path, ...],
    out: Path,
    *,
    preset: str | None,
    units: str | None,
    bands: str | None,
    level: str | None,
    crs: str | None,
    bbox: str | None,
    stride: float,
    smooth: str,
    radius: float,
    picture: bool,
    probabilities: bool,
    values: str,
    palette: str,
    tile: int,
    batch_size: int,
    jobs: int,
    device: str | None,
) -> None:
    """Predict the window of 320 m around every cell of SCENE, and write OUT.tif with colours and names.

    SCENE is a SAFE folder, or a GeoTIFF, COG or VRT with the bands of the model. Several scenes are averaged
    where they overlap. Interrupted, the same command continues.

    MODEL is a folder or a Hub id; `so2sat train --preset s2` makes one, of Sentinel-2 alone.

    \b
    Example:  so2sat map runs/a S2A_MSIL1C_20170705T101021.SAFE munich.tif --smooth majority --picture
              so2sat map maria/lcz-vit spring.tif autumn.tif lcz.tif --units dn --probabilities
    """
    from so2sat_hf.cli.train import need_torch

    need_torch()
    from so2sat_hf.maps.geotiff import utm_zone
    from so2sat_hf.maps.lcz_map import check_map, make_map
    from so2sat_hf.maps.map_files import MapOptions, check_target
    from so2sat_hf.maps.scene import bounds_of, box_in, open_scene
    from so2sat_hf.maps.tiles import grid_over
    from so2sat_hf.maps.unlike import unlike
    from so2sat_hf.training.classifier import device_of, open_classifier

    options = MapOptions(
        tile, smooth, radius, values, probabilities=probabilities, picture=picture, palette=palette,
        batch_size=batch_size, device=device_of(device),
    )  # fmt: skip
    check_target(out)
    classifier = open_classifier(model, None, preset)
    check_map(classifier.preset, options)
    names = tuple(name.strip() for name in bands.split(",")) if bands else ()
    opened = [open_scene(path, classifier.preset.bands, units=units, names=names) for path in scenes]
    for scene in opened:
        if (scene.level or level) == "L2A":
            warn(
                f"{scene.name} is L2A, corrected for the atmosphere; the dataset is as seen from above (L1C)"
            )
    epsg = _epsg(crs) if crs else utm_zone(opened[0].info)
    bounds = bounds_of(opened, epsg)
    grid = grid_over(epsg, box_in(_box(bbox), epsg, bounds) if bbox else bounds, stride)
    for told in unlike(opened, classifier.preset, grid):
        warn(f"unlike the training data: {told}")
    with bar(grid.rows * grid.columns, "cells", "map") as advance:
        shares = make_map(classifier, opened, grid, out, options, jobs=jobs, progress=advance)
    _tell(shares)
    click.echo(out)
    if picture:
        click.echo(out.with_suffix(".png"))
    note(
        f"Next: open {out} in QGIS, colours and names are in it\n"
        f"      so2sat classes --qml {out.stem}.qml, for a style file"
    )


def _epsg(text: str) -> int:
    number = text.upper().removeprefix("EPSG:")
    if not number.isdigit() or int(number) // 100 not in (326, 327):
        raise So2SatError("--crs", found=text, expected="a UTM zone such as EPSG:32632")
    return int(number)


def _box(text: str) -> tuple[float, float, float, float]:
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError as error:
        raise So2SatError("--bbox", found=text, expected="four numbers: west,south,east,north") from error
    if not (west < east and south < north and -180 <= west <= 180 and -90 <= south <= 90):
        raise So2SatError("--bbox", found=text, expected="west,south,east,north in degrees")
    return west, south, east, north


def _tell(shares: dict[str, float]) -> None:
    from so2sat_hf import facts

    rows = [
        [lcz.code, lcz.name, f"{100 * shares[lcz.code]:.1f}"]
        for lcz in facts.classes()
        if shares[lcz.code] > 0
    ]
    print_table(["LCZ", "", "% of cells"], rows, left=(0, 1))
