"""Made patches, and Arrow tables of them."""

from typing import Any

import numpy as np
import pyarrow as pa

from so2sat_hf.convert.patches import GeoBlock, PatchBlock
from so2sat_hf.convert.table import schema, to_table


def block(num_rows: int = 7, seed: int = 0) -> PatchBlock:
    rng = np.random.default_rng(seed)
    places = [rng.random(num_rows) for _ in range(4)]
    return PatchBlock(
        ids=[f"training/{row:06d}" for row in range(num_rows)],
        label=rng.integers(0, 17, num_rows),
        sen1=rng.random((num_rows, 8, 32, 32), np.float32),
        sen2=(rng.integers(0, 28_003, (num_rows, 10, 32, 32)) / 10_000).astype(np.float32),
        geo=GeoBlock(
            [f"city{row % 3}" for row in range(num_rows)], np.arange(num_rows, dtype=np.int32), *places
        ),
    )


def table(num_rows: int = 7, seed: int = 0, *, plain: bool = False, **options: Any) -> pa.Table:
    """Rows with datasets' extension type, or as they are without ``datasets``."""
    made = to_table(block(num_rows, seed), schema(**options))
    if not plain:
        return made
    kinds = [f.type.storage_type if isinstance(f.type, pa.BaseExtensionType) else f.type for f in made.schema]
    chunks = [c.chunk(0).storage if isinstance(c.type, pa.BaseExtensionType) else c.chunk(0) for c in made]
    return pa.Table.from_arrays(chunks, schema=pa.schema(list(zip(made.column_names, kinds, strict=True))))
