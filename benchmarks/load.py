"""How fast does each way of loading give batches? Patches/s and peak memory of one process.

Generated patches (published layout) are stored once in every form: HDF5, our Parquet, our Arrow shards
(``sen2`` as float32 and as uint16), the cache of ``datasets``, MDS, litdata, a repository on the local Hub of
the tests. Every contender of ``load_cases.py`` reads the same patches in batches of 256 that own their
memory, each in a fresh process, in rounds (A B C, A B C, ...) with a warm page cache; medians are kept. What
is timed is said in ``peers/loading.py``, and what a contender does at the top of its file there.

    python benchmarks/load.py [--torchgeo-python ENV/bin/python] [--loaders-python ENV/bin/python]
    python benchmarks/load.py --quick --only "PatchStream"

Ratios only mean anything within one run.
"""

import argparse
import contextlib
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import measure
from load_cases import CASES, HUB, LITDATA, MDS, OURS, TORCHGEO
from load_verdict import judge, show

ROOT = measure.HERE.parent
REPO = "zhu-xlab/So2Sat-LCZ42"
BUILD = "peers/so2sat_build.py"
FULL = {"rows": 8192, "rows_per_shard": 2048, "rounds": 3, "seconds": 1.0}
QUICK = {"rows": 512, "rows_per_shard": 256, "rounds": 1, "seconds": 0.1}
WINDOWS = {"arrow": "Arrow", "parquet": "Parquet"}
PEERS = {TORCHGEO: "torchgeo", MDS: "mosaicml-streaming", LITDATA: "litdata"}
"""Reader -> library, of those with an environment of their own."""

PATCH_BYTES = 18 * 32 * 32 * 4


