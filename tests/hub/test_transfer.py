"""One file from a server that answers, asks to wait, refuses and redirects; the token; the folder."""

import resource
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from file_server import FileServer, Served, Twist, serving
from transfers import BODY, CUT, ONE_TRY, cut_once, get

from so2sat_hf.errors import FolderError, SourceError
from so2sat_hf.hub.answer import retry_after
from so2sat_hf.hub.partial import PartialFile
from so2sat_hf.hub.transfer import Patience, Remote

# all well


def test_a_file_arrives(remote: Remote, server: FileServer, tmp_path: Path, names: Callable) -> None:
    """With its bytes, one request, and progress from 0 to the end; nothing else is left behind."""
    progress: list[tuple[str, int, int]] = []

    assert get(remote, tmp_path, fetched=lambda *seen: progress.append(seen)) == BODY

    assert names() == ["file.h5"]
    assert len(server.seen) == 1
    assert progress[0] == ("file.h5", 0, len(BODY))
    assert progress[-1] == ("file.h5", len(BODY), len(BODY))


def test_without_a_length_the_known_size_counts(remote: Remote, server: FileServer, tmp_path: Path) -> None:
    """A server that does not say how long a file is, cut once without anybody noticing."""
    server.files["/file.h5"].length = False
    server.twists = [Twist(drop_after=CUT)]

    assert get(remote, tmp_path) == BODY
    assert len(server.seen) == 2


# answers that pass


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_answers_are_tried_again_with_longer_pauses(
    remote: Remote, server: FileServer, tmp_path: Path, pauses: list[float], status: int
) -> None:
    """Pauses double."""
    server.twists = [Twist(status)] * 2

    assert get(remote, tmp_path, Patience(first_wait=2)) == BODY
    assert pauses == [2, 4]


def test_no_pause_is_longer_than_patience_allows(
    remote: Remote, server: FileServer, tmp_path: Path, pauses: list[float]
) -> None:
    """Doubling ends somewhere."""
    server.twists = [Twist(503)] * 5

    get(remote, tmp_path, Patience(first_wait=2, longest_wait=5))

    assert pauses == [2, 4, 5, 5, 5]


def test_the_server_says_how_long_to_wait(
    remote: Remote, server: FileServer, tmp_path: Path, pauses: list[float]
) -> None:
    """Retry-After is honoured, longer than the own pauses or not."""
    server.twists = [Twist(429, {"retry-after": "200"}), Twist(503, {"retry-after": "0"})]
    said: list[str] = []

    assert get(remote, tmp_path, say=said.append) == BODY
    assert pauses == [200, 0]
    assert "429 Too Many Requests; again in 200 s" in said[0]


def test_retry_after_may_be_a_date() -> None:
    """RFC 9110, section 10.2.3: seconds or a date; anything else is not understood."""
    assert retry_after({"retry-after": " 7 "}) == 7
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 28 < (retry_after({"retry-after": soon}) or 0) <= 30
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after({"retry-after": "later"}) is None
    assert retry_after({}) is None


def test_an_hour_is_too_long(remote: Remote, server: FileServer, tmp_path: Path, pauses: list[float]) -> None:
    """The user is told instead of kept waiting."""
    server.twists = [Twist(429, {"retry-after": "3600"})]

    with pytest.raises(SourceError, match="429 Too Many Requests, and asks to wait 3,600 s"):
        get(remote, tmp_path)
    assert pauses == []


# the server has no such file, or not for this user


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_not_repeated(
    remote: Remote, server: FileServer, tmp_path: Path, status: int, names: Callable
) -> None:
    """What the server says, what to do, one request; the token is not shown."""
    server.twists = [Twist(status, {"x-error-message": "Invalid credentials"})]

    with pytest.raises(
        SourceError, match=rf"the server answers {status} .*\(Invalid credentials\)"
    ) as caught:
        get(remote, tmp_path)

    assert "take --from elsewhere" in str(caught.value)
    assert "hf_secret" not in str(caught.value) + repr(remote)
    assert len(server.seen) == 1
    assert names() == []


def test_another_size_is_refused_before_it_is_fetched(
    remote: Remote, server: FileServer, tmp_path: Path, names: Callable
) -> None:
    """A login page with status 200 is recognised as a web page."""
    server.files["/file.h5"] = Served(b"<html>", kind="text/html; charset=utf-8")

    with pytest.raises(SourceError, match="6 bytes, a web page; expected 400,000 bytes"):
        get(remote, tmp_path)
    assert names() == []


def test_another_size_does_not_cost_the_bytes_that_are_there(
    remote: Remote, server: FileServer, tmp_path: Path
) -> None:
    """They belong to the published file, which may come back."""
    part = cut_once(remote, server, tmp_path)
    server.files["/file.h5"] = Served(b"<html>", etag='"two"')

    with pytest.raises(SourceError, match="6 bytes"):
        get(remote, tmp_path)
    assert part.read_bytes() == BODY[:CUT]


