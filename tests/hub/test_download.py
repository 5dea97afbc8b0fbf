"""A release of small files into a folder: what is planned, fetched, left alone, checked and unpacked."""

import base64
import gzip
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from file_server import FileServer, Served, Twist
from small_release import gzipped, hub_path, noise, release

from so2sat_hf import facts
from so2sat_hf.errors import FolderError, So2SatError, SourceError
from so2sat_hf.facts import SourceFile, Version
from so2sat_hf.hub.download import download
from so2sat_hf.hub.listing import describe
from so2sat_hf.hub.pieces import Plan, Selection, State, plan_download
from so2sat_hf.hub.transfer import Patience, Watch

FAST = Patience(tries=2, first_wait=0.001, silence=20.0)
HUB = {
    "training.h5.gz": noise(300_000, 1),
    "validation.h5.gz": noise(200_000, 2),
    "testing.h5.gz": noise(150_000, 3),
    "training_geo.h5@2026": noise(30_000, 4),
    "validation_geo.h5@2026": noise(20_000, 5),
    "testing_geo.h5@2026": noise(10_000, 6),
}
PLAIN = {
    "training.h5": noise(900_000, 7),
    "validation.h5": noise(600_000, 8),
    "testing.h5": noise(500_000, 9),
    "training_geo.h5@2025": noise(70_000, 10),
    "validation_geo.h5@2025": noise(60_000, 11),
    "testing_geo.h5@2025": noise(50_000, 12),
}
VERSION = release(PLAIN | HUB)

pytestmark = pytest.mark.usefixtures("online")


@pytest.fixture
def hub(server: FileServer) -> FileServer:
    """A Hub with the six files of it."""
    server.files = {hub_path(key.partition("@")[0]): Served(body) for key, body in HUB.items()}
    return server


@pytest.fixture
def mediatum(server: FileServer) -> FileServer:
    """The web folder of mediaTUM, with the geo files of 2025."""
    server.files = {f"/dav/{key.partition('@')[0]}": Served(body) for key, body in PLAIN.items()}
    return server


def plan_of(server: FileServer, raw: Path, version: Version = VERSION, **wish: Any) -> Plan:
    if wish.get("mirror") == "mediatum":
        wish = {"base_url": f"{server.url}/dav", **wish}
    return plan_download(raw, Selection(endpoint=server.url, **wish), version=version)


def run(
    server: FileServer, raw: Path, version: Version = VERSION, *, checksum: bool = False, **wish: Any
) -> tuple[SourceFile, ...]:
    plan = plan_of(server, raw, version, **wish)
    return download(plan, raw, checksum=checksum, patience=FAST)


# what is fetched


def test_everything_from_the_hub(hub: FileServer, tmp_path: Path, names: Callable) -> None:
    """Six files with their bytes, at the pinned revision, smallest first, with the user's token."""
    found = run(hub, tmp_path / "raw")

    assert names() == sorted(key.partition("@")[0] for key in HUB)
    for key, body in HUB.items():
        assert (tmp_path / "raw" / key.partition("@")[0]).read_bytes() == body
    assert [file.bytes for file in found] == [10_000, 20_000, 30_000, 150_000, 200_000, 300_000]
    revision = facts.version("4").mirror("hub").revision
    assert all(f"/resolve/{revision}/v4/" in seen.path for seen in hub.seen)
    assert set(hub.asked("authorization")) == {"Bearer hf_secret"}
    assert all(agent and agent.startswith("so2sat_hf/") for agent in hub.asked("user-agent"))


def test_another_revision(hub: FileServer, tmp_path: Path) -> None:
    """A branch with a slash in its name is one part of the address; the hash is the safeguard."""
    hub.files[hub_path("testing_geo.h5", "refs%2Fpr%2F1")] = Served(HUB["testing_geo.h5@2026"])

    assert run(hub, tmp_path / "raw", names=("testing_geo",), revision="refs/pr/1")
    with pytest.raises(SourceError, match=r"404 Not Found(.|\n)*tree/main/v4, or take --from mediatum"):
        run(hub, tmp_path / "raw", names=("training_geo",), revision="main")


def test_everything_from_mediatum(mediatum: FileServer, tmp_path: Path, names: Callable) -> None:
    """Plain files with the public user and password, whichever generation the geo files have."""
    found = run(mediatum, tmp_path / "raw", mirror="mediatum")

    assert names() == sorted(key.partition("@")[0] for key in PLAIN)
    assert (tmp_path / "raw" / "training.h5").read_bytes() == PLAIN["training.h5"]
    assert sorted(file.generation for file in found if file.generation) == [2025] * 3
    login = base64.b64encode(b"m1836598:m1836598").decode()
    assert set(mediatum.asked("authorization")) == {f"Basic {login}"}
    mediatum.files["/dav/testing_geo.h5"] = Served(HUB["testing_geo.h5@2026"])
    again = run(mediatum, tmp_path / "again", mirror="mediatum", names=("testing_geo.h5",))
    assert [file.generation for file in again] == [2026]


def test_a_file_of_the_other_generation_must_be_right_too(mediatum: FileServer, tmp_path: Path) -> None:
    """Its size picks the hash."""
    mediatum.files["/dav/testing_geo.h5"] = Served(noise(len(HUB["testing_geo.h5@2026"]), 99))

    with pytest.raises(SourceError, match="the bytes were removed"):
        run(mediatum, tmp_path / "raw", mirror="mediatum", names=("testing_geo",))


