"""``So2SatLCZ42``: local HDF5 files -> ``datasets``, without a Hub and without a built folder.

::

    from so2sat_hf.so2sat_lcz42 import So2SatLCZ42

    builder = So2SatLCZ42(config_name="sen2", data_dir="raw")
    builder.download_and_prepare(num_proc=2)
    train = builder.as_dataset(split="train")
    stream = builder.as_streaming_dataset(split="train")

Same conversion code as ``so2sat build``, hence the same rows. Runs on datasets 2.21 and later.

``random`` and ``block`` read the files of version 3, so their ids name these (``random/training/000123``) and
they have no geolocation; a built folder, which knows the patches again, gives them both. So does
``culture_10_v3``, unless the files of version 2 are there.
"""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import datasets
import pyarrow as pa
from datasets import Features

from so2sat_hf import facts
from so2sat_hf.companions import rgb
from so2sat_hf.convert.cells import CULTURE_10, LAYOUTS, splits_of
from so2sat_hf.convert.configs import WHAT
from so2sat_hf.convert.encode import DataEncoder, Encoder
from so2sat_hf.convert.manifest import FORMAT_VERSION
from so2sat_hf.convert.patches import COLUMNS, FILE_OF_SPLIT, GEO_COLUMNS, MAX_ROWS_IN_MEMORY, SPLIT_OF_FILE
from so2sat_hf.convert.plan import NOMINAL_SHARDS, ROW_GROUP_ROWS
from so2sat_hf.convert.raw import RawSource, open_raw, raw_files
from so2sat_hf.convert.table import features
from so2sat_hf.errors import SourceError

try:
    from datasets.builder import Key
except ImportError:  # datasets < 4.5 takes any key

    def Key(shard: int, batch: int) -> str:  # noqa: N802
        """Name a table of the split."""
        return f"{shard:05d}-{batch:05d}"


VERSION = datasets.Version(f"{FORMAT_VERSION}.0")

HEAD_BYTES = 1 << 16
"""How much of each file goes into the cache key, beside its size and time."""

EXPECTED = {
    CULTURE_10: "the folder with training.h5, validation.h5, testing.h5",
    "v1": "a folder with training.h5 and validation.h5",
    "culture_10_v3": "a folder with training.h5, validation.h5, testing.h5, or culture_10 of version 3",
    "random": "the folder random of version 3 with training.h5 and testing.h5, or the one above it",
    "block": "the folder block of version 3 with training.h5 and testing.h5, or the one above it",
}
"""Layout -> what ``data_dir`` must be."""

FOLDERS = {layout: folder for folder, layout in LAYOUTS.items()}
"""Layout -> folder of version 3."""

Piece = tuple[str, int, int]
"""Split of the source, first row, row after the last."""


@dataclass
class So2SatConfig(datasets.BuilderConfig):  # type: ignore[misc]
    """Which version, which columns, and how strict."""

    version: datasets.Version = VERSION
    """Of the rows, not of the published files; part of the cache directory's path."""

    layout: str = CULTURE_10
    """How the patches are grouped: a key of :data:`EXPECTED`."""

    without: tuple[str, ...] = ()
    """Columns that this config leaves out."""

    pictures: bool = False
    """An RGB picture instead of the bands; see :mod:`so2sat_hf.companions.rgb`."""

    drop_geo: bool = False
    """Leave geolocation out although geo files are there."""

    allow_rounding: bool = False
    """Store the nearest value where none is exact."""

    work: str | None = None
    """Where ``.h5.gz`` files are unpacked; None: beside them."""

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Features | None = None) -> str:
        """Name the cache directory after the files that are read, so that new files mean new rows."""
        if self.data_dir is not None:
            files = files_of(Path(self.data_dir), self.layout)
            config_kwargs = {**config_kwargs, "raw": fingerprint(files)}
        return str(super().create_config_id(config_kwargs, custom_features))


def folder_of(data_dir: Path, layout: str) -> Path:
    """Return where the files of a layout lie: in ``data_dir``, or in its folder of version 3."""
    stems = {path.name.partition(".")[0] for path in raw_files(data_dir)}
    if layout == "culture_10_v3" and stems.issuperset(SPLIT_OF_FILE):
        return data_dir
    folder = data_dir / FOLDERS.get(layout, "")
    return folder if raw_files(folder) else data_dir


def files_of(data_dir: Path, layout: str) -> list[Path]:
    """Return the files that a layout is read from."""
    paths = raw_files(folder_of(data_dir, layout))
    stem = FILE_OF_SPLIT["test"]
    return [path for path in paths if layout != "v1" or not path.name.startswith(stem)]


