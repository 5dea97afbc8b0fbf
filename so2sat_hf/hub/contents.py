"""What a dataset card tells of: a built folder, or the published dataset as far as facts know it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from so2sat_hf import facts
from so2sat_hf.companions import index, rgb
from so2sat_hf.companions.mini import PER_SPLIT
from so2sat_hf.convert.cells import CULTURE_10, Cell, splits_of
from so2sat_hf.convert.configs import SENSORS, WHAT, Config, configs, patterns, view
from so2sat_hf.convert.manifest import STATISTICS, Manifest
from so2sat_hf.convert.patches import COLUMNS, FILE_OF_SPLIT, SourceRecord
from so2sat_hf.convert.plan import SUFFIX
from so2sat_hf.convert.statistics_file import parse_statistics
from so2sat_hf.convert.table import features

PICTURE = "pictures/classes.png"
"""Where the picture of the classes lies in a built folder that has one."""

PUBLISHED = "4"
"""Version of the files that the published dataset is made from."""

MIRROR = "hub"
"""Where they are taken from."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A dataset, seen from the outside."""

    configs: tuple[Config, ...]
    """Ways to load it, the default first; without sizes where nothing was built."""

    class_counts: Mapping[str, tuple[int, ...]]
    """Split of the default config -> patches of each of the 17 classes."""

    sources: tuple[SourceRecord, ...]
    """Published files it is made from."""

    generation: str | None
    """Of the geolocation, ``"2025"`` or ``"2026"``; None without."""

    with_picture: bool
    """Whether :data:`PICTURE` is there."""

    file_format: str = "parquet"
    """``parquet`` or ``arrow``."""

    sen2_dtype: str = "float32"
    """``float32`` (reflectance) or ``uint16`` (digital numbers)."""

    tags: tuple[str, ...] = ()
    """Names of the cells in file names, e.g. ``r1b0``; empty where version 3 is not known."""

    num_bytes: int | None = None
    """Of all files with rows; None: not built."""

    package_version: str | None = None
    """Of so2sat_hf that built it; None: not built."""

    rounding: Mapping[str, float] = field(default_factory=dict)
    """Column -> largest |stored - published|; empty: every value is exact."""

    left_out: Mapping[str, int] = field(default_factory=dict)
    """``random`` or ``block`` -> patches that this version leaves out."""

    statistics: Mapping[str, Any] = field(default_factory=dict)
    """Content of ``statistics.json``; empty if there is none."""

    @property
    def default(self) -> Config:
        """What ``load_dataset`` takes when no config is named."""
        return self.configs[0]

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the data files."""
        return tuple(self.default.features)

    @property
    def num_rows(self) -> int:
        """Patches, each counted once."""
        return sum(map(sum, self.class_counts.values()))

    @property
    def is_whole(self) -> bool:
        """Whether it has as many patches of each class as published."""
        return dict(self.class_counts) == published_counts()

    def config(self, name: str) -> Config | None:
        """Return the config of that name, or None."""
        return next((config for config in self.configs if config.name == name), None)


def published_counts() -> dict[str, tuple[int, ...]]:
    """Split of culture 10 -> patches of each of the 17 classes in the published files."""
    return {split: facts.class_counts(stem) for split, stem in FILE_OF_SPLIT.items()}


def of_build(manifest: Manifest, texts: Mapping[str, str]) -> Contents:
    """Return what a built folder holds.

    Args:
        manifest: of the folder.
        texts: path -> content of the small files that the manifest lists.
    """
    return Contents(
        configs=tuple(configs(manifest)),
        class_counts={split: record.class_counts for split, record in manifest.splits.items()},
        sources=manifest.sources,
        generation=manifest.geolocation,
        with_picture=PICTURE in manifest.paths,
        file_format=manifest.file_format,
        sen2_dtype=manifest.sen2_dtype,
        tags=_tags(map(Cell.parse, manifest.cells)),
        num_bytes=sum(manifest.tables.values()),
        package_version=manifest.package_version,
        rounding=manifest.rounding,
        left_out=manifest.left_out,
        statistics=parse_statistics(texts[STATISTICS], "the folder") if STATISTICS in texts else {},
    )


def as_published() -> Contents:
    """Return what is known of the published dataset before anybody builds it: all versions, no sizes."""
    cells = [Cell(split, random, block) for split in FILE_OF_SPLIT for random in "01" for block in "01"]
    counts = published_counts()
    return Contents(
        configs=tuple(_published_configs(cells, counts)),
        class_counts=counts,
        sources=tuple(
            SourceRecord(file.path, file.bytes, file.sha256)
            for file in facts.version(PUBLISHED).files
            if MIRROR in file.mirrors and file.bytes
        ),
        generation="2026",
        with_picture=False,
        tags=_tags(cells),
    )


def _tags(cells: Iterator[Cell] | list[Cell]) -> tuple[str, ...]:
    return tuple(sorted({cell.tag for cell in cells} - {""}))


def _published_configs(cells: list[Cell], counts: Mapping[str, tuple[int, ...]]) -> Iterator[Config]:
    """Yield the configs of a full build; rows where they are known."""
    rows = {split: sum(of_class) for split, of_class in counts.items()}
    keys = [cell.key for cell in cells]
    versions = []
    for name, splits in splits_of(cells).items():
        groups = {split: [cell.key for cell in members] for split, members in splits.items()}
        wholes = {split: {cell.split for cell in members} for split, members in splits.items()}
        is_culture = all(len(groups[split]) == 4 * len(wholes[split]) for split in splits)
        versions.append(
            Config(
                name=name,
                what=WHAT[name],
                files={split: patterns(group, keys, SUFFIX["parquet"]) for split, group in groups.items()},
                rows={split: sum(map(rows.__getitem__, wholes[split])) for split in splits}
                if is_culture
                else _rows_of_version_3(name),
                bytes={},
                memory={},
                features=features(COLUMNS),
                is_default=name == CULTURE_10,
            )
        )
    yield from versions
    yield from (view(versions[0], sensor) for sensor, _ in SENSORS)
    few = {split: sum(min(PER_SPLIT[split], count) for count in counts[split]) for split in counts}
    yield _beside("index", "index/{}.parquet", rows, index.features(COLUMNS))
    yield _beside("rgb", "rgb/{}-*.parquet", rows, rgb.features(with_city=True))
    yield _beside("mini", "mini/{}.parquet", few, features(COLUMNS))


def _rows_of_version_3(name: str) -> dict[str, int]:
    """Split -> rows of ``random`` or ``block``, as far as they are known."""
    files = [file for file in facts.version("3").files if file.path.startswith(f"{name}/")]
    return {file.split: file.rows for file in files if file.split and file.rows}


def _beside(name: str, path: str, rows: Mapping[str, int], kinds: Any) -> Config:  # noqa: ANN401
    files = {split: (path.format(split),) for split in rows}
    return Config(name=name, what=WHAT[name], files=files, rows=rows, bytes={}, memory={}, features=kinds)
