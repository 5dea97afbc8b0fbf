"""A release of small files into a folder: what is chosen, planned and fetched from either place."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from file_server import FileServer, Served, Twist
from release_servers import HUB, PLAIN, VERSION, hub, plan_of, run
from small_release import hub_path, noise

from so2sat_hf import facts
from so2sat_hf.errors import So2SatError, SourceError
from so2sat_hf.hub.listing import describe
from so2sat_hf.hub.pieces import Selection, plan_download

__all__ = ["hub"]  # a fixture

pytestmark = pytest.mark.usefixtures("online")


@pytest.fixture
def mediatum(server: FileServer) -> FileServer:
    """The web folder of mediaTUM, with the geo files of 2025."""
    server.files = {f"/dav/{key.partition('@')[0]}": Served(body) for key, body in PLAIN.items()}
    return server


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
