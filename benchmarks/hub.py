"""What does each way of reading the dataset from a Hub fetch? Requests, bytes and seconds.

Generated patches (published layout) are built and put on the local Hub of the tests, which serves them here
and writes down every request. Each pattern of ``peers/hub_reader.py`` runs in a fresh process with
empty caches, in rounds (A B C, A B C, ...); medians are kept. Bytes are bodies of answers. Seconds say what
the reader itself costs: the network has no latency here, and no limit.

    python benchmarks/hub.py [--quick] [--work DIR] [--out results/hub.json]
    python benchmarks/hub.py --write     # measures nothing: puts results/hub.json into the facts
    python benchmarks/hub.py --check     # exits with 1 where results and facts differ

Train has 2 files of 4 row groups of 1,024 patches. The published one has about 64 files of 6: there a first
row, or a stream that is resumed, is a smaller part of the whole.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import measure

ROOT = measure.HERE.parent
RESULTS = measure.HERE / "results" / "hub.json"
FACTS = ROOT / "so2sat_hf" / "facts" / "access.json"
REPO = "zhu-xlab/So2Sat-LCZ42"
READER = "peers/hub_reader.py"
FULL = {"train": 8192, "validation": 512, "test": 512, "rows_per_shard": 4096, "rounds": 3}
QUICK = {"train": 512, "validation": 32, "test": 32, "rows_per_shard": 256, "rounds": 1}


def make(work, plan):
    """Build the dataset; return its files as they lie on the Hub. HDF5 and built folder are removed."""
    sys.path.insert(0, str(ROOT))
    from so2sat_hf.hub.card import readme_of
    from so2sat_hf.synthetic import write_raw

    raw, built = work / "raw", work / "built"
    write_raw(raw, **{split: plan[split] for split in ("train", "validation", "test")}, seed=1)
    options = ["--jobs", 2, "--companions", "--rows-per-shard", plan["rows_per_shard"]]
    done = measure.run(sys.executable, "peers/so2sat_build.py", [raw, built, *options])
    if "failed" in done:
        raise SystemExit(done["failed"])
    shutil.rmtree(raw)
    paths = [path for path in built.rglob("*") if path.is_file() and ".so2sat" not in path.parts]
    files = {path.relative_to(built).as_posix(): path.read_bytes() for path in paths}
    files["README.md"] = readme_of(built, REPO).encode()
    shutil.rmtree(built)
    return files


def read(hub, work, pattern, *arguments):
    """Run one pattern with empty caches; return what it took."""
    home = Path(tempfile.mkdtemp(dir=work))
    variables = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_TOKEN": ""}
    variables |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    variables |= {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    hub.reset_log()
    done = measure.run(
        sys.executable, READER, [pattern, REPO, work, *arguments], own=False, variables=variables
    )
    shutil.rmtree(home)
    if "failed" in done:
        raise SystemExit(f"{pattern}: {done['failed']}")
    log = list(hub.log)
    return {"requests": len(log), "bytes": sum(request.sent for request in log), **done}


def measured(hub, work, patterns, rounds):
    """Return pattern -> medians of its rounds, and all of them."""
    runs = {pattern: [] for pattern in patterns}
    for pattern in (pattern for pattern in patterns if pattern.startswith("resume")):
        read(hub, work, pattern, "--prepare")
        (work / "state.json").rename(work / f"{pattern}.json")
    for number in range(rounds):
        for pattern in patterns:
            if pattern.startswith("resume"):
                shutil.copy(work / f"{pattern}.json", work / "state.json")
            runs[pattern].append(read(hub, work, pattern))
            last = runs[pattern][-1]
            print(
                f"{number + 1}/{rounds} {pattern:34}{last['rows']:6} rows {last['requests']:4} requests"
                f" {last['bytes'] / 1e6:8.2f} MB {last['seconds']:7.2f} s",
                flush=True,
            )
    return runs


def summary(runs, whole):
    """Return the median of each figure, with the share of the bytes of train."""
    found = {}
    for pattern, rounds in runs.items():
        middle = {
            name: statistics.median(run[name] for run in rounds) for name in ("requests", "bytes", "seconds")
        }
        found[pattern] = {
            "rows": rounds[0]["rows"],
            "requests": round(middle["requests"]),
            "bytes": round(middle["bytes"]),
            "percent_of_train": round(100 * middle["bytes"] / whole, 2),
            "seconds": round(middle["seconds"], 2),
            "bytes_of_rounds": [run["bytes"] for run in rounds],
            "seconds_of_rounds": [run["seconds"] for run in rounds],
            "load_before": [run["load_before"] for run in rounds],
        }
    return found


def benchmark(work, plan):
    """Measure every pattern."""
    sys.path[:0] = [str(ROOT / "tests" / "hub"), str(measure.HERE / "peers")]
    from hub_reader import PATTERNS, STOP
    from local_hub import serving

    files = make(work, plan)
    train = [content for path, content in files.items() if path.startswith("data/train/")]
    whole = sum(map(len, train))
    with serving() as hub:
        hub.create_repo(REPO, files=files)
        runs = measured(hub, work, tuple(PATTERNS), plan["rounds"])
    return {
        "rows": plan["train"],
        "files": len(train),
        "row_group_rows": min(1024, plan["rows_per_shard"]),
        "bytes_of_train": whole,
        "interrupted_after": round(STOP * plan["train"]),
        "versions": runs["open"][0]["versions"],
        "patterns": summary(runs, whole),
    }


def facts_of(result):
    """Return what the card needs of a result."""
    kept = ("rows", "files", "row_group_rows", "bytes_of_train", "interrupted_after")
    machine = f"{result['machine']['cores']} cores of an {result['machine']['cpu']}"
    patterns = {
        name: {key: row[key] for key in ("rows", "requests", "bytes")}
        for name, row in result["patterns"].items()
    }
    source = "benchmarks/hub.py: generated patches, on the local Hub of the tests"
    plain = {"source": source, "date": result["date"], "machine": machine}
    return {**plain, **{key: result[key] for key in kept}, "patterns": patterns}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few patches, one round; writes nothing")
    parser.add_argument("--work", type=Path, help="where scratch data goes; default: where Python puts it")
    parser.add_argument("--out", type=Path, help="default: results/hub.json, and nothing with --quick")
    parser.add_argument("--write", action="store_true", help="put the results into the facts")
    parser.add_argument("--check", action="store_true", help="exit with 1 where results and facts differ")
    arguments = parser.parse_args()
    if arguments.write or arguments.check:
        text = json.dumps(facts_of(json.loads(RESULTS.read_text())), indent=1) + "\n"
        if arguments.write:
            FACTS.write_text(text)
        sys.exit(FACTS.read_text() != text)
    os.environ.pop("HF_ENDPOINT", None)
    with tempfile.TemporaryDirectory(dir=arguments.work) as temporary:
        result = benchmark(Path(temporary), QUICK if arguments.quick else FULL)
    if out := arguments.out or (None if arguments.quick else RESULTS):
        measure.write_result(out, result)


if __name__ == "__main__":
    main()
