"""What is known of the patches of a split besides their pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from so2sat_hf.load.ids import Ids
from so2sat_hf.load.place import Place
from so2sat_hf.load.stream import PatchStream


@dataclass(frozen=True, slots=True)
class RowsOf:
    """What is known of them, in stored order."""

    ids: list[str]
    """As in the column ``id``."""

    label: NDArray[np.int64]
    """(n,), 0 to 16."""

    city: list[str] | None
    """Keys; None without geolocation."""

    longitude: NDArray[np.float64] | None
    """(n,) WGS 84 degrees of the centres; None without geolocation."""

    latitude: NDArray[np.float64] | None
    """(n,) WGS 84 degrees of the centres; None without geolocation."""


def rows_of(place: Place, split: str, ids: Ids | None = None) -> RowsOf:
    """Return what is known of the patches of a split, or of some of them; reads no pixels."""
    is_located = "city" in place.manifest.columns
    names = ("id", "label", "city", "longitude", "latitude") if is_located else ("id", "label")
    stream = PatchStream(place, split, columns=names, ids=ids, shuffle=False, batch_size=4096)
    parts: dict[str, list[Any]] = {name: [] for name in names}
    for batch in stream:
        for name in names:
            parts[name].append(np.asarray(batch[name]))
    merged = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return RowsOf(
        [str(text) for text in merged["id"]],
        merged["label"].astype(np.int64),
        [str(text) for text in merged["city"]] if is_located else None,
        merged.get("longitude"),
        merged.get("latitude"),
    )
