"""Run one contender in a fresh process and measure its memory; describe the machine. Needs Linux (/proc).

Memory is that of single processes, never their sum: the largest process of the contender's tree counts.

* ``peak_rss_mb``: high-water mark of resident memory as the kernel keeps it (VmHWM), so that no peak is
  missed. It includes shared libraries and file pages that happen to be mapped.
* ``peak_private_mb``: largest anonymous memory (RssAnon) seen in looks 20 ms apart: what the process itself
  asked for.

One MB is 10**6 bytes.
"""

import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

LOOK_SECONDS = 0.02
FAMILY_SECONDS = 0.2
TIME_LIMIT = 3600
HERE = Path(__file__).parent


class Memory(threading.Thread):
    """Watches a process and its descendants until told to stop."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid = pid
        self.over = threading.Event()
        self.peaks = {}

    def run(self):
        family, looked = [self.pid], 0.0
        while not self.over.wait(LOOK_SECONDS):
            if time.monotonic() - looked > FAMILY_SECONDS:
                family, looked = descendants(self.pid), time.monotonic()
            for pid in family:
                self._look(pid)

    def _look(self, pid):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:  # has ended
            return
        found = dict(re.findall(r"^(VmHWM|RssAnon):\s+(\d+) kB", status, re.MULTILINE))
        if found:
            rss, private = (int(found[key]) * 1024 for key in ("VmHWM", "RssAnon"))
            old = self.peaks.get(pid, (0, 0))
            self.peaks[pid] = (max(rss, old[0]), max(private, old[1]))

    def stop(self):
        """Stop and return the peaks, largest process first."""
        self.over.set()
        self.join()
        peaks = sorted(self.peaks.values(), reverse=True)
        return {
            "peak_rss_mb": round(max(rss for rss, _ in peaks) / 1e6, 1),
            "peak_private_mb": round(max(private for _, private in peaks) / 1e6, 1),
            "processes": [{"rss_mb": round(r / 1e6, 1), "private_mb": round(p / 1e6, 1)} for r, p in peaks],
        }


def descendants(pid):
    """Return a process and all that descend from it."""
    found = [pid]
    for one in found:
        try:
            for thread in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (thread / "children").read_text().split()]
        except OSError:  # has ended
            continue
    return found


def run(python, script, arguments, *, own=True, variables=None):
    """Run a script in a process of its own and return what it reports, with its memory.

    Args:
        python: interpreter of the environment it needs.
        script: path inside this folder.
        arguments: its command line.
        own: whether it imports this checkout's package.
        variables: of its environment, on top of those of this process; without them it may ask no Hub.

    Returns:
        A dict; on failure it holds only ``failed``, the last line the contender said.
    """
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", **(variables or {})}
    environment.pop("PYTHONPATH", None)
    if own:
        environment["PYTHONPATH"] = str(HERE.parent)
    load = os.getloadavg()[0]
    start = time.perf_counter()
    command = [str(part) for part in (python, HERE / script, *arguments)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    memory = Memory(process.pid)
    memory.start()
    try:
        out, err = process.communicate(timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    seconds = time.perf_counter() - start
    peaks = memory.stop() if memory.peaks else {}
    if process.returncode:
        lines = [line for line in err.splitlines() if line.strip()] or [f"exit code {process.returncode}"]
        return {"failed": without_paths(lines[-1])}
    result = json.loads(out.splitlines()[-1])
    rate = round(result["rows"] / result["seconds"], 1)
    return {
        "patches_per_second": rate,
        **rounded(result),
        "process_seconds": round(seconds, 3),
        "load_before": round(load, 2),
        **peaks,
    }


def build_and_verify(raw, built, jobs):
    """Build a raw folder and verify it, in processes of their own; ``completed``: whether both worked."""
    runs = {}
    for name, options in (("build", []), ("verify", ["--verify"])):
        runs[name] = run(sys.executable, "peers/so2sat_build.py", [raw, built, "--jobs", jobs, *options])
        if "failed" in runs[name]:
            return {"completed": False, **runs}
    per_patch = round(runs["build"]["bytes"] / runs["build"]["rows"], 1)
    return {"completed": True, "bytes_per_patch": per_patch, **runs}


def without_paths(text):
    """Leave of every absolute path only its last part."""
    return re.sub(r"(?<![\w.])/(?:[^\s/'\":]+/)+", "", text)


def rounded(values):
    """Round floats to milliseconds."""
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in values.items()}


def is_missing(python, module):
    """Say why an interpreter cannot be used, or None."""
    if not Path(python).is_file():
        return "no such Python"
    found = subprocess.run([python, "-c", f"import {module}"], capture_output=True, text=True, check=False)
    return None if found.returncode == 0 else without_paths(found.stderr.strip().splitlines()[-1])


def settle(*folders):
    """Write everything dirty to disk, and read files once so that they are in the page cache."""
    os.sync()
    for folder in folders:
        for path in sorted(folder.iterdir()):
            with path.open("rb", buffering=0) as stream:
                while stream.read(8 << 20):
                    pass


def machine():
    """Describe the machine: nothing that names it or its users."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu.group(1) if cpu else platform.processor(),
        "memory_gb": round(total / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def read(name):
    """Return a results file."""
    return json.loads((HERE / "results" / f"{name}.json").read_text())


def write_result(path, result):
    """Write a result with date and machine as readable JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    date = datetime.now(UTC).date().isoformat()
    path.write_text(json.dumps({"date": date, "machine": machine(), **result}, indent=1) + "\n")
