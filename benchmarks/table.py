"""Put the figures of ``results/*.json`` into the README, between its marks.

    python benchmarks/table.py [--check]

``--check`` changes nothing and exits with 1 where README and results differ; a test runs it.
"""

import argparse
import sys

from measure import HERE, read
from trust import trust

PATCHES = 400_673
"""Of all splits of version 4."""

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

LOADING = {  # case of load.json -> what the README calls it
    "shuffled, Parquet: PatchStream": "shuffled from Parquet: `PatchStream`",
    "shuffled, Parquet: PatchStream, 2 workers": "the same behind a DataLoader with 2 workers",
    "limit: pyarrow decodes Parquet, 2 threads": "the limit: pyarrow decodes it, 2 threads",
    "shuffled, Parquet: datasets .shuffle, torch": "`datasets` stream, `.shuffle(512)`, torch format",
    "shuffled, Parquet: datasets .shuffle, arrow by hand": "the same, Arrow batches taken apart by hand",
    "shuffled, local copy: PatchStream, Arrow": "shuffled from a local copy: `PatchStream`, Arrow shards",
    "shuffled, local copy: litdata": "litdata 0.2",
    "shuffled, local copy: mosaicml-streaming": "mosaicml-streaming 0.13",
    "random: PatchTable, Arrow": "by number, random order: `PatchTable`, Arrow shards",
    "random: PatchTable, Arrow, DataLoader": "the same behind a stock DataLoader",
    "random: PatchTable, cache of datasets": "`PatchTable`, cache of `datasets`",
    "random: Resident, CPU": "`Resident`, on the CPU",
    "random: litdata": "litdata 0.2, `data[i]`",
    "random: mosaicml-streaming": "mosaicml-streaming 0.13, `data[i]`",
    "random: h5py, one handle": "h5py, one handle, HDF5 of the publisher",
    "random: datasets map, torch": "`datasets` map style, torch format, DataLoader",
    "random: torchgeo So2Sat": "torchgeo `So2Sat`, DataLoader",
    "S2 only: PatchStream, Parquet": "Sentinel-2 alone, shuffled: `PatchStream`, Parquet",
    "S2 only: PatchTable, Arrow": "`PatchTable`, Arrow shards",
    "S2 only: torchgeo So2Sat": "torchgeo `So2Sat`, DataLoader",
    "RGB only: PatchStream, Parquet": "B04 B03 B02 alone, shuffled: `PatchStream`, Parquet",
    "RGB only: PatchTable, Arrow": "`PatchTable`, Arrow shards",
    "RGB only: torchgeo So2Sat": "torchgeo `So2Sat`, DataLoader",
    "local Hub over HTTP: PatchStream, shuffled": "from a Hub on the same machine: `PatchStream`, shuffled",
    "local Hub over HTTP: datasets .shuffle, torch": "`datasets` stream, `.shuffle(512)`, torch format",
}


COLLATED = {  # case of gpu-cpu.json -> what the README calls it
    "s2, float32": "Sentinel-2, reflectance",
    "s2, uint16": "Sentinel-2, digital numbers",
    "rgb, float32": "B04 B03 B02 of ten bands",
    "all, float32": "both sensors, stacked",
}


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


def loading():
    """Return the lines between the marks of the section on loading."""
    results = read("load")
    return "\n".join([*loading_table(results), "", *loading_costs(results), *mixing(read("window")), ""])


def loading_table(results):
    """Return the table of ways to load, beside their peers."""
    machine, versions = results["machine"], results["versions"]
    cases = {f"{case['section']}: {case['name']}": case for case in results["cases"]}
    batch, rows, rounds = results["batch"], results["rows"], results["rounds"]
    yield f"Batches of {batch} out of {rows:,} generated patches, each in memory of its own, 18 bands unless"
    yield "fewer are named, one process, page cache warm; one run of `benchmarks/load.py`, median of"
    yield f"{rounds} rounds, {machine['cores']} cores of an {machine['cpu']}, {results['date']}; datasets"
    yield f"{versions['datasets']}, torch {versions['torch']}:"
    yield ""
    yield "| | patches/s | first of its group : this | peak memory of a process |"
    yield "|---|---|---|---|"
    first = {}
    for case in results["cases"]:
        if case["ours"] and "rounds" in case:
            first.setdefault(case["section"], case["patches_per_second"])
    for key, shown in LOADING.items():
        case = cases.get(key, {})
        if "rounds" in case:
            rate = case["patches_per_second"]
            ours = case["ours"] or case["section"] not in first
            times = "" if ours else f"{first[case['section']] / rate:.1f}"
            yield f"| {shown} | {rate:,.0f} | {times} | {case['peak_rss_mb']:,.0f} MB |"


