"""The data of a training or an evaluation: a built dataset, wherever it lies, and its splits."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from so2sat_hf import facts
from so2sat_hf.convert.build import build
from so2sat_hf.convert.manifest import EVERYTHING, MANIFEST
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import is_raw_folder, open_raw
from so2sat_hf.errors import So2SatError
from so2sat_hf.load.files import LocalPlace, open_place
from so2sat_hf.load.folds import read_fold
from so2sat_hf.load.ids import Ids
from so2sat_hf.load.place import Place
from so2sat_hf.load.split_rows import RowsOf, rows_of
from so2sat_hf.load.table import PatchTable


def open_data(data: str) -> Place:
    """Open a dataset: a built folder, ``OWNER/NAME`` on the Hub, or a folder with the published HDF5 files.

    Of HDF5 files Arrow shards with digital numbers are made once, in the cache of ``datasets``; the next call
    finds them there.

    Raises:
        FolderError: neither a built folder nor HDF5 files, or no room for the shards.
        SourceError: HDF5 files that cannot be converted.
        HubError: the Hub refuses, or has no such dataset.
    """
    folder = Path(data)
    if folder.is_dir() and not (folder / MANIFEST).is_file() and is_raw_folder(folder):
        return open_place(_shards_of(folder))
    return open_place(data)


def _shards_of(folder: Path) -> Path:
    from datasets import config  # noqa: PLC0415 (seconds; not needed for built folders)

    source = open_raw(folder)
    fingerprint = json.dumps(source.fingerprint(), sort_keys=True, default=str)
    key = hashlib.sha256(fingerprint.encode()).hexdigest()[:16]
    shards = Path(config.HF_DATASETS_CACHE) / "so2sat_hf" / f"{folder.resolve().name}-{key}"
    if not (shards / MANIFEST).is_file():
        print(f"Converting {folder} once, to {shards}", file=sys.stderr)  # noqa: T201 (minutes)
        shards.parent.mkdir(parents=True, exist_ok=True)
    build(source, shards, BuildOptions(file_format="arrow", sen2_dtype="uint16"))
    return shards


@dataclass(frozen=True, slots=True)
class Splits:
    """The splits of one version in a dataset."""

    place: Place
    """The dataset."""

    version: str
    """``culture_10``, or one of the other groupings of the same patches; or the name of a fold."""

    ids: Mapping[str, Ids] | None = None
    """Split -> ids of its patches, where they come from a table of folds; None: the splits of the version."""

    @property
    def name_of_data(self) -> str:
        """For people: the last part of a folder, or repository and commit."""
        return Path(self.place.name).name if isinstance(self.place, LocalPlace) else self.place.name

    @property
    def known(self) -> tuple[str, ...]:
        """``train``, ``validation``, ``test``: those that there are."""
        return tuple(self.place.manifest.configs[self.version] if self.ids is None else self.ids)

    def name(self, split: str) -> str:
        """Return what a split is called in the dataset: ``train``, ``random/train``; ``all`` with ids.

        Raises:
            So2SatError: there is no such split.
        """
        if split not in self.known:
            raise So2SatError(
                f"split {split!r}", found=f"not in {self.place.name}", expected=" or ".join(self.known)
            )
        if self.ids is not None:
            return EVERYTHING
        return split if self.version == self.place.manifest.layout else f"{self.version}/{split}"

    def title(self, split: str) -> str:
        """Return what a split is called for people."""
        return self.name(split) if self.ids is None else f"{self.version}/{split}"

    def chosen(self, split: str) -> Ids | None:
        """Return the ids of a split, as ``ids=`` takes them; None for all of it."""
        return None if self.ids is None else self.ids[split]

    def rows_of(self, split: str) -> RowsOf:
        """Return what is known of the patches of a split besides their pixels, in stored order."""
        return rows_of(self.place, self.name(split), self.chosen(split))

    def class_counts(self, split: str) -> tuple[int, ...]:
        """Return the patches of each class in a split."""
        if self.ids is not None:
            counts = np.bincount(self.rows_of(split).label, minlength=len(facts.classes()))
            return tuple(int(count) for count in counts)
        cells = self.place.manifest.configs[self.version][split]
        return self.place.manifest.total(cells).class_counts

    def rows(self, split: str) -> int:
        """Return the patches of a split."""
        return sum(self.class_counts(split))

    def table(self, split: str, columns: tuple[str, ...]) -> PatchTable:
        """Return a split, any patch by number."""
        return table(self.place, self.name(split), columns, self.chosen(split))


def splits_of(
    place: Place, version: str | None = None, split_file: str | None = None, fold: int = 0
) -> Splits:
    """Return the splits of a version; default: that of the files.

    Args:
        place: the dataset.
        version: ``culture_10``, ``random``...
        split_file: table with columns fold, split and id, which ``so2sat split`` wrote, instead of a version.
        fold: which of the table.

    Raises:
        So2SatError: the dataset knows no such version, the table no such fold.
    """
    versions = place.manifest.configs
    if split_file is not None:
        found = read_fold(Path(split_file), fold)
        return Splits(place, f"{Path(split_file).stem}-{fold}", found)
    if version is not None and version not in versions:
        raise So2SatError(
            f"version {version!r}", found=f"not in {place.name}", expected=" or ".join(versions)
        )
    return Splits(place, version or place.manifest.layout)


def table(place: Place, split: str, columns: tuple[str, ...], ids: Ids | None = None) -> PatchTable:
    """Return a split, any patch by number: Arrow shards mapped, Parquet through the cache of ``datasets``.

    Of Parquet only the files of the split are taken, and of these only the columns.
    """
    if place.manifest.file_format == "arrow" and isinstance(place, LocalPlace):
        return PatchTable(place.name, split, columns=columns, ids=ids)
    from datasets import load_dataset  # noqa: PLC0415 (seconds; not needed for Arrow shards)

    name = f"{split.replace('/', '_')}_patches"  # not "all", which datasets takes for every split
    files = {name: [place.address(shard.path) for shard in place.shards(split)]}
    loaded = load_dataset("parquet", data_files=files, split=name, columns=[*columns, "id"])
    return PatchTable(loaded, columns=columns, ids=ids)
