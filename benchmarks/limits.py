"""Beyond 2**31: one split of more than 209,715 rows builds, in time as in memory like any other.

Arrow counts list elements in int32. A table that holds the sen2 of 209,716 rows (each 10 x 32 x 32 values)
passes 2**31; the ``hdf5`` loader of ``datasets`` fails there. Here a ``training.h5`` of 212,000 rows is
built and verified, every value, with 2 jobs. The file is sparse: its pixels were never written, so the disk
holds only labels, and every pixel reads as 0, which is a legal value. Rates on zeros say nothing about
speed on data.

    python benchmarks/limits.py [--work DIR] [--out results/limits.json]
"""

import argparse
import sys
import tempfile
from pathlib import Path

import measure

LIMIT = 2**31 // (10 * 32 * 32)
"""Most rows of sen2 whose values int32 can count."""


def write_sparse(path, num_rows):
    """Write an image file with the published layout, whose pixels take no room on the disk."""
    import h5py
    import numpy as np

    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.CONTIGUOUS)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    with h5py.File(path, "w", libver="earliest") as file:
        for key, bands in (("sen1", 8), ("sen2", 10)):
            space = h5py.h5s.create_simple((num_rows, 32, 32, bands))
            h5py.h5d.create(file.id, key.encode(), h5py.h5t.IEEE_F64LE, space, dcpl=layout)
        file.create_dataset("label", data=np.eye(17)[np.arange(num_rows) % 17], dtype="<f8")


def last_id(folder):
    """Read the id of the last row of the last file of train."""
    import pyarrow.parquet as pq

    path = max((folder / "data" / "train").glob("*.parquet"))
    return pq.read_table(path, columns=["id"])["id"][-1].as_py()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=212_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, help="where scratch data goes; default: where Python puts it")
    parser.add_argument("--out", type=Path, default=measure.HERE / "results" / "limits.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as temporary:
        raw, built = Path(temporary) / "raw", Path(temporary) / "built"
        raw.mkdir()
        write_sparse(raw / "training.h5", arguments.rows)
        stat = (raw / "training.h5").stat()
        runs = measure.build_and_verify(raw, built, arguments.jobs)
        last = last_id(built) if runs["completed"] else None
    result = {
        "limit_rows": LIMIT,
        "rows": arguments.rows,
        "jobs": arguments.jobs,
        "source_bytes": stat.st_size,
        "source_bytes_on_disk": stat.st_blocks * 512,
        "last_id": last,
        **runs,
    }
    measure.write_result(arguments.out, result)
    print(arguments.out.read_text())
    sys.exit(not runs["completed"])


if __name__ == "__main__":
    main()