def loading_costs(results):
    """Return the sentences on disk and memory."""
    kilobytes = {name: size / 1000 for name, size in results["disk"].items()}
    sizes = "; ".join(
        f"{name} {size:.1f} kB ({size * PATCHES / 1e6:.0f} GB)" for name, size in kilobytes.items()
    )
    yield f"* A patch on disk, and all {PATCHES:,}: {sizes}. Real patches compress a little differently."
    for name, entry in results["memory"].items():
        above = max(entry["above_mb"])
        yield (
            f"* A shuffled stream from {name}, window of {entry['window_mb']:.0f} MB: at most {above:.0f} MB "
            f"above its start, over {len(entry['above_mb'])} epochs."
        )


def mixing(results):
    """Return the sentence on what a window does to the order."""
    together = ", ".join(
        f"{found['window']}: {found['neighbours_together']:,.0f}" for found in results["windows"]
    )
    yield (
        f"* How often neighbours of the file come in one batch of {results['batch']}, as a multiple of what "
        f"a shuffle of all {results['rows']:,} gives, by row groups in the window: {together} "
        "(`benchmarks/window.py`)."
    )


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


def feeding():
    """Return the lines between the marks of the section on feeding a model."""
    results = read("gpu-cpu")
    machine, cases = results["machine"], {case["case"]: case for case in results["collator"]}
    place = f"one core of an {machine['cpu']}, {results['date']}"
    lines = [
        f"Batches of 256, one run of `benchmarks/gpu.py --device cpu`, {place}:",
        "",
        "| collator | batches, patches/s | times a memory copy of the batch | lists of samples, patches/s |",
        "|---|---|---|---|",
    ]
    for name, shown in COLLATED.items():
        case = cases[name]
        ready, listed = case["batch_patches_per_second"], case["samples_patches_per_second"]
        lines.append(f"| {shown} | {ready:,.0f} | {case['batch_over_copy']:.1f} | {listed:,.0f} |")
    lines.append("")
    for case in results["prepare"]:
        shown = {"s2": "Sentinel-2", "all": "Both sensors"}[case["case"]]
        mine, theirs = case["ours_from_rows_32"], case["sample_by_sample_from_rows_32"]
        lines.append(
            f"* {shown}, flips, turns and normalisation included: {mine:,.0f} patches/s "
            f"from `PatchTable`, {theirs:,.0f} from `datasets` sample by sample "
            f"({case['ratio_from_rows']:.0f} times), {case['sample_by_sample_224']:,.0f} if each sample is "
            "resized to 224 pixels on the CPU, which here is left to the device."
        )
    return "\n".join([*lines, ""])


def learning():
    """Return the lines between the marks on what a small model learns."""
    results = read("learning")
    machine, rows = results["machine"], results["rows"]
    flags, place = results["flags"], f"{machine['cores']} cores of an {machine['cpu']}, {results['date']}"
    lines = [
        f"`{flags['model']}` on {rows['train']:,} generated patches, tested on {rows['test']:,}:",
        f"one run of `benchmarks/learning.py`, {place}.",
        "",
        "| trained on | overall accuracy | the best that any model can reach | share | minutes |",
        "|---|---|---|---|---|",
    ]
    for name, case in results["cases"].items():
        reached = f"{100 * case['oa']:.1f} %"
        share = "-" if "shuffled" in name else f"{100 * case['share']:.0f} %"
        limit = f"{100 * case['ideal']:.1f} %" + (" (always the largest class)" if share == "-" else "")
        lines.append(f"| {name} | {reached} | {limit} | {share} | {case['minutes']:.1f} |")
    return "\n".join([*lines, ""])


def mapping():
    """Return the lines between the marks on maps and the browse page."""
    results, page = read("map"), read("browse")
    machine, model = results["machine"], results["model"]
    minutes, memory = results["seconds"] / 60, results["memory"]["peak_rss_mb"]
    place = f"{machine['cores']} cores of an {machine['cpu']}"
    if results.get("load_before", 2) > 1:
        place += ", beside other work"
    shown, frames = page["first_paint_ms"] / 1000, 1000 / page["frame_ms"]
    return (
        f"A whole Sentinel-2 tile ({results['pixels']:,} x {results['pixels']:,} pixels, "
        f"{results['cells']:,} cells of 100 m) takes `{model}` {minutes:.0f} minutes and {memory:.0f} MB on "
        f"{place} (`benchmarks/map_scene.py`, {results['date']}). The browse page of {page['patches']:,} "
        f"patches shows itself after {shown:.1f} s and pans with {frames:.0f} frames a second in headless "
        f"Chromium there (`benchmarks/browse.py`, {page['date']}).\n"
    )


BLOCKS = {
    "measured": block, "loading": loading, "feeding": feeding, "learning": learning, "mapping": mapping,
    "trust": trust,
}  # fmt: skip
"""Mark -> what makes the lines between it and its end."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="exit with 1 where README and results differ")
    arguments = parser.parse_args()
    readme = HERE.parent / "README.md"
    text = readme.read_text()
    new = text
    for mark, lines in BLOCKS.items():
        start, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->\n"
        if start in new:
            head, rest = new.split(start)
            new = head + start + lines() + end + rest.split(end)[1]
    if not arguments.check:
        readme.write_text(new)
    sys.exit(new != text if arguments.check else 0)


if __name__ == "__main__":
    main()
