"""Give changed input of every kind to whatever reads it; write what came of it to results/fuzz.json.

    python benchmarks/fuzz.py                   # 10,000 inputs and more, about ten minutes
    python benchmarks/fuzz.py --seed 20000      # other inputs
    python benchmarks/fuzz.py --scale 0.1 --only geo_hdf5 --out /tmp/some.json

Per surface: inputs, how many were refused (an error of ours with a useful line), accepted (and then compared
with the true rows, where these can be known), violations (anything else: another exception, a crash, a hang,
too much memory, a wrong row), and seconds. It ends with 1 if there is a violation. Tests: ``tests/fuzz``.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import measure

sys.path.insert(0, str(measure.HERE.parent / "tests" / "support"))

INPUTS = {
    "image_hdf5": 1800, "geo_hdf5": 1500, "gzip": 700, "parquet_shard": 900, "arrow_shard": 900,
    "index": 150, "folds": 700, "membership": 400, "manifest": 800, "statistics": 300, "readme": 50,
    "preset": 500, "geotiff": 1000, "safe": 300, "model": 150, "training_record": 400, "command_line": 350,
}  # fmt: skip
"""Surface -> inputs; fewer of what takes longer."""

SHOWN = 20
"""Violations that are written down."""


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=measure.HERE / "results" / "fuzz.json")
    parser.add_argument("--seed", type=int, default=1000, help="of the first input of each surface")
    parser.add_argument("--scale", type=float, default=1.0, help="how many times as many inputs")
    parser.add_argument("--only", choices=INPUTS, nargs="+", default=list(INPUTS), help="these surfaces")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        os.environ["HF_HOME"] = str(Path(folder) / "hf")
        counts = run(Path(folder), options.seed, options.scale, options.only)
    found = [each for count in counts.values() for each in count.violations]
    totals = {
        name: sum(getattr(count, name) for count in counts.values())
        for name in ("inputs", "refused", "accepted")
    }
    result = {
        "seed": options.seed, **totals, "violations": len(found),
        "surfaces": {name: row(count) for name, count in counts.items()},
        "said": [measure.without_paths(each)[:300] for each in found[:SHOWN]],
    }  # fmt: skip
    measure.write_result(options.out, result)
    print(f"{totals['inputs']:,} inputs, {len(found)} violations: {options.out}")
    sys.exit(bool(found))


def run(base, seed, scale, surfaces):
    """Try surfaces, one after the other."""
    from fuzzing.runner import Worker, fuzz

    counts, worker = {}, Worker(base)
    for name in surfaces:
        last = seed + max(1, round(INPUTS[name] * scale))
        counts[name] = fuzz(worker, name, range(seed, last))
        print(f"{name:16}", row(counts[name]), flush=True)
        for each in counts[name].violations[:SHOWN]:
            print("   ", each[:300], flush=True)
    worker.close()
    return counts


def row(count):
    """Return the counts of a surface as JSON has them."""
    numbers = {name: getattr(count, name) for name in ("inputs", "refused", "accepted")}
    return {**numbers, "violations": len(count.violations), "seconds": round(count.seconds, 1)}


if __name__ == "__main__":
    main()
