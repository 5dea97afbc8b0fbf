"""A release of a few small files, with the mirrors and the names of version 4."""

import gzip
import hashlib
import json
import random
import sys
from dataclasses import replace
from pathlib import Path

from so2sat_hf import facts
from so2sat_hf.facts import SourceFile, Version

REPOSITORY = "/datasets/zhu-xlab/So2Sat-LCZ42/resolve"


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that no two seeds share."""
    return random.Random(seed).randbytes(size)


def release(bodies: dict[str, bytes]) -> Version:
    """Version 4 with these bytes: path -> body; the second generation of a geo file as ``path@2026``."""
    version = facts.version("4")
    files = []
    for key, body in bodies.items():
        path, _, generation = key.partition("@")
        template = next(
            file
            for file in version.files
            if file.path == path and (not generation or str(file.generation) == generation)
        )
        hashes = {"sha256": template.sha256 and hashlib.sha256(body).hexdigest()}
        hashes["md5"] = template.md5 and hashlib.md5(body).hexdigest()
        hashes["sha512"] = template.sha512 and hashlib.sha512(body).hexdigest()
        files.append(replace(template, bytes=len(body), **hashes))
    return replace(version, files=tuple(files))


def hub_path(name: str, revision: str = facts.version("4").mirror("hub").revision or "") -> str:
    """Path of a file on a Hub."""
    return f"{REPOSITORY}/{revision}/v4/{name}"


def write_release(version: Version, path: Path) -> None:
    """Write sizes and hashes of a release for :func:`run_cli` in another process."""
    rows = [
        {"path": file.path, "generation": file.generation, "bytes": file.bytes, "sha256": file.sha256}
        for file in version.files
    ]
    path.write_text(json.dumps(rows))


def read_release(path: Path) -> Version:
    version, files = facts.version("4"), []
    for row in json.loads(path.read_text()):
        template: SourceFile = next(
            file for file in version.files if (file.path, file.generation) == (row["path"], row["generation"])
        )
        files.append(replace(template, bytes=row["bytes"], sha256=row["sha256"]))
    return replace(version, files=tuple(files))


def run_cli(*args: str) -> None:
    """Run ``so2sat`` with a release that is not the published one; the first argument is its file."""
    from so2sat_hf.cli import cli
    from so2sat_hf.cli.hub import download

    version = read_release(Path(args[0]))
    facts.version = lambda name: version if name == "4" else None  # type: ignore[assignment, return-value]
    cli.add_command(download)
    cli(list(args[1:]))


def gzipped(path: Path) -> bytes:
    """The bytes of a file, gzipped, always the same."""
    return gzip.compress(path.read_bytes(), 1, mtime=0)


if __name__ == "__main__":
    run_cli(*sys.argv[1:])
