"""Plant bugs into a copy of this repository: what breaks runs off and damages input has to find each.

Each is one change of a line or two, of the kinds that lose data in silence. The same check runs first without
a bug, and has to pass. Needs a machine where a small disk can be mounted, as ``tests/faults`` does.

    python benchmarks/planted.py [--work DIR] [--out results/planted.json]
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import measure

ROOT = measure.HERE.parent
BUILDS = ["-m", "pytest", "-n", "0", "-q", "-x", "tests/faults", "-k", "build and not many"]
FUZZ = ["benchmarks/fuzz.py", "--scale", "0.3", "--out", "found.json", "--only"]


@dataclass(frozen=True)
class Bug:
    """A change, and what has to find it."""

    what: str
    file: str
    old: str
    new: str
    check: list[str]


WRITING = "so2sat_hf/convert/writing.py"
BUGS = (
    Bug("a file has its name before its bytes are on the disk (no fsync)", WRITING,
        "                sync(part)\n", "                pass\n", BUILDS),
    Bug("a finished file is copied to its name instead of renamed", WRITING,
        "part.replace(target)", "target.write_bytes(part.read_bytes())", BUILDS),
    Bug("an error of the system is swallowed", WRITING,
        "    except OSError as error:\n", "    except OSError as error:\n        return\n", BUILDS),
    Bug("the rows of a geo file are not counted (unchecked length)", "so2sat_hf/convert/geo_file.py",
        "if dataset is not None and dataset.shape not in (shapes[key], (num_rows, 1)):", "if False:",
        [*FUZZ, "geo_hdf5"]),
    Bug("checksums of Parquet pages are not compared", "so2sat_hf/convert/reading.py",
        '"page_checksum_verification": True', '"page_checksum_verification": False',
        [*FUZZ, "parquet_shard"]),
    Bug("batches of mapped Arrow files are believed", "so2sat_hf/convert/views.py",
        "    batch.validate()\n", "    return batch\n", [*FUZZ, "arrow_shard"]),
)  # fmt: skip


def copy_to(folder):
    """Copy what the checks need."""
    for name in ("so2sat_hf", "tests", "benchmarks", "cards"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md"):
        shutil.copyfile(ROOT / name, folder / name)


def passes(folder, check):
    """Run a check on a copy; return whether it passed, and the line that says why not."""
    done = subprocess.run(
        [sys.executable, *check], cwd=folder, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if done.returncode not in (0, 1):
        sys.exit(done.stdout[-3000:])
    told = re.findall(r"^(?:E  +| {4}(?=\w))(\S.*)", done.stdout, re.MULTILINE)
    return done.returncode == 0, measure.without_paths(told[-1])[:200] if told else ""


def tried(bug, folder):
    """Plant a bug, look, and take it away again."""
    file = folder / bug.file
    text = file.read_text()
    if text.count(bug.old) != 1:
        sys.exit(f"{bug.file} has no such line any more: {bug.old.strip()}")
    file.write_text(text.replace(bug.old, bug.new))
    is_sound, said = passes(folder, bug.check)
    file.write_text(text)
    return {"bug": bug.what, "by": " ".join(bug.check), "found": not is_sound, "said": said}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, help="where the copy goes; default: where Python puts it")
    parser.add_argument("--out", type=Path, default=measure.HERE / "results" / "planted.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as temporary:
        folder = Path(temporary)
        copy_to(folder)
        for check in {tuple(bug.check) for bug in BUGS}:
            is_sound, said = passes(folder, check)
            if not is_sound:
                sys.exit(f"fails without any bug: {' '.join(check)}: {said}")
        found = []
        for bug in BUGS:
            found.append(tried(bug, folder))
            print("found " if found[-1]["found"] else "MISSED", bug.what, "|", found[-1]["said"], flush=True)
    measure.write_result(arguments.out, {"bugs": found})
    sys.exit(not all(each["found"] for each in found))


if __name__ == "__main__":
    main()
