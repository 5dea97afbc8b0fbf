"""A split of the published size, built and verified: 24,119 generated patches, 3.56 GB of HDF5, 2 jobs.

Says how long, how lean and how small. With ``--geo FILE`` the published ``validation_geo.h5`` gives the
positions (it has as many rows, of either generation); without it there are none. Pixels and labels are
generated.

    python benchmarks/full_validation.py [--geo FILE] [--work DIR] [--out results/full_validation.json]
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import measure

ROWS = 24_119
"""Rows of the published validation.h5 of versions 1, 2 and 4."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--geo", type=Path, help="published validation_geo.h5")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, help="where scratch data goes; default: where Python puts it")
    parser.add_argument("--out", type=Path, default=measure.HERE / "results" / "full_validation.json")
    arguments = parser.parse_args()
    sys.path.insert(0, str(measure.HERE.parent))
    from so2sat_hf.synthetic import write_raw

    with tempfile.TemporaryDirectory(dir=arguments.work) as temporary:
        raw, built = Path(temporary) / "raw", Path(temporary) / "built"
        write_raw(raw, train=0, validation=ROWS, test=0, geo="none")
        if arguments.geo:
            shutil.copyfile(arguments.geo, raw / "validation_geo.h5")
        measure.settle(raw)
        runs = measure.build_and_verify(raw, built, arguments.jobs)
        measure.settle(built / "data" / "validation")
        script, whole = "peers/so2sat_build.py", Path(temporary) / "whole"
        options = ["--jobs", arguments.jobs, "--companions"]
        runs["build_with_companions"] = measure.run(sys.executable, script, [raw, whole, *options])
        source_bytes = sum(path.stat().st_size for path in raw.iterdir())
    result = {
        "rows": ROWS,
        "jobs": arguments.jobs,
        "published_geo_file": bool(arguments.geo),
        "source_bytes": source_bytes,
        **runs,
    }
    measure.write_result(arguments.out, result)
    print(arguments.out.read_text())
    sys.exit(not runs["completed"])


if __name__ == "__main__":
    main()
