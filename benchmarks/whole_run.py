"""The whole way of a split of the published size: build, verify, push, stream, train, evaluate, map.

Every step is a command as a user types it, in a process of its own; the dataset goes to the local Hub of the
tests and is trained on from there. Generated patches: 24,119 in the training split, whose positions are the
real ones with ``--geo validation_geo.h5``, the published file. What the commands said is kept.

    python benchmarks/whole_run.py [--geo FILE] [--work DIR] [--out results/whole_run.txt]
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import measure

ROWS = 24_119
"""Rows of the published validation.h5 of versions 1, 2 and 4."""

REPO = "zhu-xlab/So2Sat-LCZ42"
BAR = re.compile(r"\d+%\||it/s\]|s/it\]|examples/s\]")
COUNT = """
import sys, time
from so2sat_hf.load.stream import PatchStream
start, ids = time.perf_counter(), []
for batch in PatchStream(sys.argv[1], "train", columns=["id", "sen2", "label"], batch_size=256):
    ids += list(batch["id"])
assert len(set(ids)) == len(ids), "a patch came twice"
print(f"{len(ids):,} patches, each once, {len(ids) / (time.perf_counter() - start):,.0f} patches/s")
"""


class Log:
    """What was typed and what was said, for people; paths and progress bars are left out."""

    def __init__(self, work, variables):
        self.work, self.variables, self.lines = work, variables, []

    def run(self, title, command):
        """Run a command; keep what it said."""
        start = time.perf_counter()
        done = subprocess.run(
            [str(part) for part in command], env=self.variables, cwd=self.work, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        said = [line.split("\r")[-1].rstrip() for line in done.stdout.splitlines()]
        kept = [line for line in said if line.strip() and not BAR.search(line)]
        self.lines += ["", f"$ {title}", *kept[-40:], f"[{seconds:.0f} s, exit code {done.returncode}]"]
        print("\n".join(self.lines[-4:]), flush=True)
        if done.returncode:
            sys.exit(done.stdout[-3000:])

    def so2sat(self, *args):
        """Run one of our commands."""
        self.run(
            f"so2sat {' '.join(map(str, args))}",
            [sys.executable, "-c", "from so2sat_hf.cli import cli; cli()", *args],
        )

    def text(self):
        """Return the log, without the folder that it happened in."""
        return measure.without_paths("\n".join(self.lines).replace(f"{self.work}/", "")) + "\n"


def steps(log, work):
    """Go the whole way."""
    log.so2sat("info", "raw")
    log.so2sat("build", "raw", "out")
    log.so2sat("verify", "out", "--against", "raw")
    log.so2sat("push", "out", REPO)
    log.run(f'PatchStream("{REPO}", "train")', [sys.executable, "-c", COUNT, REPO])
    train = {
        "model": "vit-tiny-8", "preset": "s2", "data": REPO, "output_dir": "runs/a", "num_train_epochs": 1,
        "per_device_train_batch_size": 256, "feed": "stream", "use_cpu": True, "disable_tqdm": True,
    }  # fmt: skip
    log.so2sat("train", *(str(text) for name, value in train.items() for text in (f"--{name}", value)))
    log.so2sat("evaluate", "runs/a", "--data", "out", "--split", "validation", "--out", "report")
    write_scene(work)
    log.so2sat("map", "runs/a", "scene.tif", "lcz.tif", "--smooth", "majority")
    log.so2sat("export", "out", "tifs", "--split", "test", "--label", "water")


def write_scene(work):
    """Write a scene of 1,600 x 1,600 pixels out of generated patches."""
    from map_scene import write_scene as write

    write(work / "scene.tif", 1600)
    import rasterio

    with rasterio.open(work / "scene.tif", "r+") as file:
        file.scales = [1e-4] * 10
        for number in range(1, 11):
            file.set_band_unit(number, "reflectance")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--geo", type=Path, help="published validation_geo.h5, of 24,119 rows")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--work", type=Path, help="where scratch data goes; default: where Python puts it")
    parser.add_argument("--out", type=Path, default=measure.HERE / "results" / "whole_run.txt")
    arguments = parser.parse_args()
    sys.path[:0] = [str(measure.HERE.parent), str(measure.HERE.parent / "tests" / "hub")]
    from local_hub import serving

    from so2sat_hf.synthetic import write_raw

    with tempfile.TemporaryDirectory(dir=arguments.work) as temporary, serving() as hub:
        work = Path(temporary)
        generation = "2025" if arguments.geo else "2026"
        write_raw(work / "raw", train=arguments.rows, validation=1000, test=1000, geo=generation)
        if arguments.geo:
            shutil.copyfile(arguments.geo, work / "raw" / "training_geo.h5")
        hub.create_repo(REPO)
        variables = {
            **os.environ, "PYTHONPATH": str(measure.HERE.parent), "HF_ENDPOINT": hub.url,
            "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(work / "home"),
            "HF_TOKEN": hub.add_user("maria", orgs={"zhu-xlab": "write"}),
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }  # fmt: skip
        log = Log(work, variables)
        start = time.perf_counter()
        steps(log, work)
        minutes = (time.perf_counter() - start) / 60
        machine = measure.machine()
        head = (
            f"The whole way of {arguments.rows:,} generated training patches, 1,000 of validation and test; "
            f"{datetime.now(UTC).date()}, {machine['cores']} cores {machine['cpu']}, {minutes:.0f} minutes."
        )
        arguments.out.write_text(f"{head}\n{log.text()}")


if __name__ == "__main__":
    main()