def fingerprint(paths: list[Path]) -> str:
    """Hash the format version and the size, time and head of every file."""
    digest = hashlib.sha256(FORMAT_VERSION.encode())
    for path in paths:
        stat = path.stat()
        digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}".encode())
        with path.open("rb") as stream:
            digest.update(stream.read(HEAD_BYTES))
    return digest.hexdigest()[:16]


class So2SatLCZ42(datasets.ArrowBasedBuilder):  # type: ignore[misc]
    """Patches of So2Sat LCZ42 from ``data_dir``, the folder with the published HDF5 files."""

    BUILDER_CONFIG_CLASS = So2SatConfig
    BUILDER_CONFIGS: ClassVar = [
        *(So2SatConfig(name=layout, description=WHAT[layout], layout=layout) for layout in EXPECTED),
        So2SatConfig(name="sen1", description=WHAT["sen1"], without=("sen2",)),
        So2SatConfig(name="sen2", description=WHAT["sen2"], without=("sen1",)),
        So2SatConfig(name="rgb", description=WHAT["rgb"], pictures=True),
    ]
    DEFAULT_CONFIG_NAME = CULTURE_10

    def _info(self) -> datasets.DatasetInfo:
        columns = self._columns()
        return datasets.DatasetInfo(
            description=str(self.config.description),
            features=rgb.features(with_city="city" in columns) if self.config.pictures else features(columns),
            homepage="https://github.com/zhu-xlab/So2Sat-LCZ42",
            license="CC BY 4.0",
            citation=facts.citation(),
        )

    def _data_dir(self) -> Path:
        layout = self.config.layout
        if layout not in EXPECTED:
            raise SourceError(f"layout {layout!r}", found="unknown", expected="one of " + ", ".join(EXPECTED))
        if self.config.data_dir is None:
            raise SourceError(
                "data_dir",
                found="not given",
                expected=EXPECTED[layout],
                remedy='So2SatLCZ42(data_dir="raw"); `so2sat synth raw --v3` writes one with generated data',
            )
        return Path(self.config.data_dir)

    def _columns(self) -> tuple[str, ...]:
        """Columns of the config; those of the geolocation if geo files are there."""
        with_geo = not self.config.drop_geo and any(
            path.name.partition(".")[0].endswith("_geo")
            for path in files_of(self._data_dir(), self.config.layout)
        )
        missing = self.config.without if with_geo else (*self.config.without, *GEO_COLUMNS)
        return tuple(name for name in COLUMNS if name not in missing)

    def _split_generators(self, dl_manager: object) -> list[datasets.SplitGenerator]:  # noqa: ARG002
        data_dir, layout = self._data_dir(), self.config.layout
        source = open_raw(
            folder_of(data_dir, layout),
            work=Path(self.config.work) if self.config.work else None,
            drop_geo=self.config.drop_geo,
            allow_rounding=self.config.allow_rounding,
        )
        configs = splits_of(source.cells, source.layout)
        if layout not in configs:
            raise SourceError(
                data_dir,
                found=f"{' and '.join(file.stem for file in source.files)}, which make {', '.join(configs)}",
                expected=EXPECTED[layout],
            )
        return [
            datasets.SplitGenerator(
                name=split,
                gen_kwargs={
                    "source": source,
                    "pieces": [
                        piece for cell in cells for piece in pieces(cell.split, source.num_rows[cell.split])
                    ],
                },
            )
            for split, cells in configs[layout].items()
        ]

    def _encoder(self) -> Encoder:
        if self.config.pictures:
            return rgb.encoder(with_city="city" in self.info.features)
        return DataEncoder(self.info.features.arrow_schema.serialize().to_pybytes())

    def _generate_tables(self, source: RawSource, pieces: list[Piece]) -> Iterator[tuple[Any, pa.Table]]:
        encoder = self._encoder()
        for index, (split, start, stop) in enumerate(pieces):
            rows = range(start, stop)
            blocks = source.blocks(split, rows, columns=encoder.columns, size=ROW_GROUP_ROWS)
            for batch, block in enumerate(blocks):
                yield Key(index, batch), encoder.table(block, start + batch * ROW_GROUP_ROWS)


def pieces(split: str, num_rows: int) -> list[Piece]:
    """Cut a split of a source into ranges that ``num_proc`` and streaming workers share out.

    As many as the published split has files, or more, so that none holds over 4,096 rows.
    """
    count = max(min(NOMINAL_SHARDS[split], num_rows), -(-num_rows // MAX_ROWS_IN_MEMORY))
    bounds = [index * num_rows // count for index in range(count + 1)]
    return [(split, start, stop) for start, stop in itertools.pairwise(bounds)]
