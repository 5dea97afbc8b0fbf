"""``so2sat export``, ``neighbours`` and ``split``: patches on the ground."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from so2sat_hf.cli.options import PATH
from so2sat_hf.cli.output import print_table, write_file
from so2sat_hf.cli.progress import bar, note
from so2sat_hf.errors import So2SatError

if TYPE_CHECKING:
    import pyarrow as pa

    from so2sat_hf.maps.neighbours import Pair


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
        write_file(json_path, json.dumps(plain, indent=1) + "\n")
        click.echo(json_path)
    if picture:
        write_file(picture, distance_picture(pairs))
        click.echo(picture)
    _tell_pairs(pairs)
    told = ", ".join(f"{city} {count}" for city, count in sorted(extra.items()))
    click.echo(f"patches at the place of another: {sum(extra.values()):,}" + (f" ({told})" if told else ""))
    note(f"Next: so2sat split {data} makes folds that do not overlap; --json FILE keeps every number")


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
    from so2sat_hf.maps.positions import positions_of
    from so2sat_hf.maps.resplit import share_out

    found = share_out(positions_of(data), by=by, folds=folds, buffer=buffer, block=block, seed=seed)
    write_file(output, _as_file(found.table(), output.suffix))
    rows = [[str(each), f"{len(found.train(each)):,}", f"{len(found.test(each)):,}"] for each in range(folds)]
    print_table(["fold", "train", "test"], rows)
    click.echo(output)
    note(f"Next: so2sat train --data SHARDS --split_file {output} --fold 0 --output_dir RUN")


def _as_file(table: "pa.Table", suffix: str) -> bytes:
    """Return a table as CSV if that is what its file is called, else as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import csv

    sink = pa.BufferOutputStream()
    if suffix == ".csv":
        csv.write_csv(table, sink)
    else:
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue().to_pybytes()
