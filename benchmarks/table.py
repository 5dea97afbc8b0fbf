"""Put the figures of ``results/*.json`` into the README, between its ``measured`` marks.

    python benchmarks/table.py [--check]

``--check`` changes nothing and exits with 1 where README and results differ; a test runs it.
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
START, END = "<!-- measured -->\n", "<!-- /measured -->\n"
NAMES = {
    "so2sat parquet, 2 jobs": "`so2sat build`, Parquet, 2 processes",
    "so2sat parquet, 1 job": "`so2sat build`, Parquet, 1 process",
    "so2sat arrow, 2 jobs": "`so2sat build --format arrow`, 2 processes",
    "so2sat arrow, 1 job": "`so2sat build --format arrow`, 1 process",
    "bare ParquetWriter, 2 processes": "the limit: pyarrow's writer on tables in memory, 2 processes",
    "bare ParquetWriter, 1 process": "the same, 1 process",
    "from_generator + to_parquet": "`Dataset.from_generator` + `to_parquet`",
    "TFDS so2sat/all": "TFDS `so2sat/all`",
}


def read(name):
    """Return a results file."""
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def block():
    """Return the lines between the marks."""
    build, full, limits = read("build"), read("full_validation"), read("limits")
    size = max(build["sizes"], key=int)
    entries = build["sizes"][size]
    machine = build["machine"]
    user = entries["from_generator + to_parquet"]["median"]["patches_per_second"]
    lines = [
        f"Building {int(size):,} generated patches with all 18 bands, median of "
        f"{len(entries['so2sat parquet, 1 job']['runs'])} rounds side by side; "
        f"{machine['cores']} cores of an {machine['cpu']}, {build['date']} (`benchmarks/build.py`):",
        "",
        "| | patches/s | × `from_generator` | peak memory of a process |",
        "|---|---|---|---|",
    ]
    for name, shown in NAMES.items():
        if "median" in entries[name]:
            rate = entries[name]["median"]["patches_per_second"]
            memory = entries[name]["worst"]["peak_rss_mb"]
            lines.append(f"| {shown} | {rate:,.0f} | {rate / user:.1f} | {memory:,.0f} MB |")
    lines += [
        "",
        f"* A split of the published size ({full['rows']:,} patches, {full['source_bytes'] / 1e9:.2f} GB) "
        f"builds in {full['build']['seconds']:.0f} s and verifies, every value, in "
        f"{full['verify']['seconds']:.0f} s; {full['bytes_per_patch'] / 1000:.1f} kB a patch instead of 147.6 "
        f"({full['date']}).",
        f"* {limits['rows']:,} rows in one split, beyond the {limits['limit_rows']:,} where one Arrow table of "
        f"`sen2` ends, build with {limits['build']['peak_rss_mb']:.0f} MB a process ({limits['date']}).",
    ]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="exit with 1 where README and results differ")
    arguments = parser.parse_args()
    readme = ROOT / "README.md"
    text = readme.read_text()
    head, rest = text.split(START)
    new = head + START + block() + END + rest.split(END)[1]
    if not arguments.check:
        readme.write_text(new)
    sys.exit(new != text if arguments.check else 0)


if __name__ == "__main__":
    main()
