"""Matching version 3: patches/s while hashing, and time and memory of pairing all 400,673 rows.

Usage: python benchmarks/match.py [--rows 16000] [--work DIR]; writes benchmarks/results/match.json.
"""

import argparse
import multiprocessing
import re
import tempfile
import time
from pathlib import Path

import measure
import numpy as np

from so2sat_hf.assemble import match_versions
from so2sat_hf.companions.match import assign
from so2sat_hf.convert.membership import Membership
from so2sat_hf.convert.raw import open_raw
from so2sat_hf.synthetic import write_raw, write_version_3

ALL_ROWS = {"training": 352_366, "validation": 24_119, "testing": 24_188}
RESULTS = measure.HERE / "results" / "match.json"


def peak_mb():
    """Largest memory of this process so far; ru_maxrss would count that of its parent."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1024


def hash_both(raw):
    """Match a split of version 3 against version 2, both generated."""
    source, version_3 = open_raw(raw), open_raw(raw / "random")
    match_versions([version_3], source, jobs=1)  # warm
    start = time.perf_counter()
    match_versions([version_3], source, jobs=1)
    rows = 2 * sum(source.num_rows.values())
    rate = round(rows / (time.perf_counter() - start))
    return {"rows": rows, "patches_per_second_and_core": rate, "peak_mb": round(peak_mb())}


def pair_everything(path):
    """Pair as many keys as are published, and write the table."""
    rng = np.random.default_rng(0)
    total = sum(ALL_ROWS.values())
    base = rng.integers(0, 2**63, (total, 2), np.uint64)
    shuffled = base[rng.permutation(total)]
    start = time.perf_counter()
    codes, rows, problems = assign(base, shuffled[:320_779], shuffled[320_779:])
    seconds = round(time.perf_counter() - start, 2)
    if problems:
        raise SystemExit(f"keys without partner: {problems}")
    label = rng.integers(0, 17, total).astype(np.uint8)
    both = {"random": codes, "block": rng.permutation(codes)}
    Membership(ALL_ROWS, label, both, {"random": rows, "block": rng.permutation(rows)}).write(path)
    size = round(path.stat().st_size / 1e6, 2)
    return {"rows": total, "seconds": seconds, "table_mb": size, "peak_mb": round(peak_mb())}


def alone(function, argument):
    """Call a function in a fresh process, whose memory is then its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, (argument,))


def main():
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=16_000)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as name:
        folder = Path(name)
        raw, tenth = folder / "raw", arguments.rows // 10
        write_raw(raw, train=8 * tenth, validation=tenth, test=tenth, seed=0)
        write_version_3(raw, seed=0)
        hashing = alone(hash_both, raw)
        pairing = alone(pair_everything, folder / "membership.parquet")
    measure.write_result(RESULTS, {"hashing": hashing, "pairing": pairing})
    print(RESULTS.read_text())


if __name__ == "__main__":
    main()