def prepare(work, plan, pythons, missing):
    """Store the patches in every form that is not there yet; return bytes per patch of each."""
    sys.path.insert(0, str(ROOT))
    from so2sat_hf.synthetic import write_raw

    raw, rows, few = work / "raw", plan["rows"], max(plan["rows"] // 64, 32)
    make(raw, lambda: write_raw(raw, train=rows, validation=few, test=few, seed=1))
    shards = ["--jobs", 2, "--rows-per-shard", plan["rows_per_shard"]]
    for name, options in {
        "parquet": [],
        "arrow": ["--format", "arrow"],
        "arrow-uint16": ["--format", "arrow", "--sen2-dtype", "uint16"],
    }.items():
        folder = work / name
        make(
            folder,
            lambda to=folder, more=options: run_or_stop(sys.executable, BUILD, [raw, to, *shards, *more]),
        )
    make(work / "arrays", lambda: write_arrays(raw, work / "arrays"))
    for script, name in ((MDS, "mds"), (LITDATA, "litdata")):
        for dtype, suffix in (("float32", ""), ("uint16", "-uint16")):
            to, options = work / f"{name}{suffix}", ["write", work / "arrays", dtype]
            if not missing[script]:
                peer = f"peers/{script}"
                make(to, lambda: run_or_stop(pythons[script], peer, [to, *options], own=False))  # noqa: B023
    make(
        work / "home",
        lambda: run_or_stop(
            sys.executable,
            "peers/load_hf.py",
            [work / "parquet", "map arrow", "--seconds", 0.1],
            variables=at_home(work),
        ),
    )
    return stored_bytes(work, rows)


def make(folder, job):
    """Do a job that makes a folder, unless it is there."""
    if not folder.exists():
        print(f"making {folder.name}", file=sys.stderr)
        try:
            job()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def reason(python, library):
    """Say why a peer cannot be run, or None. It is not imported: see ``declare_operators`` of the readers."""
    if not python:
        return "no Python given"
    return measure.is_missing(python, f"importlib.metadata; importlib.metadata.version({library!r})")


def run_or_stop(*arguments, **options):
    """Run a script and end with what it said if it failed."""
    done = measure.run(*arguments, **options)
    if "failed" in done:
        raise SystemExit(f"{arguments[1]}: {done['failed']}")


def at_home(work):
    """Return the environment of whoever uses the cache of ``datasets``."""
    return {"HF_HOME": str(work / "home"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}


def write_arrays(raw, folder):
    """Write the patches of train as float32 arrays, channels first, for those that store them again."""
    import h5py
    import numpy as np

    folder.mkdir()
    with h5py.File(raw / "training.h5", "r") as file:
        np.save(folder / "label.npy", file["label"][:].argmax(axis=1))
        for name in ("sen1", "sen2"):
            count, height, width, bands = file[name].shape
            out = np.lib.format.open_memmap(
                folder / f"{name}.npy", mode="w+", dtype=np.float32, shape=(count, bands, height, width)
            )
            for start in range(0, count, 1024):
                block = slice(start, start + 1024)
                out[block] = file[name][block].transpose(0, 3, 1, 2)


def stored_bytes(work, rows):
    """Return bytes per patch of train on disk, of every form."""
    places = {
        "HDF5": work / "raw" / "training.h5",
        "Parquet": work / "parquet" / "data" / "train",
        "Arrow": work / "arrow" / "data" / "train",
        "Arrow, sen2 as uint16": work / "arrow-uint16" / "data" / "train",
        "litdata": work / "litdata",
        "litdata, sen2 as uint16": work / "litdata-uint16",
        "MDS": work / "mds",
        "MDS, sen2 as uint16": work / "mds-uint16",
    }
    found = {
        name: sum(map(size_of, (path, *path.rglob("*")))) for name, path in places.items() if path.exists()
    }
    cached = (work / "home" / "datasets").rglob("*train*.arrow")
    return {name: round(size / rows) for name, size in found.items()} | {
        "cache of datasets": round(sum(map(size_of, cached)) / rows)
    }


def warm(work):
    """Write everything dirty to disk, and read all files once so that they are in the page cache."""
    os.sync()
    for path in work.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as stream:
                while stream.read(8 << 20):
                    pass


def size_of(path):
    """Return the bytes of a file; 0 for a folder."""
    return path.stat().st_size if path.is_file() else 0


@contextlib.contextmanager
def local_hub(folder):
    """Serve a built folder as a repository; yield the Hub."""
    sys.path.insert(0, str(ROOT / "tests" / "hub"))
    from local_hub import serving

    paths = [path for path in folder.rglob("*") if path.is_file() and ".so2sat" not in path.parts]
    with serving() as hub:
        hub.create_repo(
            REPO, files={path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        )
        yield hub


def run_case(case, work, plan, pythons, hub):
    """Run one contender once; return what it reports."""
    variables, place, home = at_home(work), work / case.place, None
    if case.place == HUB:
        home = tempfile.mkdtemp(dir=work)
        variables |= {"HF_ENDPOINT": hub.url, "HF_HOME": home, "HF_HUB_OFFLINE": "0", "HF_TOKEN": ""}
        variables |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        place = f"hf://datasets/{REPO}" if case.script == OURS else REPO
        hub.reset_log()
    own = case.script == OURS
    arguments = [place, *case.options, "--seconds", plan["seconds"]]
    python = pythons.get(case.script, sys.executable)
    done = measure.run(python, f"peers/{case.script}", arguments, own=own, variables=variables)
    if home:
        shutil.rmtree(home)
        done |= {"requests": len(hub.log), "received_bytes": sum(one.sent for one in hub.log)}
    return done


def measured(cases, work, plan, pythons, missing):
    """Run every contender in rounds; return case -> its runs."""
    runs = {case: [] for case in cases}
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        hub = None
        if any(case.place == HUB for case in cases):
            hub = stack.enter_context(local_hub(work / "parquet"))
        for turn in range(plan["rounds"]):
            for case in cases:
                if missing.get(case.script):
                    runs[case] = [{"skipped": missing[case.script]}]
                    continue
                run = run_case(case, work, plan, pythons, hub)
                runs[case].append(run)
                said = run.get("failed") or f"{run['patches_per_second']:,.0f} patches/s"
                passed = time.monotonic() - begun
                print(f"{passed:5.0f} s, round {turn + 1}: {case.key}: {said}", file=sys.stderr, flush=True)
    return runs


def summary(case, runs):
    """Return medians over the runs of one contender; memory is the worst."""
    head = {"section": case.section, "name": case.name, "ours": case.script == OURS}
    good = [run for run in runs if "patches_per_second" in run]
    if len(good) < len(runs):
        return head | next(run for run in runs if "patches_per_second" not in run)
    rates = [run["patches_per_second"] for run in good]
    same = {
        key: good[0][key]
        for key in ("bytes_of_patch", "requests", "received_bytes", "versions")
        if key in good[0]
    }
    return {
        **head,
        "patches_per_second": round(statistics.median(rates), 1),
        "rounds": rates,
        "parts_of_epochs": good[0]["epochs"] == 0,
        **{key: max(run[key] for run in good) for key in ("peak_rss_mb", "peak_private_mb")},
        "load_before": [run["load_before"] for run in good],
        **same,
    }


def same_patches(runs, plan):
    """Stop if someone read other patches than the rest: rows and sum of labels of an epoch."""
    found = {}
    for case, done in runs.items():
        for run in done:
            if run.get("rows_of_epoch") and case.pattern not in ("copy", "copy in place"):
                found.setdefault((run["rows_of_epoch"], run["labels"]), []).append(case.key)
    if len(found) > 1 or any(rows != plan["rows"] for rows, _ in found):
        raise SystemExit(f"rows and sum of labels differ: {found}")


def stream_memory(work, plan):
    """Return how far the memory of a stream rises above what it was before, in each of some epochs."""
    found = {}
    sys.path.insert(0, str(ROOT))
    for place, shown in WINDOWS.items():
        options = ["memory", "--threads", 2]
        done = measure.run(sys.executable, "peers/load_so2sat.py", [work / place, *options])
        if "failed" in done:
            found[shown] = {"failed": done["failed"]}
            continue
        window = min(4 * min(1024, plan["rows_per_shard"]), plan["rows"]) * PATCH_BYTES
        kept = {key: done[key] for key in ("start_mb", "above_mb")}
        found[shown] = {"window_mb": round(window / 1e6, 1), **kept}
        print(f"memory of a stream, {shown}: {found[shown]}", file=sys.stderr)
    return found


def versions(cases):
    """Return every library and its version; take the versions out of the cases."""
    return {library: version for entry in cases for library, version in entry.pop("versions", {}).items()}


def benchmark(work, plan, pythons, only):
    """Measure all contenders whose name fits."""
    missing = {script: reason(pythons[script], library) for script, library in PEERS.items()}
    disk = prepare(work, plan, pythons, missing)
    cases = [case for case in CASES if re.search(only, case.key)]
    warm(work)
    runs = measured(cases, work, plan, pythons, missing)
    same_patches(runs, plan)
    entries = [summary(case, done) for case, done in runs.items()]
    memory = stream_memory(work, plan) if re.search(only, "memory") else {}
    return {
        **{key: plan[key] for key in ("rows", "rows_per_shard")},
        "batch": 256,
        "rounds": plan["rounds"],
        "threads": 2,
        "versions": versions(entries),
        "targets": judge(entries, memory),
        "disk": disk,
        "memory": memory,
        "cases": entries,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=None, help="patches of train")
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument(
        "--only", default="", help="regular expression: sections and names to run; writes nothing"
    )
    parser.add_argument("--work", type=Path, help="folder for scratch data, kept; default: a temporary one")
    parser.add_argument("--torchgeo-python", default=os.environ.get("SO2SAT_PYTHON_TORCHGEO"))
    parser.add_argument("--loaders-python", default=os.environ.get("SO2SAT_PYTHON_LOADERS"))
    parser.add_argument(
        "--out", type=Path, help="JSON; default: results/load.json, nothing with --quick or --only"
    )
    parser.add_argument("--quick", action="store_true", help="512 patches, once: does it run?")
    parser.add_argument("--check", action="store_true", help="exit code 1 if a target is missed or unknown")
    arguments = parser.parse_args()
    plan = dict(QUICK if arguments.quick else FULL)
    plan |= {key: value for key in ("rows", "rounds") if (value := getattr(arguments, key))}
    loaders = arguments.loaders_python
    pythons = {TORCHGEO: arguments.torchgeo_python, MDS: loaders, LITDATA: loaders}
    os.environ.pop("HF_ENDPOINT", None)
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        result = benchmark(work.resolve(), plan, pythons, arguments.only)
    show(result)
    partly = arguments.quick or arguments.only
    if out := arguments.out or (None if partly else measure.HERE / "results" / "load.json"):
        measure.write_result(out, result)
    if any("failed" in entry for entry in result["cases"]):
        sys.exit("a contender failed")
    sys.exit(arguments.check and not all(entry["holds"] for entry in result["targets"]))


if __name__ == "__main__":
    main()
