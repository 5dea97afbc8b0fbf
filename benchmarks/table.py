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
    return "\n".join(
        [
            *speed(read("build")),
            "",
            full_size(read("full_validation")),
            limit(read("limits")),
            matching(read("match")),
            "",
        ]
    )


def speed(results):
    """Return the table of contenders at the largest size."""
    size = max(results["sizes"], key=int)
    entries, machine = results["sizes"][size], results["machine"]
    rounds = len(entries["so2sat parquet, 1 job"]["runs"])
    place = f"{machine['cores']} cores of an {machine['cpu']}, {results['date']}"
    yield f"Building {int(size):,} generated patches with all 18 bands (data files only), side by side in one"
    yield f"run of `benchmarks/build.py`, median of {rounds} rounds; {place}:"
    yield ""
    yield "| | patches/s | times `from_generator` | peak memory of a process |"
    yield "|---|---|---|---|"
    user = entries["from_generator + to_parquet"]["median"]["patches_per_second"]
    for name, shown in NAMES.items():
        if "median" in entries[name]:
            rate = entries[name]["median"]["patches_per_second"]
            memory = entries[name]["worst"]["peak_rss_mb"]
            yield f"| {shown} | {rate:,.0f} | {rate / user:.1f} | {memory:,.0f} MB |"


def full_size(results):
    """Return the sentence on a split of the published size."""
    build, verify = (results[job]["seconds"] for job in ("build", "verify"))
    size = f"{results['rows']:,} patches, {results['source_bytes'] / 1e9:.2f} GB"
    kilobytes = f"{results['bytes_per_patch'] / 1000:.1f} kB a patch instead of 147.6"
    whole = results["build_with_companions"]["seconds"]
    return (
        f"* A split of the published size ({size}) builds in {build:.0f} s and verifies, every value, "
        f"in {verify:.0f} s; {kilobytes}. With `index`, `rgb`, `mini` and card it builds in {whole:.0f} s."
    )


def limit(results):
    """Return the sentence on rows beyond the limit of one Arrow table."""
    memory = results["build"]["peak_rss_mb"]
    return (
        f"* {results['rows']:,} rows in one split, beyond the {results['limit_rows']:,} where one table of "
        f"`sen2` ends, build with {memory:.0f} MB a process."
    )


def matching(results):
    """Return the sentence on matching version 3."""
    hashing, pairing = results["hashing"], results["pairing"]
    rate, memory = hashing["patches_per_second_and_core"], max(hashing["peak_mb"], pairing["peak_mb"])
    return (
        f"* Matching version 3 reads {rate:,} patches/s and core, with {memory} MB; pairing all "
        f"{pairing['rows']:,} rows takes {pairing['seconds']} s, and their table {pairing['table_mb']} MB."
    )


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
