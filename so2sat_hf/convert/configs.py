"""Every way to load a built folder: which files, columns and rows each config has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from so2sat_hf.convert.cells import CULTURE_10, Cell
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.patches import PATCH_SIZE
from so2sat_hf.convert.plan import SUFFIX
from so2sat_hf.convert.records import Companion
from so2sat_hf.convert.table import NUM_BANDS, features
from so2sat_hf.errors import FolderError


@dataclass(frozen=True, slots=True)
class Config:
    """One way to load the folder: a list of files for every split."""

    name: str
    """As ``load_dataset`` takes it."""

    what: str
    """What it is, in a few words."""

    files: Mapping[str, tuple[str, ...]]
    """Split -> paths; a ``*`` stands for the numbers of a cell's files."""

    rows: Mapping[str, int]
    """Split -> patches; a split is missing here and below where nobody knows it."""

    bytes: Mapping[str, int]
    """Split -> bytes of its files."""

    memory: Mapping[str, int]
    """Split -> bytes of its rows as Arrow tables."""

    features: Any
    """``datasets.Features`` of a row."""

    columns: tuple[str, ...] | None = None
    """Columns to read, where not all of the file."""

    is_default: bool = False
    """Whether ``load_dataset`` takes it when none is named."""

    @property
    def num_bytes(self) -> int:
        """Bytes of all its files: what a download takes, also for a view of some columns."""
        return sum(self.bytes.values())


WHAT = {
    "culture_10": "versions 2 and 4: ten cities held out, half of each for validation and half for test",
    "v1": "version 1: training and validation",
    "culture_10_v3": "version 3 culture-10: validation and test of version 2 together are its test",
    "random": "version 3 random: patches of every city drawn at random for test",
    "block": "version 3 block: parts of every city held out for test",
    "sen1": "culture_10 without Sentinel-2",
    "sen2": "culture_10 without Sentinel-1",
    "rgb": "culture_10 as pictures: B04, B03, B02 as PNG",
    "index": "culture_10 without pixels: places, footprints, means, membership in every split",
    "mini": "60 patches of each class",
}


def configs(manifest: Manifest) -> list[Config]:
    """Every config of a built folder: versions, views of one sensor, companions."""
    found = [_version(manifest, name, splits) for name, splits in manifest.configs.items()]
    if manifest.file_format == "parquet" and {"sen1", "sen2"} <= set(manifest.columns):
        found += [view(found[0], sensor) for sensor, _ in SENSORS]
    return found + [_beside(companion, manifest.layout) for companion in manifest.companions]


SENSORS = (("sen1", "sen2"), ("sen2", "sen1"))
"""Views: a sensor, and the one that is left out. ``columns:`` in the YAML is an option of Parquet readers."""


def _version(manifest: Manifest, name: str, splits: Mapping[str, tuple[str, ...]]) -> Config:
    totals = {split: manifest.total(cells) for split, cells in splits.items()}
    suffix = SUFFIX[manifest.file_format]
    return Config(
        name=name,
        what=WHAT[name],
        files={split: patterns(keys, tuple(manifest.cells), suffix) for split, keys in splits.items()},
        rows={split: record.rows for split, record in totals.items()},
        bytes={
            split: sum(shard.bytes for shard in manifest.shards if shard.cell in keys)
            for split, keys in splits.items()
        },
        memory={split: record.memory for split, record in totals.items()},
        features=features(manifest.columns, sen2_dtype=manifest.sen2_dtype),
        is_default=name == manifest.layout,
    )


def patterns(keys: Sequence[str], every_key: Sequence[str], suffix: str) -> tuple[str, ...]:
    """Return patterns for all files of some cells: one for a folder that is wanted whole, else one a cell.

    Args:
        keys: of the cells, as :attr:`Cell.key` has them.
        every_key: of all cells of the dataset.
        suffix: of the files.

    >>> patterns(["train/r1", "test/r1"], ["train/r1", "train/r0", "test/r1"], ".parquet")
    ('data/train/r1-*.parquet', 'data/test/*.parquet')
    """
    found = []
    cells = [Cell.parse(key) for key in keys]
    for split in dict.fromkeys(cell.split for cell in cells):
        tags = [cell.tag for cell in cells if cell.split == split]
        is_whole = len(tags) == sum(Cell.parse(key).split == split for key in every_key)
        found += [
            f"data/{split}/{'' if is_whole else f'{tag}-'}*{suffix}"
            for tag in tags[: 1 if is_whole else None]
        ]
    return tuple(found)


def view(whole: Config, sensor: str) -> Config:
    """Return a config of the same files that reads all columns but those of the other sensor.

    Its ``memory`` is what is left without that column, to a few bytes a row group.
    """
    other = dict(SENSORS)[sensor]
    kinds = whole.features
    left_out = column_bytes(other, kinds[other].dtype)
    return replace(
        whole,
        name=sensor,
        what=WHAT[sensor].replace(CULTURE_10, whole.name),
        memory={split: size - left_out * whole.rows[split] for split, size in whole.memory.items()},
        features=type(kinds)({name: kind for name, kind in kinds.items() if name != other}),
        columns=tuple(name for name in kinds if name != other),
        is_default=False,
    )


def column_bytes(sensor: str, dtype: str) -> int:
    """Return the bytes of one patch of a sensor as Arrow: the pixels, and an offset for each list of them.

    >>> column_bytes("sen1", "float32"), 8 * 32 * 32 * 4
    (33828, 32768)
    """
    lists = 1 + NUM_BANDS[sensor] * (1 + PATCH_SIZE)
    pixels = NUM_BANDS[sensor] * PATCH_SIZE**2
    return pixels * np.dtype(dtype).itemsize + lists * np.dtype(np.int32).itemsize


def schema_of(companion: Companion) -> bytes:
    """Return the Arrow schema of a companion's files as an IPC message."""
    return bytes(_features_of(companion).arrow_schema.serialize().to_pybytes())


def _features_of(companion: Companion) -> Any:  # noqa: ANN401
    from datasets import Features  # noqa: PLC0415

    try:
        found = Features.from_dict(companion.features)
        found.arrow_schema  # noqa: B018 (raises where a type is wrong)
    except Exception as error:  # whatever datasets makes of it
        raise FolderError(
            "manifest.json",
            found=f"features of {companion.name} that cannot be understood ({error})",
            expected="what `so2sat build` wrote",
            remedy="build the folder again",
        ) from error
    return found


def _beside(companion: Companion, layout: str) -> Config:
    splits = {file.split: [f for f in companion.files if f.split == file.split] for file in companion.files}
    return Config(
        name=companion.name,
        what=WHAT.get(companion.name, "made of the same patches").replace(CULTURE_10, layout),
        files={split: tuple(file.path for file in files) for split, files in splits.items()},
        rows={split: sum(file.rows for file in files) for split, files in splits.items()},
        bytes={split: sum(file.bytes for file in files) for split, files in splits.items()},
        memory={split: sum(file.memory for file in files) for split, files in splits.items()},
        features=_features_of(companion),
    )