def test_too_many_bytes_are_not_kept(
    remote: Remote, server: FileServer, tmp_path: Path, names: Callable
) -> None:
    """A server that sends without an end does not fill the disk."""
    server.files["/file.h5"] = Served(BODY + b"more", length=False)

    with pytest.raises(SourceError, match="more than 400,000 bytes"):
        get(remote, tmp_path)
    assert names() == []


def test_no_address_at_all(remote: Remote, tmp_path: Path) -> None:
    """Neither a traceback nor a second try."""
    with pytest.raises(SourceError, match="cannot be asked for"):
        get(replace(remote, url="ftp://127.0.0.1/file.h5"), tmp_path)


# the token stays with the host it is for


def test_a_redirect_to_another_host_carries_no_token(
    remote: Remote, server: FileServer, tmp_path: Path
) -> None:
    """As the Hub does for big files; the range goes along."""
    with serving() as storage:
        storage.files["/blob"] = Served(BODY)
        moved = Twist(302, {"location": f"{storage.url}/blob?signature=s", "x-linked-etag": '"sha"'})
        storage.files["/blob?signature=s"] = Served(BODY)
        server.twists, storage.twists = [moved, moved], [Twist(drop_after=CUT)]

        assert get(remote, tmp_path) == BODY

        assert server.asked("authorization") == ["Bearer hf_secret"] * 2
        assert storage.asked("authorization") == [None, None]
        assert storage.asked("range") == [None, f"bytes={CUT}-"]


def test_tags_of_the_content_outlive_those_of_the_storage(
    remote: Remote, server: FileServer, tmp_path: Path
) -> None:
    """The Hub redirects to storage whose own tags may differ each time; only another content starts again."""
    with serving() as storage:

        def moved(linked: str) -> Twist:
            return Twist(302, {"location": f"{storage.url}/blob", "x-linked-etag": linked})

        storage.files["/blob"] = Served(BODY, etag='"one"')
        server.twists, storage.twists = [moved('"sha"')], [Twist(drop_after=CUT)]
        with pytest.raises(SourceError):
            get(remote, tmp_path, ONE_TRY)
        storage.files["/blob"] = Served(BODY, etag='"two"')
        server.twists = [moved('"sha"')]
        assert get(remote, tmp_path) == BODY
        assert storage.asked("range") == [None, f"bytes={CUT}-"]
        assert storage.asked("if-range") == [None, None]

        again = replace(remote, name="b.h5")
        server.twists, storage.twists = [moved('"sha"')], [Twist(drop_after=CUT)]
        with pytest.raises(SourceError):
            get(again, tmp_path, ONE_TRY)
        server.twists = [moved('"new"')] * 2
        storage.seen.clear()
        assert get(again, tmp_path) == BODY
        assert storage.asked("range") == [f"bytes={CUT}-", None]


def test_a_circle_of_redirects_ends(remote: Remote, server: FileServer, tmp_path: Path) -> None:
    """With one error."""
    server.twists = [Twist(302, {"location": remote.url})] * 50

    with pytest.raises(SourceError, match="cannot be asked for"):
        get(remote, tmp_path)


@pytest.mark.parametrize("token", ["Bearer hf_secret\nx", "Bearer hf_secret\N{EURO SIGN}"])
def test_a_malformed_token_is_not_shown(remote: Remote, tmp_path: Path, token: str) -> None:
    """Libraries quote the header they refuse; neither message nor chain may."""
    with pytest.raises(SourceError, match="hf auth login") as caught:
        get(replace(remote, headers={"authorization": token}), tmp_path)

    assert "hf_secret" not in str(caught.value)
    assert caught.value.__suppress_context__


# the folder


def test_one_process_at_a_time(remote: Remote, server: FileServer, tmp_path: Path) -> None:
    """Two would write into the same file."""
    (tmp_path / "raw").mkdir()

    with (
        PartialFile(tmp_path / "raw" / "file.h5", algorithm="sha256"),
        pytest.raises(FolderError, match="another process is downloading it"),
    ):
        get(remote, tmp_path)
    assert server.seen == []
    assert get(remote, tmp_path) == BODY


def test_a_disk_that_fills_up_keeps_the_bytes(
    remote: Remote, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system refuses to write on: one error; with space again the same command continues."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (CUT, limits[1]))
        with pytest.raises(FolderError, match=r"raw: cannot be written \(File too large\)") as caught:
            get(remote, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)

    assert "it continues" in caught.value.remedy
    assert (tmp_path / "raw" / "file.h5.part").stat().st_size == CUT
    assert get(remote, tmp_path) == BODY
    assert server.asked("range") == [None, f"bytes={CUT}-"]


def test_a_folder_that_may_not_be_written(
    remote: Remote, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One error before anything is asked for."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)

    with pytest.raises(FolderError, match=r"cannot be written \(Permission denied\)"):
        get(remote, tmp_path)
    assert server.seen == []


def test_a_file_in_the_way_of_the_folder(remote: Remote, tmp_path: Path) -> None:
    """It is not touched."""
    (tmp_path / "raw").write_text("mine")

    with pytest.raises(FolderError, match="a file, or below a file"):
        get(remote, tmp_path)
    assert (tmp_path / "raw").read_text() == "mine"
