"""The output folder: one build at a time, finished shards kept aside, and all of them published at the end.

A build works in ``OUT/.so2sat/<plan>/``, where ``<plan>`` is a hash of everything that decides the output
(sources, arguments, versions). So a rerun finds exactly the shards that it may use again, and an older
dataset in OUT stays whole until the new one is complete.
"""

import fcntl
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import IO

from so2sat_hf.convert.manifest import MANIFEST, README, STATISTICS, Manifest
from so2sat_hf.convert.plan import Shard
from so2sat_hf.convert.shard import Receipt, receipt_path, sync_folder, write_text
from so2sat_hf.errors import FolderError

WORK = ".so2sat"
PLAN = "plan.json"
PUBLISHING = "publishing"

UNFINISHED = """---
configs:
- config_name: culture_10
  default: true
  data_files: this-folder-is-being-written--run-so2sat-build-again-if-it-was-interrupted/*
---
"""
"""README while files get their names: ``load_dataset`` reads it and finds nothing, rather than a mixture."""

DATA_FILE = re.compile(r"([a-z0-9]+-)?[0-9]{5}-of-[0-9]{5}\.(parquet|arrow)")
"""Names that only a build gives; whatever else lies in an output folder is not ours to remove."""


class Workspace:
    """What a build of one plan keeps in an output folder."""

    def __init__(self, out: Path, plan: Mapping[str, object]) -> None:
        text = json.dumps(plan, indent=1, sort_keys=True)
        self.out = out
        self.stage = out / WORK / hashlib.sha256(text.encode()).hexdigest()[:16]
        self._plan_text = text

    def prepare(self) -> None:
        """Make the stage, drop those of other plans and the leftovers of a killed run."""
        with writable(self.out):
            for folder in (self.out / WORK).iterdir():
                if folder.is_dir() and folder != self.stage:
                    (folder / PUBLISHING).unlink(missing_ok=True)  # first: half a stage proves nothing
                    shutil.rmtree(folder)
            small = (self.out.glob(f"{name}.*.part") for name in (README, MANIFEST, STATISTICS))
            for part in chain(self.stage.rglob("*.part"), *small):
                part.unlink(missing_ok=True)
        write_text(self.stage / PLAN, self._plan_text)

    def receipt(self, shard: Shard) -> Receipt | None:
        """Return the receipt of a shard that is finished and still there, else None."""
        try:
            receipt = Receipt.from_json(receipt_path(self.stage, shard).read_text())
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return receipt if self._holds(shard.path, receipt.bytes) else None

    def _holds(self, path: str, size: int) -> bool:
        """Whether a file of this build is there: in the stage, or in OUT if names were given out before."""
        places = [self.stage / path]
        if (self.stage / PUBLISHING).exists():
            places.append(self.out / path)
        return any(place.is_file() and place.stat().st_size == size for place in places)

    def is_published(self, manifest: Manifest, shards: Sequence[Shard]) -> bool:
        """Whether OUT already is what the manifest says, with nothing left in the stage."""
        if any((self.stage / shard.path).exists() for shard in shards):
            return False
        small = [self.out / name for name in (README, *(file.path for file in manifest.files))]
        with suppress(OSError):
            is_current = (self.out / MANIFEST).read_text() == manifest.to_json()
            return is_current and all(path.is_file() for path in small)
        return False

    def publish(self, manifest: Manifest, texts: Mapping[str, str]) -> None:
        """Give every finished file its final name; README and manifest come last.

        While this runs OUT has no manifest and a README that leads nowhere, so nothing takes a mixture for a
        dataset; killed in between, the next run goes on here.

        Args:
            manifest: what OUT will hold.
            texts: name -> content of the small files, in the order in which they are written.

        Raises:
            FolderError: a finished file is not where it should be (did a worker see another folder?), or OUT
                cannot be written.
        """
        self._check_staged(manifest)
        write_text(self.out / README, UNFINISHED)
        write_text(self.stage / PUBLISHING, "")
        with writable(self.out):
            (self.out / MANIFEST).unlink(missing_ok=True)
            for shard in manifest.shards:
                staged, final = self.stage / shard.path, self.out / shard.path
                if staged.is_file():
                    final.parent.mkdir(parents=True, exist_ok=True)
                    staged.replace(final)
            self._remove_replaced(manifest)
            for folder in {(self.out / shard.path).parent for shard in manifest.shards}:
                sync_folder(folder)
        for name, text in texts.items():
            write_text(self.out / name, text)
        shutil.rmtree(self.stage / "data", ignore_errors=True)

    def _check_staged(self, manifest: Manifest) -> None:
        for shard in manifest.shards:
            if not self._holds(shard.path, shard.bytes):
                raise FolderError(
                    self.stage / shard.path,
                    found="not there, though a worker wrote it",
                    expected="workers that see the same folders as this process",
                    remedy="give an executor whose workers share this file system",
                )

    def _remove_replaced(self, manifest: Manifest) -> None:
        """Remove the data files of earlier builds, finished or not; ``load_dataset`` would read them too."""
        for path in sorted((self.out / "data").glob("*/*")):
            listed = path.relative_to(self.out).as_posix() in manifest.paths
            if not listed and DATA_FILE.fullmatch(path.name):
                path.unlink()
                with suppress(OSError):  # not empty: something foreign lies there
                    path.parent.rmdir()
        if STATISTICS not in manifest.paths:
            (self.out / STATISTICS).unlink(missing_ok=True)


@contextmanager
def writable(out: Path) -> Iterator[None]:
    """Turn what the operating system refuses into a :class:`FolderError`."""
    try:
        yield
    except (NotADirectoryError, FileExistsError) as error:
        raise FolderError(
            out, found="a file, or below a file", expected="a folder", remedy="choose another"
        ) from error
    except OSError as error:
        raise FolderError(
            out,
            found=f"cannot be written ({error.strerror or error})",
            expected="a folder with enough space and permission to write",
            remedy="free some space or choose another folder, then run the same command again: it continues",
        ) from error


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold an output folder for this process; it is created if missing.

    Raises:
        FolderError: another build is at work, the folder holds something foreign, or it cannot be written.
    """
    with writable(out):
        out.mkdir(parents=True, exist_ok=True)
        foreign = sorted(path.name for path in out.iterdir() if path.name != WORK)
        if foreign and not (out / WORK).is_dir() and not _is_built(out):
            raise FolderError(
                out,
                found=f"not empty ({', '.join(foreign[:3])}{', ...' if len(foreign) > 3 else ''})",
                expected="an empty or new folder, or one that `so2sat build` wrote",
                remedy="choose another folder",
            )
        (out / WORK).mkdir(exist_ok=True)
        lock = (out / WORK / "lock").open("w")
    with lock:
        with writable(out):
            _take(lock, out)
        yield


def _take(lock: IO[str], out: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise FolderError(
            out, found="another build is writing here", expected="one build at a time", remedy="wait for it"
        ) from error


def _is_built(out: Path) -> bool:
    """Whether the folder has a manifest of ours, e.g. downloaded from a Hub."""
    try:
        Manifest.read(out)
    except FolderError:
        return False
    return True
