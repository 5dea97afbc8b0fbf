"""The wheel as people install it, without extras: info, build, verify and push, from a folder of its own.

    python .ci/bare.py FOLDER VENV TESTS

Makes raw files in FOLDER, builds every config into FOLDER/out and pushes it to the local Hub of the tests,
which this Python serves: it needs aiohttp, and VENV, whose ``so2sat`` is run, does not.
"""

import os
import subprocess
import sys
from pathlib import Path

FOLDER, VENV, TESTS = map(Path, sys.argv[1:])
NOT_THERE = "import importlib.util as u; print(*(n for n in ('torch', 'rasterio') if u.find_spec(n)))"
REPO = "maria/So2Sat-LCZ42"


def so2sat(*args: object, **environment: str) -> str:
    """Run the command, return what it prints."""
    words = [VENV / "bin" / "so2sat", *map(str, args)]
    found = subprocess.run(  # noqa: S603 (words of this file)
        words, cwd=FOLDER, env={**os.environ, **environment}, text=True, capture_output=True, check=False
    )
    if found.returncode:
        sys.exit(f"so2sat {args[0]}: {found.stdout}{found.stderr}")
    return found.stdout


def installed() -> str:
    """Return where the package lies; it must be among the installed ones, and the extras absent."""
    code = f"{NOT_THERE}; import so2sat_hf; print(so2sat_hf.__file__)"
    command = [VENV / "bin" / "python", "-I", "-c", code]
    found = subprocess.run(command, cwd=FOLDER, text=True, capture_output=True, check=True).stdout  # noqa: S603
    extras, place = found.splitlines()
    if extras or not Path(place).is_relative_to(VENV):
        sys.exit(f"not bare: {extras} {place}")
    return place


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    installed()
    if "From HDF5 to the Hub:" not in so2sat("--help"):
        sys.exit("no help")
    so2sat("synth", "raw", "--train", 120, "--validation", 40, "--test", 40, "--v3")
    so2sat("info", "raw")
    so2sat("build", "raw", "out")
    so2sat("verify", "out", "--against", "raw")
    so2sat("card", "out", "--check")
    sys.path.insert(0, str(TESTS / "hub"))
    from local_hub import serving  # noqa: PLC0415 (its folder was named just now)

    with serving() as hub:
        token = hub.add_user("maria")
        home = str(FOLDER / "hf-home")
        known = {"HF_ENDPOINT": hub.url, "HF_TOKEN": token, "HF_HOME": home, "HF_HUB_DISABLE_XET": "1"}
        said = so2sat("push", "out", REPO, **known)
        pushed = set(hub.repo(REPO).tree("main"))
    if "main is at" not in said or "manifest.json" not in pushed:
        sys.exit(f"not pushed: {said}")
    print("7 passed, 0 failed: help, synth, info, build, verify, card, push")  # noqa: T201


if __name__ == "__main__":
    main()
