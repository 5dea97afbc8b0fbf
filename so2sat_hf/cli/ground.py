"""``so2sat export``, ``neighbours``, ``split`` and ``classes``: patches on the ground, names of classes."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from so2sat_hf.cli.build import PATH
from so2sat_hf.cli.measure import print_table
from so2sat_hf.cli.progress import bar, note
from so2sat_hf.errors import FolderError, So2SatError

if TYPE_CHECKING:
    from so2sat_hf.load.place import Place
    from so2sat_hf.maps.neighbours import Pair

DATA = "OUT"


@click.command(short_help="Write patches as GeoTIFFs in their places, and a VRT of each city.")
@click.argument("data", metavar="OUT|RAW|OWNER/NAME")
@click.argument("directory", type=PATH)
@click.option("--split", help="Default: all; train, validation, test, or random/test of version 3.")
@click.option("--city", help="Only this city: key or name, or part of it.")
@click.option("--label", help="Only this class: code (10, A) or name, or part of it.")
@click.option("--ids", help="Only these: testing/000004,testing/000009, or a file with a column id.")
@click.option(
    "--sensor", default="both", show_default=True, type=click.Choice(["sen1", "sen2", "both"]), help="Bands."
)
@click.option(
    "--dtype",
    default="float32",
    show_default=True,
    type=click.Choice(["float32", "float64", "uint16"]),
    help="float64: the numbers of the HDF5 files; uint16: digital numbers, with --sensor sen2.",
)
@click.option("--world-file", is_flag=True, help="Write .tfw files, too.")
def export(
    data: str,
    directory: Path,
    *,
    split: str | None,
    city: str | None,
    label: str | None,
    ids: str | None,
    sensor: str,
    dtype: str,
    world_file: bool,
) -> None:
    """Write one GeoTIFF per patch into DIRECTORY/CITY, and DIRECTORY/CITY.vrt of all of them.

    Each lies where its patch does, with names and units of its bands, and id, city and class as tags.

    \b
    Example:  so2sat export out tif --split test --city munich
              so2sat export zhu-xlab/So2Sat-LCZ42 tif --ids testing/000004 --sensor sen2
    """
    from so2sat_hf.maps.chosen import Filters, choose
    from so2sat_hf.maps.export import export as run_export

    chosen = choose(data, Filters(split, city, label, _ids(ids)))
    with bar(len(chosen), "patches", "export") as advance:
        count = run_export(
            chosen, directory, sensor=sensor, dtype=dtype, world_files=world_file, progress=advance
        )
    click.echo(f"{directory}: {count:,} GeoTIFFs")
    note(f"Next: open {directory}/*.vrt in QGIS to see a city at once")


def _ids(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    if text.endswith((".parquet", ".csv")):
        from so2sat_hf.load.ids import read_ids

        return tuple(read_ids(text).to_pylist())
    return tuple(name.strip() for name in text.split(",") if name.strip())


@click.command(short_help="How near the patches of test lie to those of train: overlap, distance.")
@click.argument("data", metavar="INDEX|OUT|OWNER/NAME")
@click.option("--version", "versions", multiple=True, help="culture_10, random, block…; default: all.")
@click.option("--json", "json_path", type=PATH, help="Write every number to this file.")
@click.option("--picture", type=PATH, help="Draw the distances as a PNG.")
def neighbours(data: str, *, versions: tuple[str, ...], json_path: Path | None, picture: Path | None) -> None:
    """Count, for each split, how many of its patches share ground with a patch of another.

    Patches are 320 m wide and lie 100 m apart: a test whose patches overlap those of the training asks for
    what was learnt by heart. DATA is a built dataset, or its index.

    \b
    Example:  so2sat neighbours out
              so2sat neighbours out/index --json neighbours.json --picture neighbours.png
    """
    from so2sat_hf.maps.distance_picture import distance_picture
    from so2sat_hf.maps.neighbours import neighbours as compare
    from so2sat_hf.maps.neighbours import repeated
    from so2sat_hf.maps.positions import positions_of

    positions = positions_of(data)
    unknown = [name for name in versions if name not in positions.splits]
    if unknown:
        raise So2SatError("--version", found=unknown[0], expected=" or ".join(positions.splits))
    pairs = compare(positions, versions)
    twice = repeated(positions)
    extra: dict[str, int] = {}
    for each in twice:
        extra[each.city] = extra.get(each.city, 0) + len(each.ids) - 1
    if json_path:
        plain = {
            "pairs": [pair.to_dict() for pair in pairs],
            "repeated": [
                {"city": each.city, "ids": list(each.ids), "labels": list(each.labels)} for each in twice
            ],
        }
        _write(json_path, (json.dumps(plain, indent=1) + "\n").encode())
    if picture:
        _write(picture, distance_picture(pairs))
    _tell_pairs(pairs)
    told = ", ".join(f"{city} {count}" for city, count in sorted(extra.items()))
    click.echo(f"patches at the place of another: {sum(extra.values()):,}" + (f" ({told})" if told else ""))
    note(f"Next: so2sat split {data} makes folds that do not overlap; --json FILE keeps every number")


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise FolderError(path, found=error.strerror or str(error), expected="a file to write") from error
    click.echo(path)


def _tell_pairs(pairs: "list[Pair]") -> None:
    rows = []
    for pair in pairs:
        told = pair.to_dict()["distance_m"]
        share = 100 * pair.overlapping / pair.patches if pair.patches else 0.0
        towards = "itself" if pair.other == pair.split else pair.other
        near = [f"{told[name]:,.0f}" if name in told else "-" for name in ("min", "median")]
        numbers = [f"{pair.patches:,}", f"{pair.overlapping:,}", f"{share:.1f}"]
        rows.append([pair.version, pair.split, towards, *numbers, *near])
    heads = ["version", "patches of", "beside", "patches", "overlap", "%", "nearest m", "median m"]
    print_table(heads, rows, left=(0, 1, 2))


@click.command(short_help="Honest splits of your own: other cities, or blocks with a gap between them.")
@click.argument("data", metavar="INDEX|OUT|OWNER/NAME")
@click.option(
    "--output", "-o", default=Path("folds.parquet"), show_default=True, type=PATH, help="The table."
)
@click.option(
    "--by",
    default="city",
    show_default=True,
    type=click.Choice(["city", "block", "distance"]),
    help="Whole cities; blocks without the patches at their borders; blocks, less what is too near.",
)
@click.option("--folds", default=5, show_default=True, type=click.IntRange(2), help="How many.")
@click.option(
    "--buffer",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Metres between train and test.",
)
@click.option(
    "--block", default=5000.0, show_default=True, type=click.FloatRange(320), help="Metres along a block."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Same seed, same folds.")
def split(data: str, *, output: Path, by: str, folds: int, buffer: float, block: float, seed: int) -> None:
    """Share the patches out into folds in which no test patch overlaps one of its training.

    The table has a row for each patch of each fold: fold, split (train, test) and id. Each fold tests on its
    own patches and trains on those of the others, less what comes nearer than the buffer.

    \b
    Example:  so2sat split out --by city --folds 10
              so2sat train --data shards --split_file folds.parquet --fold 3 --output_dir runs/fold3
    """
    import pyarrow.parquet as pq

    from so2sat_hf.maps.positions import positions_of
    from so2sat_hf.maps.resplit import share_out

    found = share_out(positions_of(data), by=by, folds=folds, buffer=buffer, block=block, seed=seed)
    table = found.table()
    try:
        if output.suffix == ".csv":
            from pyarrow import csv

            csv.write_csv(table, output)
        else:
            where = output.absolute()  # Arrow takes `a:b` for an address
            pq.write_table(table, where, compression="zstd", write_page_checksum=True)
    except OSError as error:
        raise FolderError(output, found=error.strerror or str(error), expected="a file to write") from error
    rows = [[str(each), f"{len(found.train(each)):,}", f"{len(found.test(each)):,}"] for each in range(folds)]
    print_table(["fold", "train", "test"], rows)
    click.echo(output)
    note(f"Next: so2sat train --data SHARDS --split_file {output} --fold 0 --output_dir RUN")


@click.command(short_help="The 17 classes: codes, numbers on maps, groups, colours, styles for QGIS.")
@click.option(
    "--palette", default="standard", show_default=True, help="Colours: standard, colour_blind, so2sat_demo."
)
@click.option(
    "--values",
    default="number",
    show_default=True,
    type=click.Choice(["number", "wudapt"]),
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
        if qml:
            _write(qml, qml_of(values, colors).encode())
        if clr:
            _write(clr, clr_of(values, colors).encode())
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
    _write(output, browse_page(positions, name, shown).encode())
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