def test_an_inferred_hash_is_said_to_be_one(mediatum: FileServer, tmp_path: Path) -> None:
    """Nobody has hashed validation.h5 of version 4, but it is known to be that of version 2."""
    mediatum.files["/dav/validation.h5"] = Served(noise(600_000, 99))

    with pytest.raises(SourceError) as caught:
        run(mediatum, tmp_path / "raw", mirror="mediatum", names=("validation",))
    assert caught.value.expected.endswith(" as in earlier versions")


def test_a_mirror_of_ones_own(mediatum: FileServer, tmp_path: Path) -> None:
    """Its user and password are taken from the address, and not shown."""
    address = mediatum.url.replace("http://", "http://me:se%40cret@") + "/dav/"
    wish = {"mirror": "mediatum", "names": ("testing_geo",), "base_url": address}

    run(mediatum, tmp_path / "raw", **wish)

    text = describe(plan_of(mediatum, tmp_path / "raw", **wish), tmp_path / "raw")
    assert f"from mediaTUM ({mediatum.url}/dav/) into" in text
    assert mediatum.asked("authorization") == [f"Basic {base64.b64encode(b'me:se@cret').decode()}"]
    mediatum.files.clear()
    with pytest.raises(SourceError) as caught:
        run(mediatum, tmp_path / "other", **wish)
    assert "cret" not in str(caught.value)
    assert str(caught.value).startswith(f"{mediatum.url}/dav/testing_geo.h5: the server answers 404")
    for wrong in ("ftp://host/", "host/dav", "http://"):
        with pytest.raises(So2SatError, match="--base-url: not a web address"):
            run(mediatum, tmp_path / "raw", mirror="mediatum", base_url=wrong)


def test_training_of_mediatum_is_never_continued(mediatum: FileServer, tmp_path: Path) -> None:
    """It is said beforehand, with the way to a file that is; the others are continued."""
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "training.h5.part").write_bytes(PLAIN["training.h5"][:1000])
    text = describe(plan_of(mediatum, raw, mirror="mediatum"), raw)
    for name in ("training", "testing"):
        mediatum.twists = [Twist(drop_after=1000)]
        run(mediatum, raw, mirror="mediatum", names=(name,))

    assert "mediaTUM cannot continue training.h5: if the connection is cut" in text
    assert "--from hub --files training.h5.gz" in text
    assert text.count("cannot continue") == 1
    assert "training.h5            0.90 MB  to fetch" in text
    assert [(seen.path, seen.headers.get("range")) for seen in mediatum.seen] == [
        ("/dav/training.h5", None),
        ("/dav/training.h5", None),
        ("/dav/testing.h5", None),
        ("/dav/testing.h5", "bytes=1000-"),
    ]


def test_offline_means_offline(hub: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HUB_OFFLINE is respected."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(SourceError, match="HF_HUB_OFFLINE is set"):
        run(hub, tmp_path / "raw")
    assert hub.seen == []


# choosing


@pytest.mark.parametrize(
    ("splits", "names", "expected"),
    [
        (("validation",), (), ["validation.h5.gz", "validation_geo.h5"]),
        (("train", "test"), ("testing_geo.h5",), ["testing_geo.h5"]),
        ((), ("validation", "training_geo.h5"), ["training_geo.h5", "validation.h5.gz"]),
        ((), ("validation.h5",), ["validation.h5.gz"]),
        ((), ("validation.h5.gz",), ["validation.h5.gz"]),
    ],
)
def test_files_are_chosen_by_split_and_name(
    tmp_path: Path, splits: tuple[str, ...], names: tuple[str, ...], expected: list[str]
) -> None:
    """Names with or without what comes after the dot."""
    plan = plan_download(tmp_path, Selection(splits=splits, names=names), version=VERSION)

    assert sorted(piece.path.name for piece in plan.pieces) == expected


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"splits": ("tests",)}, "tests: unknown; expected one of test, train, validation"),
        ({"names": ("train.h5",)}, "train: unknown; expected one of testing, testing_geo, training"),
        ({"splits": ("test",), "names": ("training",)}, "test, training: no file is in both"),
    ],
)
def test_unknown_files_are_refused(tmp_path: Path, wish: dict[str, Any], message: str) -> None:
    """With what there is."""
    with pytest.raises(So2SatError, match=message):
        plan_download(tmp_path, Selection(**wish), version=VERSION)


def test_the_published_sizes(tmp_path: Path) -> None:
    """18.2 GB from the Hub, 59.2 GB from mediaTUM (where geo files may be the larger ones)."""
    hub = plan_download(tmp_path, Selection(unpack=True))
    mediatum = plan_download(tmp_path, Selection("mediatum"))

    assert hub.bytes_missing == 16_002_423_246 + 1_100_208_338 + 1_100_520_239 + 3_764_259 + 238_950 + 238_360
    assert hub.bytes_to_unpack == 400_673 * 147_592 + 3 * 2_048
    assert mediatum.bytes_missing == hub.bytes_to_unpack + 35_238_648 + 2_413_948 + 2_420_848
    assert [piece.path.name for piece in mediatum.pieces if not piece.with_ranges] == ["training.h5"]


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
