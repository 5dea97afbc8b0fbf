"""Our build: ``so2sat_build.py RAW OUT --format parquet|arrow --jobs N [--companions] [--verify]``.

Timed: opening the raw folder (with its check of every position), starting the workers, reading, the proof
that every value is stored exactly, statistics, encoding, hashing, fsync, README and manifest. Not timed:
imports of this process (those of the workers are). Imports stand inside ``main`` because workers run the
top level of this file again. With ``--verify`` the job is instead the comparison of every value in OUT with
RAW.
"""

import argparse
from pathlib import Path


def main():
    import datasets  # noqa: F401 (which build imports on demand: not timed, as for the peers)
    from report import report

    from so2sat_hf.assemble import extras
    from so2sat_hf.convert.build import build
    from so2sat_hf.convert.options import BuildOptions
    from so2sat_hf.convert.source import open_source
    from so2sat_hf.convert.verify import verify
    from so2sat_hf.errors import So2SatError

    parser = argparse.ArgumentParser()
    parser.add_argument("raw", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--format", default="parquet", choices=("parquet", "arrow"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--rows-per-shard", type=int)
    parser.add_argument("--sen2-dtype", default="float32")
    parser.add_argument("--companions", action="store_true", help="index, rgb, mini and card as well")
    parser.add_argument("--verify", action="store_true", help="do not build: compare OUT with RAW")
    arguments = parser.parse_args()

    def run_build():
        options = BuildOptions(
            file_format=arguments.format,
            rows_per_shard=arguments.rows_per_shard,
            sen2_dtype=arguments.sen2_dtype,
        )
        source = open_source(arguments.raw)
        more = extras(source) if arguments.companions else None
        manifest = build(source, arguments.out, options, extras=more, jobs=arguments.jobs).manifest
        return {
            "rows": manifest.num_rows,
            "bytes": manifest.num_bytes,
            "files": len(manifest.shards),
            "rows_of_split": {name: split.rows for name, split in manifest.splits.items()},
        }

    def run_verify():
        found = verify(arguments.out, open_source(arguments.raw), jobs=arguments.jobs)
        if found.problems:
            raise So2SatError("verify", found="; ".join(found.problems))
        return {"rows": found.num_rows, "files": found.num_files, "values_compared": found.num_values}

    report(run_verify if arguments.verify else run_build, ("datasets", "h5py", "numpy", "pyarrow"))


if __name__ == "__main__":
    main()
