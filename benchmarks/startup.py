"""What does a command line cost before it does anything? Seconds over bare Python.

    python benchmarks/startup.py [--out results/startup.json]

Each command runs in a fresh process, in rounds (A B C, A B C, ...); medians are compared. The budget is
0.15 s over ``python -c pass``.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import measure

BUDGET_SECONDS = 0.15
BARE = "python -c pass"
COMMANDS = {
    BARE: ["-c", "pass"],
    "import so2sat_hf": ["-c", "import so2sat_hf"],
    "so2sat --help": ["-c", "import sys; sys.argv[1:] = ['--help']; from so2sat_hf.cli import cli; cli()"],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--out", type=Path, default=measure.HERE / "results" / "startup.json")
    arguments = parser.parse_args()
    seconds = {name: [] for name in COMMANDS}
    for _ in range(arguments.repeats):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    over = {name: round(median - medians[BARE], 4) for name, median in medians.items() if name != BARE}
    for name, extra in over.items():
        print(f"{name}: {extra:.3f} s over bare Python ({'holds' if extra <= BUDGET_SECONDS else 'MISSED'})")
    measure.write_result(arguments.out, {"budget_seconds": BUDGET_SECONDS, "seconds_over_bare_python": over})


if __name__ == "__main__":
    main()
