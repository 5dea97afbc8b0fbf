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
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import IO

from so2sat_hf.convert.blueprint import Blueprint
from so2sat_hf.convert.cells import SPLITS
from so2sat_hf.convert.manifest import MANIFEST, README, STATISTICS, Manifest
from so2sat_hf.convert.shard import Receipt, receipt_path
from so2sat_hf.convert.shelf import FolderShelf
from so2sat_hf.convert.writing import sync, write_bytes, write_text
from so2sat_hf.errors import FolderError

WORK = ".so2sat"
PLAN = "plan.json"
PUBLISHING = "publishing"
COPIES = "copies"
"""Folder of a stage for files of the source, as long as they are needed."""

UNFINISHED = """---
configs:
- config_name: culture_10
  default: true
  data_files: this-folder-is-being-written--run-so2sat-build-again-if-it-was-interrupted/*
---
"""
"""README while files get their names: ``load_dataset`` reads it and finds nothing, rather than a mixture."""

PICTURES = "pictures/classes.png"
SPLIT = f"({'|'.join(SPLITS)})"
SUFFIX = "(parquet|arrow)"
OUR_FILE = re.compile(
    rf"(data/{SPLIT}/([a-z0-9]+-)?|rgb/{SPLIT}-)[0-9]{{5}}-of-[0-9]{{5}}\.{SUFFIX}|(index|mini)/{SPLIT}\.{SUFFIX}|{re.escape(PICTURES)}"
)
"""Names that only a build gives; whatever else lies in an output folder is not ours to remove."""

FOLDERS = ("data", "index", "mini", "pictures", "rgb")
"""Where files of a build lie."""


class Workspace:
    """What a build of one plan keeps in an output folder."""

    def __init__(self, out: Path, plan: Mapping[str, object]) -> None:
        text = json.dumps(plan, indent=1, sort_keys=True)
        self.out = out
        self.stage = out / WORK / hashlib.sha256(text.encode()).hexdigest()[:16]
        self._plan_text = text

    @property
    def copies(self) -> Path:
        """Where files of the source may lie for as long as they are needed; outlives a killed run."""
        return self.stage / COPIES

    @property
    def shelf(self) -> FolderShelf:
        """The finished files, with or without their final names."""
        return FolderShelf(self.out, first=self.stage)

    def prepare(self) -> None:
        """Make the stage, drop those of other plans and the leftovers of a killed run."""
        with writable(self.out):
            for folder in (self.out / WORK).iterdir():
                if folder.is_dir() and folder != self.stage:
                    (folder / PUBLISHING).unlink(missing_ok=True)  # first: half a stage proves nothing
                    shutil.rmtree(folder)
            names = (README, MANIFEST, STATISTICS, PICTURES)
            small = (self.out.glob(f"{name}.*.part") for name in names)
            for part in chain(self.stage.rglob("*.part"), *small):
                if part.parent != self.copies:  # these are continued
                    part.unlink(missing_ok=True)
        write_text(self.stage / PLAN, self._plan_text)

    def receipts(self, paths: Mapping[str, str]) -> dict[str, Receipt]:
        """Return the receipts of those files that are finished and still there.

        Args:
            paths: key of the receipt -> where the file lies in the dataset repository.
        """
        found = {key: self._receipt(path, key) for key, path in paths.items()}
        return {key: receipt for key, receipt in found.items() if receipt is not None}

    def _receipt(self, path: str, key: str) -> Receipt | None:
        try:
            receipt = Receipt.from_json(receipt_path(self.stage, key).read_text())
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return receipt if self._holds(path, key, receipt.bytes) else None

    def _holds(self, path: str, key: str, size: int) -> bool:
        """Whether a file of this build is there: in the stage, or in OUT if names were given out before."""
        places = [self.stage / key]
        if (self.stage / PUBLISHING).exists():
            places.append(self.out / path)
        return any(place.is_file() and place.stat().st_size == size for place in places)

    def is_published(self, small: Mapping[str, bytes], keys: Mapping[str, str]) -> bool:
        """Whether OUT already is what the manifest says, with nothing left in the stage.

        Args:
            small: path -> content of the manifest itself and everything that no task wrote.
            keys: path -> key of everything else.
        """
        if any((self.stage / key).exists() for key in keys.values()):
            return False
        with suppress(OSError):
            return all((self.out / path).read_bytes() == data for path, data in small.items())
        return False

    def publish(self, manifest: Manifest, small: Mapping[str, bytes], keys: Mapping[str, str]) -> None:
        """Give every finished file its final name; README and manifest come last.

        While this runs OUT has no manifest and a README that leads nowhere, so nothing takes a mixture for a
        dataset; killed in between, the next run goes on here.

        Args:
            manifest: what OUT will hold.
            small: path -> content of everything that no task wrote, in the order in which it is written.
            keys: path -> key of everything else; what other companions left in the stage goes.

        Raises:
            FolderError: a finished file is not where it should be (did a worker see another folder?), or OUT
                cannot be written.
        """
        self._check_staged(manifest, keys)
        write_text(self.out / README, UNFINISHED)
        write_text(self.stage / PUBLISHING, "")
        with writable(self.out):
            (self.out / MANIFEST).unlink(missing_ok=True)
            kept = {receipt_path(self.stage, key) for key in keys.values()}
            for receipt in (self.stage / "receipts").iterdir():
                if receipt not in kept:
                    receipt.unlink()
            for path, key in keys.items():
                staged, final = self.stage / key, self.out / path
                if staged.is_file():
                    final.parent.mkdir(parents=True, exist_ok=True)
                    staged.replace(final)
            self._remove_replaced(manifest)
            for folder in {(self.out / path).parent for path in manifest.tables}:
                sync(folder)
        for name, data in small.items():
            write_bytes(self.out / name, data)
        for name in FOLDERS:
            shutil.rmtree(self.stage / name, ignore_errors=True)

    def _check_staged(self, manifest: Manifest, keys: Mapping[str, str]) -> None:
        for path, size in manifest.tables.items():
            if not self._holds(path, keys[path], size):
                raise FolderError(
                    self.stage / keys[path],
                    found="not there, though a worker wrote it",
                    expected="workers that see the same folders as this process",
                    remedy="give an executor whose workers share this file system",
                )

    def _remove_replaced(self, manifest: Manifest) -> None:
        """Remove the files of earlier builds, finished or not; ``load_dataset`` would read them too."""
        for path in sorted(path for folder in FOLDERS for path in (self.out / folder).rglob("*")):
            name = path.relative_to(self.out).as_posix()
            if name not in manifest.paths and OUR_FILE.fullmatch(name):
                path.unlink()
                with suppress(OSError):  # not empty: something foreign lies there
                    path.parent.rmdir()
        if STATISTICS not in manifest.paths:
            (self.out / STATISTICS).unlink(missing_ok=True)


