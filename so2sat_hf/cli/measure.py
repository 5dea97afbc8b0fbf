"""``so2sat stats``: numbers about the pixels of every split."""

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from so2sat_hf.cli.options import JOBS, PATH
from so2sat_hf.cli.output import check_folder_of, print_table, write_file
from so2sat_hf.cli.progress import bar, note, unpacking

if TYPE_CHECKING:
    from so2sat_hf.companions.published import Comparison
    from so2sat_hf.companions.summary import SplitStatistics, Statistics
    from so2sat_hf.convert.cells import Cell

SHOWN_PERCENTILES = (1, 50, 99)


@click.command(short_help="Mean, deviation, range and percentiles of every band and split.")
@click.argument("path", type=PATH)
@click.option(
    "--split",
    "splits",
    multiple=True,
    help="Only this one: random/train, a whole config (random), or train; may be repeated. Default: all.",
)
@click.option("--per-class", is_flag=True, help="Mean and deviation of each class as well.")
@click.option("--json", "json_file", type=PATH, help="Write everything to this file; replaced if it exists.")
@click.option("--check", is_flag=True, help="Compare with the published numbers; exit code 1 if one differs.")
@JOBS
def stats(
    path: Path,
    *,
    splits: tuple[str, ...],
    per_class: bool,
    json_file: Path | None,
    check: bool,
    jobs: int | None,
) -> None:
    """Measure PATH: every band of every split of every version that it holds, in one pass.

    PATH is a folder that `so2sat build` wrote, or the folder with the HDF5 files. Units are those of the
    stored values; the intensities of Sentinel-1 are measured in dB too.

    \b
    Example:  so2sat stats out
              so2sat stats out --split random --json stats.json
              so2sat stats raw --check
    """
    import json
    from dataclasses import asdict

    from so2sat_hf.companions.published import compare
    from so2sat_hf.companions.statistics import choose, measure
    from so2sat_hf.companions.summary import as_json
    from so2sat_hf.convert.source import open_source

    if json_file:
        check_folder_of(json_file)
    with unpacking() as unpack_progress:
        source = open_source(path, drop_geo=True, progress=unpack_progress)
    cells = {cell for members in choose(source, splits).values() for cell in members}
    with bar(sum(source.cells[cell] for cell in cells), "patches", "measure") as advance:
        found = measure(source, splits, jobs=jobs, progress=advance)
    comparisons = compare(found) if check else []
    if json_file:
        published = {"published": [asdict(comparison) for comparison in comparisons]} if check else {}
        text = json.dumps({**as_json(found), **published}, indent=2, allow_nan=False)
        write_file(json_file, text + "\n")
        note(f"Wrote {json_file}")
    if check:
        _show_comparisons(comparisons)
    else:
        _show(found, per_class=per_class)
        note(f"Next: so2sat stats {path} --check, beside the published numbers; --per-class; --json FILE")


def _show(found: "Statistics", *, per_class: bool) -> None:
    """Print a table for each split; versions with the same split share one."""
    names: dict[tuple[Cell, ...], list[str]] = {}
    for (config, split), statistics in found.splits.items():
        names.setdefault(statistics.cells, []).append(f"{config}/{split}")
    shown = {statistics.cells: statistics for statistics in found.splits.values()}
    for cells, statistics in shown.items():
        click.secho(f"\n{', '.join(names[cells])}: {statistics.rows:,} patches", bold=True)
        _show_bands(statistics)
        if per_class:
            _show_classes(statistics)


def _show_bands(split: "SplitStatistics") -> None:
    heads = ["mean", "std", "min", *(f"p{percent}" for percent in SHOWN_PERCENTILES), "max"]
    rows = []
    for name, band in split.bands.items():
        middle = [band.percentiles.get(percent, math.nan) for percent in SHOWN_PERCENTILES]
        numbers = [band.mean, band.std, band.min, *middle, band.max]
        rows.append([name, *(f"{number:.6g}" for number in numbers), band.unit])
    print_table(["band", *heads, "unit"], rows)


def _show_classes(split: "SplitStatistics") -> None:
    from so2sat_hf import facts

    for sensor in facts.SENSORS:
        bands = [name for name in split.bands if facts.band(name.removesuffix("_dB")).sensor == sensor]
        for measure in ("mean", "std") if bands else ():
            click.echo(f"{measure} of each class")
            rows = []
            for lcz, count in zip(facts.classes(), split.class_rows, strict=True):
                numbers = (getattr(split.classes[name][lcz.index], measure) for name in bands)
                if count:
                    rows.append([lcz.code, f"{count:,}", *(f"{number:.5g}" for number in numbers)])
            print_table(["LCZ", "patches", *bands], rows)


def _show_comparisons(comparisons: "list[Comparison]") -> None:
    """Print each number beside the published one; exit with 1 unless all agree."""
    for comparison in comparisons:
        title = f"\n{comparison.name}, {comparison.rows:,} patches, beside published {comparison.key}"
        click.secho(title, bold=True)
        if comparison.obstacle:
            click.secho(f"not compared: {comparison.obstacle}", fg="red")
            continue
        rows = [
            [each.band, each.measure, f"{each.found:.10g}", f"{each.published:.10g}", f"{each.relative:+.1e}"]
            for each in comparison.differences
        ]
        marks = ["differs" if each.is_off else "" for each in comparison.differences]
        print_table(
            ["band", "", "measured", "published", "relative", ""],
            [[*row, mark] for row, mark in zip(rows, marks, strict=True)],
        )
    wrong = [comparison.name for comparison in comparisons if not comparison.is_right]
    if wrong:
        note(f"\nNot as published: {', '.join(wrong)}")
        sys.exit(1)
    note("\nEvery number is the published one.\nNext: so2sat push OUT OWNER/NAME --dry-run")
