"""One file against a server that cuts, stalls, refuses, lies and changes its mind."""

import hashlib
import resource
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from file_server import FileServer, Served, Twist, serving
from small_release import noise

from so2sat_hf.errors import FolderError, SourceError
from so2sat_hf.hub.answer import retry_after
from so2sat_hf.hub.partial import PartialFile
from so2sat_hf.hub.transfer import Patience, Remote, Wanted, Watch, fetch

BODY = noise(400_000)
CUT = 150_000
FAST = Patience(tries=3, first_wait=0.001, silence=20.0)
ONE_TRY = replace(FAST, tries=1)


def wanted(body: bytes) -> Wanted:
    return Wanted(len(body), hashlib.sha256(body).hexdigest())


@pytest.fixture
def remote(server: FileServer) -> Remote:
    """BODY, served without any fault unless a test adds one."""
    server.files["/file.h5"] = Served(BODY)
    return Remote(
        name="file.h5",
        url=f"{server.url}/file.h5",
        headers={"authorization": "Bearer hf_secret"},
        wanted=(wanted(BODY),),
        algorithm="sha256",
        with_ranges=True,
        advice="take --from elsewhere",
    )


def get(remote: Remote, tmp_path: Path, patience: Patience = FAST, **watch: Any) -> bytes:
    fetch(remote, tmp_path / "raw", patience=patience, watch=Watch(**watch))
    return (tmp_path / "raw" / remote.name).read_bytes()


def cut_once(remote: Remote, server: FileServer, tmp_path: Path) -> Path:
    """Leave the first CUT bytes in the folder, as a run does that gave up; return the partial file."""
    server.twists = [Twist(drop_after=CUT)]
    with pytest.raises(SourceError):
        get(remote, tmp_path, ONE_TRY)
    server.seen.clear()
    part = tmp_path / "raw" / "file.h5.part"
    assert part.read_bytes() == BODY[:CUT]
    return part


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


# cut connections


def test_a_dropped_connection_goes_on_where_it_was(
    remote: Remote, server: FileServer, tmp_path: Path
) -> None:
    """Not a byte twice; the server is asked to compare its entity tag; the user is told."""
    server.twists = [Twist(drop_after=CUT)]
    said: list[str] = []

    assert get(remote, tmp_path, say=said.append) == BODY

    assert server.asked("range") == [None, f"bytes={CUT}-"]
    assert server.asked("if-range") == [None, '"one"']
    assert len(said) == 1
    assert "from byte 150,000" in said[0]


def test_another_run_goes_on_too(remote: Remote, server: FileServer, tmp_path: Path, names: Callable) -> None:
    """The bytes of a run that gave up are read back and continued."""
    cut_once(remote, server, tmp_path)
    checked: list[tuple[str, int, int]] = []

    assert get(remote, tmp_path, checked=lambda *seen: checked.append(seen)) == BODY

    assert server.asked("range") == [f"bytes={CUT}-"]
    assert server.asked("if-range") == ['"one"']
    assert checked[-1] == ("file.h5", CUT, CUT)
    assert names() == ["file.h5"]


def test_progress_renews_patience(remote: Remote, server: FileServer, tmp_path: Path) -> None:
    """Ten cuts are no reason to give up with three tries, as each brought some bytes."""
    server.twists = [Twist(drop_after=30_000)] * 10

    assert get(remote, tmp_path) == BODY
    assert len(server.seen) == 11


def test_a_silent_server_is_asked_again(remote: Remote, server: FileServer, tmp_path: Path) -> None:
    """No byte for the time of patience is a lost connection."""
    server.twists = [Twist(stall_after=CUT)]
    said: list[str] = []

    assert get(remote, tmp_path, replace(FAST, silence=0.2), say=said.append) == BODY
    assert "file.h5: the server is silent; again in" in said[0]
    assert server.asked("range") == [None, f"bytes={CUT}-"]


def test_giving_up_says_that_the_same_command_continues(
    remote: Remote, server: FileServer, tmp_path: Path, names: Callable
) -> None:
    """After the last try without progress; the bytes stay."""
    server.twists = [Twist(drop_after=CUT), *[Twist(drop_after=0)] * 9]

    with pytest.raises(SourceError, match=r"3 tries in a row\)(.|\n)*it continues at byte 150,000"):
        get(remote, tmp_path)

    assert len(server.seen) == 3  # the first one brought bytes and counts as the first without more
    assert names() == ["file.h5.part", "file.h5.part.json"]


