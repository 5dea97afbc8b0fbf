"""Every request of a push fails once, in every way: it goes on, or a rerun does; main is never mixed."""

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from local_hub import Fault, LocalHub
from publishing import FOREIGN, REPO, run_push

from so2sat_hf.convert.build import build
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource, open_raw
from so2sat_hf.errors import HubError
from so2sat_hf.hub import card, patience
from so2sat_hf.hub.patience import Patience

ONCE = Patience(tries=1, silence=0.4)
"""Gives up at the first fault, as if the machine had been switched off."""

Begin = Callable[[], LocalHub]
"""Empties the Hub and puts the old dataset there."""

Hashes = tuple[dict[str, str], dict[str, str]]
"""The two states that main may have: path -> hash."""

FAULTS = {
    "503": Fault(status=503),
    "429": Fault(status=429, headers={"Retry-After": "0"}),
    "cut": Fault(cut="before"),
    "answer lost": Fault(cut="after"),
    "silence": Fault(silent=True),
}


@pytest.fixture(scope="module")
def folders(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The dataset that main shows, and the one to come: one split, so that a push has few requests."""
    root = tmp_path_factory.mktemp("faults")
    raw = root / "raw"
    raw.mkdir()
    for name in ("validation.h5", "validation_geo.h5"):
        shutil.copy(source.folder / name, raw / name)
    for name, rows in (("old", 45), ("new", 90)):
        build(open_raw(raw), root / name, BuildOptions(columns=("sen2",), rows_per_shard=rows), jobs=1)
    return root / "old", root / "new"


def files_of(folder: Path) -> dict[str, bytes]:
    """Everything that main should hold with this dataset."""
    paths = (*Manifest.read(folder).paths, "manifest.json")
    files = {path: (folder / path).read_bytes() for path in paths}
    return {**FOREIGN, **files, "README.md": card.readme_of(folder, REPO).encode()}


@pytest.fixture
def start(hub: LocalHub, login: Callable[[str], None], folders: tuple[Path, Path]) -> Callable[[], LocalHub]:
    """Put the old dataset on main of an empty Hub."""
    old = files_of(folders[0])

    def begin() -> LocalHub:
        hub.reset()
        login(hub.add_user("maria", orgs={"zhu-xlab": "write"}))
        hub.create_repo(REPO, files=old)
        repo = hub.repo(REPO)
        repo.tags["format-1.0"] = repo.head("main")  # that of the dataset before
        hub.reset_log()
        return hub

    return begin


def states_of_main(hub: LocalHub) -> list[dict[str, str]]:
    """Path -> hash of the files of every commit that main ever had, the newest first."""
    repo = hub.repo(REPO)
    histories = repo.history("main")
    return [
        {path: entry.sha256 or entry.oid for path, entry in commit.files.items() if path != ".gitattributes"}
        for commit in histories
    ]


def check_never_mixed(hub: LocalHub, old: dict[str, str], new: dict[str, str]) -> None:
    states = [state for state in states_of_main(hub) if state]
    assert all(state in (old, new) for state in states), [sorted(state) for state in states]
    assert sum(state == new for state in states) <= 1


def check_finished(hub: LocalHub, folder: Path) -> None:
    repo = hub.repo(REPO)
    assert {path: repo.read("main", path) for path in repo.tree("main") if path != ".gitattributes"} == (
        files_of(folder)
    )
    digest = Manifest.read(folder).digest
    assert repo.tags["format-1.0"] == repo.tags[f"data-{digest}"] == repo.head("main")
    assert [pull.status for pull in repo.pulls.values()] == ["closed"]


@pytest.fixture
def hashes(start: Begin, folders: tuple[Path, Path]) -> Hashes:
    """The two states that main may have, after an undisturbed push."""
    hub = start()
    (old, *_) = states_of_main(hub)
    run_push(folders[1])
    check_finished(hub, folders[1])
    (new, *_) = states_of_main(hub)
    return old, new


STEPS = [3, pytest.param(1, marks=pytest.mark.full)]
"""Every third request; in the long lane every one."""


def fail_every_request(start: Begin, folder: Path, hashes: Hashes, kinds: list[str], step: int = 1) -> None:
    """Push as often as a push has requests, and let one of them fail each time; the kinds take turns."""
    for at in count(step=step):
        hub = start()
        hub.inject(at=at, fault=FAULTS[kinds[at // step % len(kinds)]])
        run_push(folder)
        check_never_mixed(hub, *hashes)
        check_finished(hub, folder)
        if not any(request.fault for request in hub.log):
            break
    assert at > 40, "the push has become much shorter than it was"


@pytest.mark.parametrize("step", STEPS)
def test_every_request_fails_once(
    step: int, start: Begin, folders: tuple[Path, Path], hashes: Hashes
) -> None:
    """The built-in retry finishes the push, wherever the fault is."""
    fail_every_request(start, folders[1], hashes, list(FAULTS), step)


@pytest.mark.full
@pytest.mark.parametrize("name", FAULTS)
def test_every_request_fails_in_every_way(
    name: str, start: Begin, folders: tuple[Path, Path], hashes: Hashes
) -> None:
    """The same with each fault at each request."""
    fail_every_request(start, folders[1], hashes, [name])


@pytest.mark.parametrize("step", STEPS)
def test_every_request_ends_the_run(
    step: int,
    start: Begin,
    folders: tuple[Path, Path],
    hashes: Hashes,
) -> None:
    """Given up at any request, one line says so; the same push again finishes what was begun."""
    ended = 0
    for at in count(step=step):
        hub = start()
        hub.inject(at=at, fault=FAULTS["answer lost"])
        try:
            run_push(folders[1], patience=ONCE)
        except HubError as error:
            ended += 1
            sentences = str(error)
            check_never_mixed(hub, *hashes)
            run_push(folders[1])
            assert "\n" not in sentences
        check_never_mixed(hub, *hashes)
        check_finished(hub, folders[1])
        if not any(request.fault for request in hub.log):
            break
    assert ended > 0.8 * at / step


def test_five_interruptions_send_little_twice(
    hub: LocalHub, login: Callable[[str], None], source: RawSource, tmp_path: Path
) -> None:
    """Below 1.2 times the dataset, with a cut in the middle of a file each time."""
    folder = tmp_path / "out"
    build(source, folder, BuildOptions(rows_per_shard=20), jobs=1)
    login(hub.add_user("maria", orgs={"zhu-xlab": "write"}))
    hub.create_repo(REPO, files=FOREIGN)
    hub.reset_log()
    size = Manifest.read(folder).num_bytes
    shard = size // len(Manifest.read(folder).shards)
    for _ in range(5):
        hub.inject(when=lambda request: request.kind == "lfs-put", fault=Fault(status=0), times=3)
        hub.inject(when=lambda request: request.kind == "lfs-put", fault=Fault(cut=shard // 2))
        with pytest.raises(HubError, match="the connection failed"):
            run_push(folder, patience=ONCE)
    assert hub.repo(REPO).tree("main").keys() == {*FOREIGN, ".gitattributes"}
    run_push(folder)

    assert sum(request.received for request in hub.log) < 1.2 * size
    assert sum(request.received for request in hub.requests("lfs-put")) > size
    assert "manifest.json" in hub.repo(REPO).tree("main")


def test_the_hub_says_how_long_to_wait(
    start: Begin, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retry-After counts more than our own pauses; one that is too long ends the run."""
    waited: list[float] = []
    monkeypatch.setattr(patience.time, "sleep", waited.append)
    hub = start()
    hub.inject(at=3, fault=Fault(status=429, headers={"Retry-After": "37"}))
    run_push(folders[1])
    assert waited == [37.0]

    hub = start()
    hub.inject(at=3, fault=Fault(status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(HubError, match=r"asks to wait 3,600 s"):
        run_push(folders[1])


def test_somebody_else_writing_is_waited_for(start: Begin, folders: tuple[Path, Path]) -> None:
    """409 of a commit passes; the head is looked at again first."""
    hub = start()
    hub.inject(when=lambda request: request.kind == "commit", fault=Fault(status=409), times=2)
    run_push(folders[1])
    check_finished(hub, folders[1])


def test_pauses_get_longer() -> None:
    patient = Patience(tries=5, first_wait=1, longest_wait=3)
    assert [patient.pause(failures, None) for failures in range(1, 6)] == [1, 2, 3, 3, None]


def test_the_window_of_the_hub_counts(
    start: Begin, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It states its rate limits in a header of its own."""
    waited: list[float] = []
    monkeypatch.setattr(patience.time, "sleep", waited.append)
    hub = start()
    hub.inject(at=3, fault=Fault(status=429, headers={"RateLimit": '"api";r=0;t=240'}))
    run_push(folders[1])
    assert waited == [241.0]
