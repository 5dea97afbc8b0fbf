"""What a model says of every patch of a split, as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from so2sat_hf.errors import So2SatError
from so2sat_hf.facts import NUM_CLASSES
from so2sat_hf.load.split_rows import RowsOf

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("label", pa.int64()),
        ("prediction", pa.int64()),
        ("probabilities", pa.list_(pa.float32(), NUM_CLASSES)),
    ]
)
"""Of ``predictions.parquet``; label and prediction from 0 to 16, probabilities in that order."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """Rows of a split, and a probability of each class for each of them."""

    rows: RowsOf
    """The patches."""

    probabilities: NDArray[np.float32]
    """(n, 17), each row sums to 1."""

    def __post_init__(self) -> None:
        """Refuse what does not belong together."""
        expected = (len(self.rows.label), NUM_CLASSES)
        if self.probabilities.shape != expected:
            raise So2SatError(
                "probabilities", found=f"shape {self.probabilities.shape}", expected=f"{expected}"
            )

    @property
    def prediction(self) -> NDArray[np.int64]:
        """(n,) the most probable class, 0 to 16."""
        return self.probabilities.argmax(axis=1).astype(np.int64)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """(n,) probability of the predicted class."""
        return self.probabilities.max(axis=1)

    def write(self, path: Path) -> None:
        """Write them as Parquet, one row a patch."""
        values = pa.array(self.probabilities.astype(np.float32).ravel())
        columns: Sequence[pa.Array] = (
            pa.array(self.rows.ids, pa.string()),
            pa.array(self.rows.label),
            pa.array(self.prediction),
            pa.FixedSizeListArray.from_arrays(values, NUM_CLASSES),
        )
        pq.write_table(
            pa.table(list(columns), schema=SCHEMA),
            path.absolute(),
            compression="zstd",
            write_page_checksum=True,
        )
