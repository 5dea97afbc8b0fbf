"""Every kind of input, and how many of it the long lane tries."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from fuzzing import commands, hdf5_files, hostile, scenes_and_models, tables, texts

SURFACES: dict[str, Callable[[Path], Callable[[Random, Path], str | None]]] = {
    "image_hdf5": hdf5_files.images,
    "geo_hdf5": hdf5_files.positions,
    "gzip": hdf5_files.gzipped,
    "parquet_shard": partial(tables.shards, name="out"),
    "arrow_shard": partial(tables.shards, name="shards"),
    "index": tables.index,
    "folds": tables.folds,
    "membership": tables.membership,
    "manifest": texts.manifests,
    "statistics": texts.statistics,
    "readme": texts.readmes,
    "preset": texts.presets,
    "geotiff": scenes_and_models.geotiffs,
    "safe": scenes_and_models.safes,
    "model": scenes_and_models.models,
    "training_record": scenes_and_models.records,
    "command_line": commands.commands,
}
"""Name -> makes the valid files and returns what tries one changed input."""

HOSTILE = {name: partial(hostile.named, name) for name in hostile.BOMBS}
"""The same for single files that are made to do harm."""
