"""What goes beside the data files of a build: ``index``, ``rgb``, ``mini``."""

from collections.abc import Iterator, Mapping
from functools import partial

from so2sat_hf.companions import index
from so2sat_hf.companions.brightness import Scale
from so2sat_hf.companions.mini import plan_mini
from so2sat_hf.companions.rgb import plan_rgb
from so2sat_hf.convert.blueprint import Blueprint, CompanionPlan, PlannedFile, Planner
from so2sat_hf.convert.cells import SPLITS
from so2sat_hf.convert.patches import GEO_COLUMNS, MAX_ROWS_IN_MEMORY, GeoBlock
from so2sat_hf.convert.plan import SUFFIX
from so2sat_hf.errors import So2SatError

NAMES = ("index", "rgb", "mini")
"""Companions in the order in which a README lists them."""


def plan_index(blueprint: Blueprint) -> CompanionPlan:
    """Plan ``index``: one file per split, its rows in the order of the data files."""
    suffix, files = SUFFIX[blueprint.file_format], []
    raster = {split: blueprint.source.raster(split) for split in blueprint.splits}
    with_raster = all(numbers is not None for numbers in raster.values())
    for split in blueprint.splits:
        shards = [shard for shard in blueprint.shards if shard.split == split]
        cells = [
            (cell, [(shard.path, shard.num_rows) for shard in shards if shard.cell == cell])
            for cell in blueprint.groups
            if cell.split == split
        ]
        encoder = index.plan_index(
            cells,
            columns=blueprint.columns,
            layout=blueprint.layout,
            first_number=_first_number(blueprint, split),
            geo=_places(blueprint, split),
            raster=raster[split] if with_raster else None,
        )
        files.append(PlannedFile(f"index/{split}{suffix}", split, blueprint.parts_of(split), encoder))
    features = index.features(blueprint.columns, with_raster=with_raster).to_dict()
    paths = [shard.path for shard in blueprint.shards]
    rows = [shard.num_rows for shard in blueprint.shards]
    return CompanionPlan("index", features, tuple(files), {"shards": paths, "rows": rows})


def _first_number(blueprint: Blueprint, split: str) -> int | None:
    if split not in SPLITS:
        return None
    return index.rows_before(split, blueprint.source.num_rows)


def _places(blueprint: Blueprint, split: str) -> Iterator[GeoBlock]:
    """Yield the positions of a split, if they are wanted."""
    if "city" not in blueprint.columns:
        return
    rows = range(blueprint.source.num_rows[split])
    for block in blueprint.source.blocks(split, rows, columns=GEO_COLUMNS, size=MAX_ROWS_IN_MEMORY):
        if block.geo is not None:
            yield block.geo


def planners(names: tuple[str, ...] = NAMES, *, scale: Scale | None = None) -> tuple[Planner, ...]:
    """Return the planners of some companions.

    Args:
        names: out of :data:`NAMES`.
        scale: how reflectance becomes brightness in ``rgb``; default: as TFDS.

    Raises:
        So2SatError: there is no companion of that name.
    """
    known: Mapping[str, Planner] = {
        "index": plan_index,
        "rgb": partial(plan_rgb, scale=scale),
        "mini": plan_mini,
    }
    for name in names:
        if name not in known:
            raise So2SatError("--companions", found=f"no companion {name!r}", expected=", ".join(NAMES))
    return tuple(known[name] for name in NAMES if name in names)
