"""A release into a folder with little space, or with files already; and its unpacking."""

import gzip
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from file_server import FileServer, Served
from release_servers import FAST, HUB, PLAIN, VERSION, hub, plan_of, run
from small_release import gzipped, hub_path, noise, release

from so2sat_hf.errors import FolderError, SourceError
from so2sat_hf.facts import Version
from so2sat_hf.hub.download import download
from so2sat_hf.hub.listing import describe
from so2sat_hf.hub.pieces import Plan, State
from so2sat_hf.hub.transfer import Watch

__all__ = ["hub"]  # a fixture

pytestmark = pytest.mark.usefixtures("online")


# space


def test_space_is_checked_for_all_files_together(
    hub: FileServer, tmp_path: Path, refuse_disk: Callable[[int], None]
) -> None:
    """One byte too little: nothing is asked for, nothing is written; the sum is named."""
    total = sum(map(len, HUB.values()))
    refuse_disk(total - 1)

    with pytest.raises(FolderError, match=r"0\.00 GB free; expected 0\.00 GB to fetch"):
        run(hub, tmp_path / "raw")
    assert hub.seen == []
    assert not (tmp_path / "raw").exists()

    refuse_disk(total)
    assert run(hub, tmp_path / "raw")


def test_space_to_unpack_counts_too(
    hub: FileServer, tmp_path: Path, refuse_disk: Callable[[int], None]
) -> None:
    """Fetching and unpacking on one disk are one sum."""
    refuse_disk(len(HUB["testing.h5.gz"]) + len(PLAIN["testing.h5"]) - 1)

    with pytest.raises(FolderError, match=r"GB to fetch and .* GB to unpack"):
        run(hub, tmp_path / "raw", names=("testing",), unpack=True)
    assert run(hub, tmp_path / "raw", names=("testing",))


