"""One file against a server that cuts, stalls, lies and changes its mind."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from file_server import FileServer, Served, Twist
from small_release import noise
from transfers import BODY, CUT, FAST, cut_once, get, wanted

from so2sat_hf.errors import SourceError
from so2sat_hf.hub.transfer import Remote, Wanted, Watch, fetch

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