def changes(out: Path, blueprint: Blueprint, companions: Collection[str]) -> list[str]:
    """Say what a build takes away from the dataset that a folder holds; one sentence each.

    Args:
        out: the output folder.
        blueprint: what is going to be built.
        companions: names of the configs beside it.
    """
    if not _is_built(out):
        return []
    old, said = Manifest.read(out), []
    new = {shard.path for shard in blueprint.shards}
    gone = {shard.path for shard in old.shards} - new
    if {(r.name, r.bytes) for r in old.sources} != {(r.name, r.bytes) for r in blueprint.source.records()}:
        said.append(f"{out} holds a dataset of {old.num_rows:,} patches from other files: it is replaced.")
    elif gone:
        said.append(
            f"{out} holds {len(old.shards):,} data files; the patches are now in {len(new):,} others."
            f" All are written anew, and the {len(gone):,} old ones removed at the end."
        )
    lost = [name for name in old.columns if name not in blueprint.columns]
    lost += [plan.name for plan in old.companions if plan.name not in companions]
    if lost:
        said.append(f"{out} loses {', '.join(lost)}, which this build leaves out.")
    return said


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


def check_output(out: Path) -> None:
    """Refuse a folder that holds something foreign.

    Raises:
        FolderError: it does, or it is no folder.
    """
    if not out.exists():
        return
    with writable(out):
        foreign = sorted(path.name for path in out.iterdir() if path.name != WORK)
    if foreign and not (out / WORK).is_dir() and not _is_built(out):
        raise FolderError(
            out,
            found=f"not empty ({', '.join(foreign[:3])}{', ...' if len(foreign) > 3 else ''})",
            expected="an empty or new folder, or one that `so2sat build` wrote",
            remedy=(
                f"it holds HDF5 files; the folder to read comes first: so2sat build {out} OUT"
                if any(out.glob("*.h5*"))
                else "choose another folder"
            ),
        )
    folders = (*FOLDERS, *(f"{name}/{split}" for name in FOLDERS for split in SPLITS))
    for path in (out / name for name in (WORK, *folders)):
        if path.is_symlink():
            raise FolderError(
                path,
                found=f"a link to {path.readlink()}",
                expected="a folder: files of a build go nowhere else",
                remedy="remove the link, or choose another folder",
            )


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold an output folder for this process; it is created if missing.

    Raises:
        FolderError: another build is at work, the folder holds something foreign, or it cannot be written.
    """
    with writable(out):
        out.mkdir(parents=True, exist_ok=True)
        check_output(out)
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