def test_two_disks_are_two_sums(hub: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each must hold what goes there."""
    work = tmp_path / "work"
    work.mkdir()
    stat = Path.stat

    def on_two_disks(path: Path, **options: Any) -> Any:
        found = stat(path, **options)
        if path != work:
            return found
        return os.stat_result([*found[:2], found.st_dev + 1, *found[3:]])

    monkeypatch.setattr(Path, "stat", on_two_disks)
    free = {work: len(PLAIN["testing.h5"]) - 1, tmp_path: len(HUB["testing.h5.gz"])}
    usage = lambda path: type("Usage", (), {"free": free[path]})  # noqa: E731
    monkeypatch.setattr("shutil.disk_usage", usage)

    with pytest.raises(FolderError, match=r"work: 0\.00 GB free; expected 0\.00 GB to unpack"):
        run(hub, tmp_path / "raw", names=("testing",), unpack=True, work=work)
    free[work] += 1
    with pytest.raises(SourceError, match="cannot be unpacked"):  # noise is no archive
        run(hub, tmp_path / "raw", names=("testing",), unpack=True, work=work)


def test_bytes_that_are_there_need_no_space(
    hub: FileServer, tmp_path: Path, refuse_disk: Callable[[int], None]
) -> None:
    """A partial file and a finished one."""
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "testing.h5.gz.part").write_bytes(HUB["testing.h5.gz"][:100_000])
    (raw / "testing_geo.h5").write_bytes(HUB["testing_geo.h5@2026"])
    refuse_disk(50_000)

    assert run(hub, raw, splits=("test",))
    assert hub.asked("range") == ["bytes=100000-"]


# what is there already


def test_finished_files_are_not_fetched_again(hub: FileServer, tmp_path: Path) -> None:
    """Known by their size, and with a checksum by their hash."""
    raw = tmp_path / "raw"
    run(hub, raw)
    hub.seen.clear()

    assert len(run(hub, raw)) == 6
    assert len(run(hub, raw, checksum=True)) == 6
    assert hub.seen == []
    assert describe(plan_of(hub, raw), raw).count("there already") == 6


def test_a_rotten_file_is_found_with_a_checksum(hub: FileServer, tmp_path: Path) -> None:
    """Found and expected hash; what a user has is not removed."""
    raw = tmp_path / "raw"
    run(hub, raw, splits=("test",))
    (raw / "testing.h5.gz").write_bytes(noise(len(HUB["testing.h5.gz"]), 99))

    assert run(hub, raw, splits=("test",))
    with pytest.raises(SourceError, match=r"testing\.h5\.gz: sha256 [0-9a-f]{64}; expected [0-9a-f]{64}"):
        run(hub, raw, splits=("test",), checksum=True)
    assert (raw / "testing.h5.gz").is_file()


@pytest.mark.parametrize("name", ["testing_geo.h5", "testing.h5.gz", "testing.h5"])
def test_something_else_under_the_name_is_left_alone(hub: FileServer, tmp_path: Path, name: str) -> None:
    """A geo file of 2025, or generated data: the user decides."""
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / name).write_bytes(b"mine")

    with pytest.raises(SourceError, match=rf"{name}: 4 bytes there already; expected .* as published"):
        run(hub, raw)
    assert (raw / name).read_bytes() == b"mine"
    assert hub.seen == []


def test_no_file_at_all_under_the_name(hub: FileServer, tmp_path: Path) -> None:
    """A folder, or a link that leads nowhere."""
    raw = tmp_path / "raw"
    (raw / "testing.h5.gz").mkdir(parents=True)
    with pytest.raises(SourceError, match=r"testing\.h5\.gz: a folder"):
        run(hub, raw)
    (raw / "testing.h5.gz").rmdir()
    (raw / "testing.h5.gz").symlink_to("nowhere")
    with pytest.raises(SourceError, match="a link that leads nowhere"):
        run(hub, raw)


@pytest.mark.parametrize("place", ["raw", "work"])
def test_an_unpacked_file_stands_for_its_archive(hub: FileServer, tmp_path: Path, place: str) -> None:
    """Who has unpacked and removed the archive does not fetch it again; a checksum looks at what is there."""
    raw, plain = tmp_path / "raw", tmp_path / place / "testing.h5"
    plain.parent.mkdir()
    plain.write_bytes(PLAIN["testing.h5"])
    version = replace(
        VERSION,
        files=tuple(
            replace(file, sha256="0" * 64) if file.path == "testing.h5" else file for file in VERSION.files
        ),
    )
    wish: dict[str, Any] = {"names": ("testing",), "unpack": True, "work": tmp_path / "work"}

    plan = plan_of(hub, raw, **wish)

    assert [piece.state for piece in plan.pieces] == [State.UNPACKED]
    assert plan.bytes_missing == plan.bytes_to_unpack == 0
    assert "unpacked: " in describe(plan, raw)
    assert [file.path for file in run(hub, raw, checksum=True, **wish)] == ["testing.h5"]
    with pytest.raises(SourceError, match=f"testing.h5: sha256 .*; expected {'0' * 64}"):
        run(hub, raw, version, checksum=True, **wish)
    assert hub.seen == []


def test_one_bad_file_does_not_cost_the_others(hub: FileServer, tmp_path: Path, names: Callable) -> None:
    """Those that are finished stay; the next run fetches what is missing."""
    hub.files[hub_path("testing.h5.gz")] = Served(noise(150_000, 99))
    with pytest.raises(SourceError, match="the bytes were removed"):
        run(hub, tmp_path / "raw")
    assert names() == ["testing_geo.h5", "training_geo.h5", "validation_geo.h5"]

    hub.files[hub_path("testing.h5.gz")] = Served(HUB["testing.h5.gz"])
    hub.seen.clear()
    run(hub, tmp_path / "raw")
    assert [seen.path.rpartition("/")[2] for seen in hub.seen] == [
        "testing.h5.gz",
        "validation.h5.gz",
        "training.h5.gz",
    ]


# unpacking


@pytest.fixture
def archive(hub: FileServer, raw: Path) -> Version:
    """A real testing.h5.gz on the Hub."""
    packed, plain = gzipped(raw / "testing.h5"), (raw / "testing.h5").read_bytes()
    hub.files[hub_path("testing.h5.gz")] = Served(packed)
    return release({"testing.h5.gz": packed, "testing.h5": plain})


@pytest.mark.parametrize("place", ["raw", "work"])
def test_files_are_unpacked_on_request(
    hub: FileServer, archive: Version, raw: Path, tmp_path: Path, place: str
) -> None:
    """Once, with progress, beside the archive or in another folder; the archive stays."""
    progress: list[tuple[str, int, int]] = []
    watch = Watch(unpacked=lambda *seen: progress.append(seen))
    folder = tmp_path / "raw"

    def unpack() -> Plan:
        plan = plan_of(hub, folder, archive, unpack=True, work=tmp_path / place)
        download(plan, folder, patience=FAST, watch=watch)
        return plan

    unpack()

    size = (raw / "testing.h5").stat().st_size
    assert (tmp_path / place / "testing.h5").read_bytes() == (raw / "testing.h5").read_bytes()
    assert gzip.decompress((folder / "testing.h5.gz").read_bytes())
    assert progress[-1] == ("testing.h5.gz", size, size)
    progress.clear()
    assert unpack().bytes_to_unpack == 0
    assert progress == []
    assert len(hub.seen) == 1


def test_a_plain_file_older_than_its_archive_is_unpacked_anew(
    hub: FileServer, archive: Version, raw: Path, tmp_path: Path
) -> None:
    """A build would refuse the two side by side."""
    folder = tmp_path / "raw"
    run(hub, folder, archive)
    (folder / "testing.h5").write_bytes(bytes((raw / "testing.h5").stat().st_size))
    os.utime(folder / "testing.h5", (1, 1))

    run(hub, folder, archive, unpack=True)

    assert (folder / "testing.h5").read_bytes() == (raw / "testing.h5").read_bytes()