def test_an_unreachable_server_leaves_nothing(tmp_path: Path, remote: Remote, names: Callable) -> None:
    """The address is named, and no empty file stays."""
    nobody = replace(remote, url="http://127.0.0.1:9/file.h5")

    with pytest.raises(SourceError, match=r"127\.0\.0\.1:9/file\.h5: the connection failed") as caught:
        get(nobody, tmp_path)

    assert "take --from elsewhere" in caught.value.remedy
    assert names() == []


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


# wrong bytes


def test_a_wrong_hash_removes_the_bytes(
    remote: Remote, server: FileServer, tmp_path: Path, names: Callable
) -> None:
    """Found and expected hash, what to do, and no file of that name."""
    wrong = BODY[:-1] + bytes([BODY[-1] ^ 1])
    server.files["/file.h5"] = Served(wrong)

    with pytest.raises(SourceError) as caught:
        get(remote, tmp_path)

    assert caught.value.found == f"sha256 {wanted(wrong).digest}; the bytes were removed"
    assert caught.value.expected == wanted(BODY).digest
    assert "run the same command again" in caught.value.remedy
    assert names() == []


@pytest.mark.parametrize("algorithm", ["md5", "sha512"])
def test_other_hashes_are_compared_too(remote: Remote, tmp_path: Path, algorithm: str) -> None:
    """Of some files only the md5 is published."""
    right = hashlib.new(algorithm, BODY).hexdigest()

    get(replace(remote, wanted=(Wanted(len(BODY), right),), algorithm=algorithm), tmp_path)

    wrong = replace(remote, name="x", wanted=(Wanted(len(BODY), right[::-1]),), algorithm=algorithm)
    with pytest.raises(SourceError, match=rf"{algorithm} {right}"):
        get(wrong, tmp_path)


def test_bytes_that_rotted_between_two_runs_are_found(
    remote: Remote, server: FileServer, tmp_path: Path, names: Callable
) -> None:
    """The part that is continued is hashed as it lies there."""
    part = cut_once(remote, server, tmp_path)
    part.write_bytes(b"x" + BODY[1:CUT])

    with pytest.raises(SourceError, match="the bytes were removed"):
        get(remote, tmp_path)
    assert names() == []
    assert get(remote, tmp_path) == BODY


# the file on the server changes between two tries


NEW = noise(len(BODY), seed=1)


@pytest.mark.parametrize("checks_if_range", [True, False])
def test_a_replaced_file_starts_again(
    remote: Remote, server: FileServer, tmp_path: Path, *, checks_if_range: bool
) -> None:
    """Two halves of two files are never put together, whether the server compares the tag or not."""
    cut_once(replace(remote, wanted=(wanted(NEW),)), server, tmp_path)
    server.files["/file.h5"] = Served(NEW, etag='"two"', checks_if_range=checks_if_range)

    assert get(replace(remote, wanted=(wanted(NEW),)), tmp_path) == NEW


def test_a_weak_tag_is_compared_here(remote: Remote, server: FileServer, tmp_path: Path) -> None:
    """RFC 9110 forbids weak tags in If-Range; the answer tells all the same."""
    server.files["/file.h5"] = Served(BODY, etag='W/"one"')
    cut_once(replace(remote, wanted=(wanted(NEW),)), server, tmp_path)
    server.files["/file.h5"] = Served(NEW, etag='W/"two"')

    assert get(replace(remote, wanted=(wanted(NEW),)), tmp_path) == NEW
    assert server.asked("if-range") == [None, None]
    assert server.asked("range") == [f"bytes={CUT}-", None]


def test_without_a_tag_the_date_is_compared(remote: Remote, server: FileServer, tmp_path: Path) -> None:
    """Last-Modified serves in If-Range as well."""
    server.files["/file.h5"] = Served(BODY, etag=None, modified="Wed, 21 Oct 2015 07:28:00 GMT")
    cut_once(remote, server, tmp_path)

    assert get(remote, tmp_path) == BODY
    assert server.asked("if-range") == ["Wed, 21 Oct 2015 07:28:00 GMT"]
    assert server.asked("range") == [f"bytes={CUT}-"]


def test_without_tag_and_date_the_hash_decides(remote: Remote, server: FileServer, tmp_path: Path) -> None:
    """Continued all the same."""
    server.files["/file.h5"].etag = None
    cut_once(remote, server, tmp_path)

    assert get(remote, tmp_path) == BODY
    assert server.asked("range") == [f"bytes={CUT}-"]


