"""Twenty minutes of streams and of training at full rate: patches, and what grows with time.

Two processes at once, on generated patches: one streams, epoch after epoch, half of the time from Arrow and
half from Parquet shards; the other trains ``vit-tiny-8`` from a stream. Every five seconds memory, open
files, threads and shared memory of both are read from ``/proc``. ``growth``: how much larger the highest
value of the last quarter of each kind of work is than that of its second one.

    python benchmarks/endurance.py [--minutes 20] [--work DIR] [--out results/endurance.json]
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure

LOOK_SECONDS = 5.0
PHASES = {"stream": 2, "training": 1}
"""Kinds of work, one after the other, in equal shares of the time."""

STREAM = """
import sys, time
from so2sat_hf.load.stream import PatchStream
arrow, parquet, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
patches, start = {}, time.monotonic()
for share, (name, folder) in enumerate((("arrow", arrow), ("parquet", parquet)), 1):
    stream, patches[name] = PatchStream(folder, columns=["sen1", "sen2", "label"], batch_size=256), 0
    while time.monotonic() - start < seconds * share / 2:
        for batch in stream:
            patches[name] += len(batch["label"])
            if time.monotonic() - start > seconds * share / 2:
                break
        print(name, patches[name], flush=True)
"""

TRAIN = """
import sys, time
from transformers import TrainerCallback
from so2sat_hf.training import finetune
class Clock(TrainerCallback):
    end = time.monotonic() + float(sys.argv.pop(1))
    def on_step_end(self, args, state, control, **kwargs):
        print("train", state.global_step * args.per_device_train_batch_size, flush=True)
        control.should_training_stop = time.monotonic() > self.end
plain = finetune.So2SatTrainer
finetune.So2SatTrainer = lambda *args, **options: plain(*args, callbacks=[Clock()], **options)
finetune.main(sys.argv[1:])
"""


def look(pid):
    """Return what a process and its children hold now."""
    found = {"rss_mb": 0.0, "private_mb": 0.0, "files": 0, "threads": 0, "shared": 0}
    for one in measure.descendants(pid):
        try:
            status = Path(f"/proc/{one}/status").read_text()
            found["shared"] += Path(f"/proc/{one}/maps").read_text().count("/dev/shm/")
            found["files"] += len(list(Path(f"/proc/{one}/fd").iterdir()))
        except OSError:  # has ended
            continue
        values = dict(re.findall(r"^(VmRSS|RssAnon|Threads):\s+(\d+)", status, re.MULTILINE))
        found["rss_mb"] += int(values.get("VmRSS", 0)) / 1000
        found["private_mb"] += int(values.get("RssAnon", 0)) / 1000
        found["threads"] += int(values.get("Threads", 0))
    return found


def growth(looks, name):
    """How much larger the highest value of the last quarter is than that of the second one; 0.02: 2 %."""
    quarter = len(looks) // 4
    early, late = looks[quarter : 2 * quarter], looks[3 * quarter :]
    return max(look[name] for look in late) / max(1, *(look[name] for look in early)) - 1 if late else 0.0


def summary(looks, log, phases):
    """Return patches, the largest values and their growth."""
    numbers = [
        line.split() for line in log.read_text().splitlines() if re.match(r"(arrow|parquet|train) \d+$", line)
    ]
    patches = {}
    for name, count in numbers:
        patches[name] = max(patches.get(name, 0), int(count))
    names, size = list(looks[0]), len(looks) // phases
    parts = [looks[size * phase : size * (phase + 1)] for phase in range(phases)]
    return {
        "patches": patches,
        "largest": {name: round(max(look[name] for look in looks), 1) for name in names},
        "growth": {name: round(max(growth(part, name) for part in parts), 3) for name in names},
    }


def watched(commands, work, seconds):
    """Run the commands at once; return what was seen of each."""
    variables = {**os.environ, "PYTHONPATH": str(measure.HERE.parent), "OMP_WAIT_POLICY": "PASSIVE"}
    logs = {name: work / f"{name}.log" for name in commands}
    processes = {}
    for name, command in commands.items():
        with logs[name].open("w") as log:
            processes[name] = subprocess.Popen(command, stdout=log, stderr=log, env=variables)
    looks, start = {name: [] for name in commands}, time.monotonic()
    while any(process.poll() is None for process in processes.values()):
        time.sleep(LOOK_SECONDS)
        for name, process in processes.items():
            if process.poll() is None and time.monotonic() - start < seconds:
                looks[name].append(look(process.pid))
    for name, process in processes.items():
        if process.returncode:
            sys.exit(logs[name].read_text()[-3000:])
    return {name: summary(looks[name], logs[name], PHASES[name]) for name in commands}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rows", type=int, default=20_000, help="patches of the training split")
    parser.add_argument("--work", type=Path, help="where scratch data goes; default: where Python puts it")
    parser.add_argument("--out", type=Path, default=measure.HERE / "results" / "endurance.json")
    arguments = parser.parse_args()
    sys.path.insert(0, str(measure.HERE.parent))
    from so2sat_hf.convert.build import build
    from so2sat_hf.convert.options import BuildOptions
    from so2sat_hf.convert.raw import open_raw
    from so2sat_hf.synthetic import write_raw

    seconds = 60 * arguments.minutes
    with tempfile.TemporaryDirectory(dir=arguments.work) as temporary:
        work = Path(temporary)
        write_raw(work / "raw", train=arguments.rows, validation=500, test=500)
        source = open_raw(work / "raw")
        build(source, work / "arrow", BuildOptions(file_format="arrow"), jobs=2)
        build(source, work / "parquet", jobs=2)
        options = {
            "model": "vit-tiny-8", "preset": "s2", "data": work / "parquet", "output_dir": work / "run",
            "feed": "stream", "num_train_epochs": 1000, "per_device_train_batch_size": 256,
            "use_cpu": True, "disable_tqdm": True,
            "eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False,
        }  # fmt: skip
        training = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        found = watched(
            {
                "stream": [sys.executable, "-c", STREAM, work / "arrow", work / "parquet", str(seconds)],
                "training": [sys.executable, "-c", TRAIN, str(seconds), *training],
            },
            work,
            seconds,
        )
    total = sum(sum(found[name]["patches"].values()) for name in ("stream", "training"))
    result = {"minutes": arguments.minutes, "rows": arguments.rows, "patches": total, **found}
    measure.write_result(arguments.out, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
