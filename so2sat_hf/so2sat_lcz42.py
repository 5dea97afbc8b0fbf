"""``So2SatLCZ42``: local HDF5 files -> ``datasets``, without a Hub and without a built folder.

::

    from so2sat_hf.so2sat_lcz42 import So2SatLCZ42

    builder = So2SatLCZ42(config_name="sen2", data_dir="raw")
    builder.download_and_prepare(num_proc=2)
    train = builder.as_dataset(split="train")
    stream = builder.as_streaming_dataset(split="train")

Same conversion code as ``so2sat build``, hence the same rows. Runs on datasets 2.21 and later.
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
from so2sat_hf.convert.manifest import FORMAT_VERSION
from so2sat_hf.convert.patches import COLUMNS, GEO_COLUMNS, MAX_ROWS_IN_MEMORY
from so2sat_hf.convert.plan import NOMINAL_SHARDS, ROW_GROUP_ROWS
from so2sat_hf.convert.raw import RawSource, open_raw, raw_files
from so2sat_hf.convert.table import features, to_table
from so2sat_hf.errors import SourceError

try:
    from datasets.builder import Key
except ImportError:  # datasets < 4.5 takes any key

    def Key(shard: int, batch: int) -> str:  # noqa: N802
        """Name a table of the split."""
        return f"{shard:05d}-{batch:05d}"


HEAD_BYTES = 1 << 16
"""How much of each file goes into the cache key, beside its size and time."""


@dataclass
class So2SatConfig(datasets.BuilderConfig):  # type: ignore[misc]
    """Which columns, and how strict."""

    without: tuple[str, ...] = ()
    """Columns that this config leaves out."""

    drop_geo: bool = False
    """Leave geolocation out although geo files are there."""

    allow_rounding: bool = False
    """Store the nearest value where none is exact."""

    work: str | None = None
    """Where ``.h5.gz`` files are unpacked; None: beside them."""

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Features | None = None) -> str:
        """Name the cache directory after the content of ``data_dir``, so that new files mean new rows."""
        if self.data_dir is not None:
            config_kwargs = {**config_kwargs, "raw": fingerprint(Path(self.data_dir))}
        return str(super().create_config_id(config_kwargs, custom_features))


def fingerprint(folder: Path) -> str:
    """Hash the format version and the size, time and head of every file of a raw folder."""
    digest = hashlib.sha256(FORMAT_VERSION.encode())
    for path in raw_files(folder):
        stat = path.stat()
        digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}".encode())
        with path.open("rb") as stream:
            digest.update(stream.read(HEAD_BYTES))
    return digest.hexdigest()[:16]


class So2SatLCZ42(datasets.ArrowBasedBuilder):  # type: ignore[misc]
    """Patches of So2Sat LCZ42 from ``data_dir``, the folder with the published HDF5 files."""

    VERSION = datasets.Version(f"{FORMAT_VERSION}.0")
    BUILDER_CONFIG_CLASS = So2SatConfig
    BUILDER_CONFIGS: ClassVar = [
        So2SatConfig(name="culture_10", description="Versions 2 and 4: ten cities held out"),
        So2SatConfig(name="sen1", description="culture_10 without sen2", without=("sen2",)),
        So2SatConfig(name="sen2", description="culture_10 without sen1", without=("sen1",)),
    ]
    DEFAULT_CONFIG_NAME = "culture_10"

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description=str(self.config.description),
            features=features(self._columns()),
            homepage="https://github.com/zhu-xlab/So2Sat-LCZ42",
            license="CC BY 4.0",
            citation=facts.citation(),
        )

    def _folder(self) -> Path:
        if self.config.data_dir is None:
            raise SourceError(
                "data_dir",
                found="not given",
                expected="the folder with training.h5, validation.h5, testing.h5",
                remedy='So2SatLCZ42(data_dir="raw"); `so2sat synth raw` writes one with generated data',
            )
        return Path(self.config.data_dir)

    def _columns(self) -> tuple[str, ...]:
        """Columns of the config; those of the geolocation if geo files are there."""
        with_geo = not self.config.drop_geo and any(
            path.name.partition(".")[0].endswith("_geo") for path in raw_files(self._folder())
        )
        missing = self.config.without if with_geo else (*self.config.without, *GEO_COLUMNS)
        return tuple(name for name in COLUMNS if name not in missing)

    def _split_generators(self, dl_manager: object) -> list[datasets.SplitGenerator]:  # noqa: ARG002
        source = open_raw(
            self._folder(),
            work=Path(self.config.work) if self.config.work else None,
            drop_geo=self.config.drop_geo,
            allow_rounding=self.config.allow_rounding,
        )
        return [
            datasets.SplitGenerator(
                name=split, gen_kwargs={"source": source, "split": split, "pieces": pieces(split, num_rows)}
            )
            for split, num_rows in source.num_rows.items()
        ]

    def _generate_tables(
        self, source: RawSource, split: str, pieces: list[tuple[int, int]]
    ) -> Iterator[tuple[Any, pa.Table]]:
        schema = self.info.features.arrow_schema
        for index, (start, stop) in enumerate(pieces):
            blocks = source.blocks(split, start, stop, columns=tuple(schema.names), size=ROW_GROUP_ROWS)
            for batch, block in enumerate(blocks):
                yield Key(index, batch), to_table(block, schema)


def pieces(split: str, num_rows: int) -> list[tuple[int, int]]:
    """Cut a split into (start, stop) ranges that ``num_proc`` and streaming workers share out.

    As many as the published split has files, or more, so that none holds over 4,096 rows.
    """
    count = max(min(NOMINAL_SHARDS[split], num_rows), -(-num_rows // MAX_ROWS_IN_MEMORY))
    bounds = [index * num_rows // count for index in range(count + 1)]
    return list(itertools.pairwise(bounds))
