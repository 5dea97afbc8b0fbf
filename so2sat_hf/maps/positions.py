"""Where the patches of a dataset lie, and in which split of which version they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from so2sat_hf.companions.index import VERSIONS
from so2sat_hf.convert.cells import SPLITS
from so2sat_hf.convert.manifest import MANIFEST
from so2sat_hf.convert.patches import PATCH_SIZE, PIXEL_SIZE
from so2sat_hf.convert.reading import CHECKED
from so2sat_hf.errors import So2SatError, SourceError
from so2sat_hf.load.files import open_place
from so2sat_hf.load.place import Place
from so2sat_hf.load.stream import PatchStream

SIDE = PATCH_SIZE * PIXEL_SIZE
"""Metres along a patch."""

COLUMNS = ("id", "label", "city", "epsg", "x_ul", "y_ul")
NONE = ""
"""Split of a patch that a version leaves out."""


@dataclass(frozen=True, slots=True, eq=False)
class Positions:
    """Patches on the ground."""

    ids: NDArray[np.str_]
    """(n,) as in the column ``id``."""

    label: NDArray[np.int64]
    """(n,) 0 to 16."""

    city: NDArray[np.str_]
    """(n,) keys."""

    epsg: NDArray[np.int64]
    """(n,) UTM zone of the coordinates."""

    corner: NDArray[np.float64]
    """(n, 2) UTM metres of the upper-left corner, eastwards and northwards."""

    splits: Mapping[str, NDArray[np.str_]]
    """Version -> (n,) ``train``, ``validation``, ``test``, or empty."""

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, version: str, split: str) -> NDArray[np.int64]:
        """Return the rows of a split."""
        return np.flatnonzero(self.splits[version] == split)

    def names(self, version: str) -> list[str]:
        """Return the splits that a version has, in the order train, validation, test."""
        present = set(np.unique(self.splits[version]))
        return [split for split in SPLITS if split in present]


def positions_of(data: str) -> Positions:
    """Read the positions of a dataset; no pixels are read.

    Args:
        data: a built folder, OWNER/NAME on the Hub, or one or more files of the config ``index``: a path, or
            a folder with ``train.parquet``, ``validation.parquet``, ``test.parquet``.

    Raises:
        So2SatError: no geolocation, or no such data.
    """
    path = Path(data)
    if is_index(path):
        return _from_tables([path] if path.is_file() else _files(path))
    return _from_place(open_place(data))


def is_index(path: Path) -> bool:
    """Whether a path is a file of an index, or a folder of them."""
    return path.is_file() or (path.is_dir() and not (path / MANIFEST).is_file() and bool(_files(path)))


def _files(folder: Path) -> list[Path]:
    names = (folder / f"{split}.parquet" for split in SPLITS)
    return [path for path in names if path.is_file()]


def _from_tables(paths: Sequence[Path]) -> Positions:
    """Read files of the index."""
    tables = []
    for path in paths:
        try:
            known = pq.read_schema(path).names
            missing = [name for name in COLUMNS if name not in known]
            if missing:
                raise SourceError(
                    path, found=f"no column {missing[0]}", expected="the index of a dataset with geolocation"
                )
            versions = [name for name in VERSIONS if name in known]
            tables.append(pq.read_table(path, columns=[*COLUMNS, *versions], **CHECKED))
        except (pa.ArrowException, OSError) as error:
            raise SourceError(path, found=str(error).splitlines()[0], expected="a Parquet file") from error
    table = pa.concat_tables(tables, promote_options="default")
    splits = {
        name: np.array([value or NONE for value in table[name].to_pylist()], np.str_)
        for name in table.column_names
        if name not in COLUMNS
    }
    return Positions(
        np.array(table["id"].to_pylist(), np.str_),
        table["label"].to_numpy().astype(np.int64),
        np.array(table["city"].to_pylist(), np.str_),
        table["epsg"].to_numpy().astype(np.int64),
        np.column_stack([table["x_ul"].to_numpy(), table["y_ul"].to_numpy()]),
        {name: values for name, values in splits.items() if (values != NONE).any()},
    )


def _from_place(place: Place) -> Positions:
    """Read a built dataset; it needs no index."""
    if "city" not in place.manifest.columns:
        raise So2SatError(
            place.name, found="no geolocation", expected="positions of the patches",
            remedy="build from version 4, with its geo files",
        )  # fmt: skip
    parts: dict[str, list[NDArray[np.generic]]] = {name: [] for name in COLUMNS}
    for split in place.manifest.splits:
        for batch in PatchStream(place, split, columns=COLUMNS, shuffle=False, batch_size=4096):
            for name in COLUMNS:
                parts[name].append(np.asarray(batch[name]))
    merged = {name: np.concatenate(values) for name, values in parts.items()}
    ids = merged["id"].astype(np.str_)
    order = np.argsort(ids)
    splits = {}
    for version, names in place.manifest.configs.items():
        splits[version] = np.full(len(ids), NONE, "<U10")
        for split in names:
            full = split if version == place.manifest.layout else f"{version}/{split}"
            stream = PatchStream(place, full, columns=("id",), shuffle=False, batch_size=4096)
            members = np.concatenate([np.asarray(batch["id"]) for batch in stream]).astype(np.str_)
            splits[version][order[np.searchsorted(ids[order], members)]] = split
    corner = np.column_stack([merged["x_ul"], merged["y_ul"]]).astype(np.float64)
    return Positions(
        ids,
        merged["label"].astype(np.int64),
        merged["city"].astype(np.str_),
        merged["epsg"].astype(np.int64),
        corner,
        splits,
    )
