"""The commands that are broken off, and what users must find afterwards."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from local_hub import LocalHub
from publishing import FOREIGN, REPO

from so2sat_hf.convert.workspace import UNFINISHED, WORK

State = Mapping[str, str]
"""Path -> hash of the content."""

DATED = ("report.json", "so2sat.json", "report.html", "README.md", "training_args.bin", "all_results.json")
"""Files of a training that tell times, or come and go with the number of runs that it took."""


@dataclass(frozen=True)
class Job:
    """A command on one folder."""

    name: str

    argv: Callable[[Path], list[str]]
    """Folder -> command line."""

    state: Callable[[Path], State]
    """What users see there."""

    setup: Callable[[Path, bool], None]
    """Prepare a folder; True: with an older result in it."""

    inputs: tuple[Path, ...]
    """Files that are read by libraries, not by Python."""

    writes: bool = True
    """Whether it writes to the folder: a disk without room stops it."""

    is_locked: bool = True
    """Whether a second run on the folder is refused meanwhile."""

    def is_whole(self, found: State, before: State, after: State) -> bool:
        """Whether what a broken run left is the old state or the new one."""
        if self.name == "build" and found.get("README.md") == hashed(UNFINISHED.encode()):
            complete = {*before.items(), *after.items()}
            return {item for item in found.items() if item[0] != "README.md"} <= complete
        if self.name in ("train", "stream"):  # they have no result before they are finished
            return found == after or "result" not in found
        return found in (before, after)


def hashed(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def files_of(folder: Path, *, without: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the files of a folder that have final names."""
    return {
        path.relative_to(folder).as_posix(): hashed(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {WORK, *without} & set(path.relative_to(folder).parts)
        if not path.name.endswith((".part", ".partial"))
    }


def build_job(raw: Path, old: Path) -> Job:
    """Files of version 4 into a folder; half of the time over a dataset with other shards."""

    def setup(folder: Path, older: bool) -> None:
        if older:
            shutil.copytree(old, folder / "out")

    return Job(
        "build",
        lambda folder: ["build", str(raw), str(folder / "out"), "--rows-per-shard", "30", "--jobs", "1"],
        lambda folder: files_of(folder / "out"),
        setup,
        tuple(sorted(raw.glob("*.h5"))),
    )


def verify_job(raw: Path, built: Path) -> Job:
    """Every value against the HDF5 files; whatever happens, nothing changes."""
    return Job(
        "verify",
        lambda folder: ["verify", str(folder / "out"), "--against", str(raw)],
        lambda folder: files_of(folder / "out"),
        lambda folder, _: shutil.copytree(built, folder / "out") and None,
        tuple(sorted(raw.glob("*.h5"))),
        writes=False,
        is_locked=False,
    )


def push_job(hub: LocalHub, built: Path) -> Job:
    """To a repository with foreign files; what users see is its main branch."""

    def state(_: Path) -> State:
        repo = hub.repo(REPO)
        return {path: hashed(repo.content(entry)) for path, entry in repo.tree("main").items()}

    def setup(folder: Path, _: bool) -> None:
        hub.repos.pop(("dataset", REPO), None)
        hub.reset_log()
        hub.create_repo(REPO, files=FOREIGN)
        shutil.copytree(built, folder / "out")

    return Job(
        "push", lambda folder: ["push", str(folder / "out"), REPO], state, setup, (),
        writes=False, is_locked=False,
    )  # fmt: skip


def stream_job(built: Path) -> Job:
    """Every patch once, over any number of runs."""

    def state(folder: Path) -> State:
        diary = folder / "diary.json"
        if not diary.is_file():
            return {}
        kept = json.loads(diary.read_text())
        assert len(set(kept["ids"])) == len(kept["ids"]), "a patch came twice"
        return {"result": hashed(" ".join(sorted(kept["ids"])).encode())} if kept["done"] else {}

    return Job(
        "stream",
        lambda folder: ["stream", str(built), str(folder / "diary.json")],
        state,
        lambda folder, _: None,
        tuple(sorted(built.glob("data/train/*.parquet"))),
        is_locked=False,
    )


def train_job(args: Callable[[Path], list[str]], inputs: tuple[Path, ...]) -> Job:
    """Two epochs; a finished run has the weights of one that nobody broke off."""

    def state(folder: Path) -> State:
        run = folder / "run"
        found = files_of(run) if run.is_dir() else {}
        if not {"so2sat.json", "README.md"} <= found.keys():
            return {}
        kept = {path: digest for path, digest in found.items() if "/" not in path and path not in DATED}
        report = json.loads((run / "report.json").read_text())
        kept.pop("train_results.json", None)
        kept.pop("test_results.json", None)
        kept.pop("trainer_state.json", None)
        return {**kept, "result": hashed(json.dumps(report["confusion"]).encode())}

    return Job(
        "train", lambda folder: ["train", *args(folder / "run")], state, lambda folder, _: None, inputs
    )


def map_job(model: Path, scene: Path, old: Path) -> Job:
    """A small scene; half of the time over an older map."""

    def setup(folder: Path, older: bool) -> None:
        if older:
            shutil.copy(old, folder / "lcz.tif")

    return Job(
        "map",
        lambda folder: ["map", str(model), str(scene), str(folder / "lcz.tif"), "--tile", "16"],
        lambda folder: {path: digest for path, digest in files_of(folder).items() if path == "lcz.tif"},
        setup,
        (scene,),
    )