@pytest.mark.parametrize("text", ["", "no json", '{"etag": 5}', '{"unknown": 1}', '{"total": 7}', "[]"])
def test_a_damaged_note_is_no_obstacle(remote: Remote, server: FileServer, tmp_path: Path, text: str) -> None:
    """What is known of the bytes may be lost; the hash still decides."""
    cut_once(remote, server, tmp_path)
    (tmp_path / "raw" / "file.h5.part.json").write_text(text)

    assert get(remote, tmp_path) == BODY


# servers without ranges


def test_a_server_without_ranges_starts_again(remote: Remote, server: FileServer, tmp_path: Path) -> None:
    """It answers 200 with everything; nothing is doubled, and the user is told."""
    server.files["/file.h5"].ranges = False
    server.twists = [Twist(drop_after=CUT)]
    said: list[str] = []

    assert get(remote, tmp_path, say=said.append) == BODY
    assert "from the beginning" in said[-1]


def test_where_ranges_are_known_to_fail_none_is_asked_for(
    remote: Remote, server: FileServer, tmp_path: Path
) -> None:
    """Asking could take longer than anybody waits; the announcement is right about where it goes on."""
    server.twists = [Twist(drop_after=CUT)]
    said: list[str] = []

    assert get(replace(remote, with_ranges=False), tmp_path, say=said.append) == BODY
    assert server.asked("range") == [None, None]
    assert "from the beginning" in said[0]


def test_without_ranges_cuts_do_not_renew_patience(
    remote: Remote, server: FileServer, tmp_path: Path, names: Callable
) -> None:
    """Or 52 GB would be begun for ever; bytes that no later run can use are removed at once."""
    server.twists = [Twist(drop_after=CUT + 1000 * index) for index in range(9)]

    with pytest.raises(SourceError, match="the same command again later: it starts this file again"):
        get(replace(remote, with_ranges=False), tmp_path)
    assert len(server.seen) == 3
    assert names() == []


# what an earlier run has left


def test_all_bytes_there_need_no_request(remote: Remote, server: FileServer, tmp_path: Path) -> None:
    """Killed between the last byte and the name: the hash, the name, done; also without ranges."""
    (tmp_path / "raw").mkdir()
    for name, with_ranges in (("a.h5", True), ("b.h5", False)):
        (tmp_path / "raw" / f"{name}.part").write_bytes(BODY)
        assert get(replace(remote, name=name, with_ranges=with_ranges), tmp_path) == BODY
    assert server.seen == []


def test_more_bytes_than_the_file_has_are_dropped(remote: Remote, server: FileServer, tmp_path: Path) -> None:
    """They are of something else."""
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "file.h5.part").write_bytes(BODY + BODY)

    assert get(remote, tmp_path) == BODY
    assert server.asked("range") == [None]


def test_a_finished_file_of_another_size_is_dropped(
    remote: Remote, server: FileServer, tmp_path: Path
) -> None:
    """All bytes of another revision, killed before it had its name."""
    part = cut_once(remote, server, tmp_path)
    (part.parent / "file.h5.part.json").write_text(f'{{"total": {CUT}}}')

    assert get(remote, tmp_path) == BODY
    assert server.asked("range") == [None]


def test_bytes_that_cannot_be_continued_are_not_read(remote: Remote, tmp_path: Path) -> None:
    """Hashing the 40 GB that a killed run has left would be for nothing."""
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "file.h5.part").write_bytes(BODY[:CUT])
    checked: list[object] = []

    assert (
        get(replace(remote, with_ranges=False), tmp_path, checked=lambda *seen: checked.append(seen)) == BODY
    )
    assert checked == []


def test_a_server_with_less_than_is_here_starts_again(
    remote: Remote, server: FileServer, tmp_path: Path
) -> None:
    """It answers 416; of two generations of a file it has the smaller one."""
    small = BODY[:1000]
    server.files["/file.h5"] = Served(small)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "file.h5.part").write_bytes(BODY[:CUT])

    assert get(replace(remote, wanted=(wanted(BODY), wanted(small))), tmp_path) == small
    assert server.asked("range") == [f"bytes={CUT}-", None]


def test_the_size_tells_which_of_two_files_it_is(remote: Remote, tmp_path: Path) -> None:
    """And without a stated hash the size is all that can be compared."""
    other = Wanted(1000, None)

    found = fetch(
        replace(remote, wanted=(other, wanted(BODY))), tmp_path / "raw", patience=FAST, watch=Watch()
    )
    assert found == wanted(BODY)
    unknown = replace(remote, name="b.h5", wanted=(Wanted(len(BODY), None),))
    assert get(unknown, tmp_path) == BODY


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
