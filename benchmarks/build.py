"""How fast and how lean is our build, beside its peers? Patches/s and peak memory of one process.

One run measures every contender on the same generated files (published layout, pixels and geo files, in the
page cache), each in a fresh process, in rounds (A B C, A B C, ...), and takes medians. What each contender
does, and what of it is timed, is said at the top of its file in ``peers/``. Several sizes show whether time
is linear and memory flat.

    python benchmarks/build.py [--tfds-python ENV/bin/python] [--out results/build.json]

Ratios and targets are those of the medians at the largest size, and only mean anything within one run.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from operator import itemgetter
from pathlib import Path

import measure

OURS, BARE, USER, TFDS = "so2sat_build.py", "bare_writers.py", "from_generator.py", "tfds_so2sat.py"

SHARDS = ["--rows-per-shard", "800"]
"""Files and row groups of one size whatever the number of rows, so that memory can be compared."""

CONTENDERS = {  # name -> script, arguments
    "so2sat parquet, 1 job": (OURS, ["--format", "parquet", "--jobs", "1", *SHARDS]),
    "so2sat parquet, 2 jobs": (OURS, ["--format", "parquet", "--jobs", "2", *SHARDS]),
    "so2sat arrow, 1 job": (OURS, ["--format", "arrow", "--jobs", "1", *SHARDS]),
    "so2sat arrow, 2 jobs": (OURS, ["--format", "arrow", "--jobs", "2", *SHARDS]),
    "bare ParquetWriter, 1 process": (BARE, ["--jobs", "1", *SHARDS]),
    "bare ParquetWriter, 2 processes": (BARE, ["--jobs", "2", *SHARDS]),
    "from_generator + to_parquet": (USER, ["--jobs", "1"]),
    "from_generator + to_parquet, num_proc=2": (USER, ["--jobs", "2"]),
    "TFDS so2sat/all": (TFDS, []),
}

SPEED_TARGETS = (  # contender, at least so many times, that one
    ("so2sat parquet, 2 jobs", 4.0, "from_generator + to_parquet"),
    ("so2sat parquet, 2 jobs", 15.0, "TFDS so2sat/all"),
    ("so2sat parquet, 2 jobs", 0.7, "bare ParquetWriter, 2 processes"),
    ("so2sat arrow, 2 jobs", 12.0, "from_generator + to_parquet"),
)

MEMORY_TARGET_MB = 700
NOISY = 1.25
"""If the fastest round of a contender is more than so many times the slowest, its ratios say nothing."""

FLAT = 1.1
"""Memory is flat if the largest size takes at most so many times that of the smallest."""

SHARES = (0.8, 0.1, 0.1)
"""Of train, validation, test."""


def generate(folder, size):
    """Write the raw files of one size, unless they are there."""
    from so2sat_hf.synthetic import write_raw

    if not folder.is_dir():
        validation, test = (int(size * share) for share in SHARES[1:])
        write_raw(folder, train=size - validation - test, validation=validation, test=test)


def measure_size(work, size, repeats, tfds):
    """Run every contender ``repeats`` times on files of one size, interleaved."""
    raw, out = work / f"raw-{size}", work / "out"
    print(f"generating {size:,} patches", file=sys.stderr)
    generate(raw, size)
    runs = {name: [] for name in CONTENDERS}
    missing = measure.is_missing(tfds, "tensorflow_datasets") if tfds else "no --tfds-python given"
    for turn in range(repeats):
        for name, (script, options) in CONTENDERS.items():
            if script == TFDS and missing:
                runs[name] = [{"skipped": missing}]
                continue
            shutil.rmtree(out, ignore_errors=True)
            measure.settle(raw)
            python = tfds if script == TFDS else sys.executable
            run = measure.run(python, f"peers/{script}", [raw, out, *options], own=script != TFDS)
            runs[name].append(run)
            said = run.get("failed") or f"{run['patches_per_second']:,.0f} patches/s"
            print(f"{size:,} round {turn + 1}: {name}: {said}", file=sys.stderr)
    shutil.rmtree(out, ignore_errors=True)
    return {name: summary(found) for name, found in runs.items()}


def summary(runs):
    """Medians over the runs of one contender at one size; memory is the worst."""
    good = [run for run in runs if "patches_per_second" in run]
    if len(good) < len(runs):
        return next(run for run in runs if "patches_per_second" not in run)
    medians = {
        key: round(statistics.median(run[key] for run in good), 3)
        for key in ("patches_per_second", "seconds", "process_seconds", "unsynced_seconds")
        if key in good[0]
    }
    worst = {key: max(run[key] for run in good) for key in ("peak_rss_mb", "peak_private_mb")}
    same = {key: good[0][key] for key in ("rows", "bytes", "files", "versions")}
    varying = [{key: value for key, value in run.items() if key not in same} for run in good]
    return {"median": medians, "worst": worst, **same, "runs": varying}


def judge(sizes):
    """List what was wanted, what was found, and whether it holds (None: not measured, or too noisy)."""
    small, large = sizes[min(sizes, key=int)], sizes[max(sizes, key=int)]
    found = []
    for name, least, other in SPEED_TARGETS:
        wanted = f"{name} : {other} at least {least:g}"
        if "median" not in large[name] or "median" not in large[other]:
            found.append(verdict(wanted, None, holds=False))
            continue
        ratio = rate(large[name]) / rate(large[other])
        best = max(rates(large[name])) / max(rates(large[other]))
        spread = max(max(rates(entry)) / min(rates(entry)) for entry in (large[name], large[other]))
        entry = verdict(wanted, ratio, holds=ratio >= least)
        entry |= {"of_best_rounds": round(best, 3), "spread": round(spread, 3)}
        found.append({**entry, "holds": None} if spread > NOISY else entry)
    for name, (script, _) in CONTENDERS.items():
        if script == OURS:
            known = "worst" in small[name] and "worst" in large[name]
            peak = large[name]["worst"]["peak_rss_mb"] if known else None
            growth = peak / small[name]["worst"]["peak_rss_mb"] if known else None
            wanted = f"{name}: MB in one process under {MEMORY_TARGET_MB}"
            found.append(verdict(wanted, peak, holds=known and peak < MEMORY_TARGET_MB))
            if len(sizes) > 1:
                wanted = f"{name}: memory at the largest : smallest size at most {FLAT}"
                found.append(verdict(wanted, growth, holds=known and growth <= FLAT))
    return found


def verdict(wanted, value, *, holds):
    """One judged target."""
    return {"target": wanted, "found": value and round(value, 3), "holds": None if value is None else holds}


def rate(entry):
    """Median patches/s."""
    return entry["median"]["patches_per_second"]


def rates(entry):
    """Patches/s of every round."""
    return [run["patches_per_second"] for run in entry["runs"]]


def ratios(sizes):
    """Patches/s of every contender relative to every peer, per size."""
    found = {}
    for size, entries in sizes.items():
        known = {name: rate(entry) for name, entry in entries.items() if "median" in entry}
        found[size] = {
            name: {other: round(value / known[other], 3) for other in known if CONTENDERS[other][0] != OURS}
            for name, value in known.items()
            if CONTENDERS[name][0] == OURS
        }
    return found


def linearity(sizes):
    """Fit seconds = start + patches / steady rate to the medians; and how far off is the worst size?"""
    found = {}
    for name in CONTENDERS:
        entries = [entries[name] for entries in sizes.values() if "median" in entries[name]]
        rows, seconds = ([*map(get, entries)] for get in (itemgetter("rows"), seconds_of))
        if len(set(rows)) > 2:
            slope, start = statistics.linear_regression(rows, seconds)
            off = max(abs(start + slope * n - s) / s for n, s in zip(rows, seconds, strict=True))
            found[name] = {
                "start_seconds": round(start, 3),
                "steady_patches_per_second": round(1 / slope, 1),
                "largest_deviation": round(off, 3),
            }
    return found


def seconds_of(entry):
    """Median seconds."""
    return entry["median"]["seconds"]


def show(sizes, targets, lines):
    """Print the table and the verdicts."""
    for size, entries in sizes.items():
        user = entries["from_generator + to_parquet"]
        print(f"\n{int(size):,} patches{'':25}patches/s   (lowest - highest)   x user   MB rss  private")
        for name, entry in entries.items():
            if "median" not in entry:
                reason = entry.get("skipped") or entry.get("failed")
                print(f"  {name:40}{'skipped' if 'skipped' in entry else 'failed'}: {reason}")
                continue
            times = f"{rate(entry) / rate(user):8.2f}" if "median" in user else f"{'':8}"
            worst = entry["worst"]
            spread = f"({min(rates(entry)):8,.0f} - {max(rates(entry)):8,.0f})"
            memory = f"{worst['peak_rss_mb']:8,.0f} {worst['peak_private_mb']:8,.0f}"
            print(f"  {name:40}{rate(entry):9,.0f}  {spread}  {times} {memory}")
    if lines:
        print("\nSeconds = start + patches / rate, fitted to the sizes")
    for name, line in lines.items():
        start, steady, off = line.values()
        print(f"  {name:40}{steady:9,.0f} patches/s after {start:6.2f} s; off by at most {off:.1%}")
    print()
    for entry in targets:
        unknown = "not measured" if entry["found"] is None else "NOISY"
        state = {True: "holds", False: "MISSED", None: unknown}[entry["holds"]]
        best = f" (of the best rounds {entry['of_best_rounds']})" if "of_best_rounds" in entry else ""
        print(f"{state:12} {entry['target']}: {entry['found']}{best}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", default="4000,8000,16000", help="patches in all, comma-separated")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--work", type=Path, help="folder for scratch data, kept; default: a temporary one")
    parser.add_argument("--tfds-python", default=os.environ.get("SO2SAT_TFDS_PYTHON"))
    parser.add_argument("--out", type=Path, help="JSON; default: results/build.json, nothing with --quick")
    parser.add_argument("--quick", action="store_true", help="512 patches, once, no targets: does it run?")
    parser.add_argument(
        "--check",
        action="store_true",
        help="exit code 1 if a target is missed or the run was too noisy to say",
    )
    arguments = parser.parse_args()
    numbers = [512] if arguments.quick else [int(size) for size in arguments.sizes.split(",")]
    repeats = 1 if arguments.quick else arguments.repeats
    out = arguments.out or (None if arguments.quick else measure.HERE / "results" / "build.json")
    sys.path.insert(0, str(measure.HERE.parent))
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        sizes = {str(size): measure_size(work, size, repeats, arguments.tfds_python) for size in numbers}
    targets = [] if arguments.quick else judge(sizes)
    lines = linearity(sizes)
    show(sizes, targets, lines)
    if out:
        result = {"targets": targets, "ratios": ratios(sizes), "linearity": lines, "sizes": sizes}
        measure.write_result(out, result)
    failed = [name for entries in sizes.values() for name, entry in entries.items() if "failed" in entry]
    missed = [entry for entry in targets if entry["found"] is not None and not entry["holds"]]
    sys.exit(1 if failed or (arguments.check and missed) else 0)


if __name__ == "__main__":
    main()
