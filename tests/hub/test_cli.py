"""``so2sat download`` as typed, and killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import small_release
from click.testing import CliRunner, Result
from file_server import FileServer, Served, Twist
from small_release import hub_path, noise, release, write_release

from so2sat_hf import facts
from so2sat_hf.cli import cli
from so2sat_hf.cli.hub import download

BODY = noise(600_000)
CUT = 250_000


@pytest.fixture(scope="module", autouse=True)
def registered() -> None:
    """The command is part of the group."""
    cli.add_command(download)


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, ["download", *map(str, args)])


@pytest.fixture
def typed(tmp_path: Path, server: FileServer) -> Callable[..., list[str]]:
    """The command in a process of its own, with a release of two files, against the server as Hub."""
    server.files = {hub_path("testing.h5.gz"): Served(BODY), hub_path("testing_geo.h5"): Served(b"geo" * 9)}
    write_release(release({"testing.h5.gz": BODY, "testing_geo.h5@2026": b"geo" * 9}), tmp_path / "release")
    start = [sys.executable, small_release.__file__, str(tmp_path / "release"), "download"]
    return lambda *args: [*start, str(tmp_path / "raw"), *args]


@pytest.fixture
def environment(server: FileServer) -> dict[str, str]:
    ours = {"HF_ENDPOINT": server.url, "HF_TOKEN": "hf_secret", "HF_HUB_OFFLINE": "0"}
    return {**os.environ, **ours, "HF_HUB_DISABLE_TELEMETRY": "1"}


def test_the_command_fetches(
    typed: Callable[..., list[str]], environment: dict[str, str], tmp_path: Path
) -> None:
    """From the Hub of HF_ENDPOINT: what will be done, what was done, what is next; no token, no bar."""
    done = subprocess.run(typed(), env=environment, capture_output=True, text=True, check=True)

    raw = tmp_path / "raw"
    assert (raw / "testing.h5.gz").read_bytes() == BODY
    assert done.stdout == f"{raw}: 2 files of version 4, 0.60 MB\n"
    assert "zhu-xlab/So2Sat-LCZ42 at b5c817486899935e864832b93086cc87f3eee473" in done.stderr
    assert "testing.h5.gz          0.60 MB  to fetch" in done.stderr
    assert f"Next: so2sat build {raw} OUT" in done.stderr
    assert "hf_secret" not in done.stdout + done.stderr
    assert "B/s" not in done.stderr


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_stopped_at_any_time_the_same_command_continues(
    typed: Callable[..., list[str]],
    environment: dict[str, str],
    server: FileServer,
    tmp_path: Path,
    ending: signal.Signals,
) -> None:
    """Ctrl-C, kill -9 and a shutdown: no file of that name, no byte twice."""
    server.twists = [Twist(), Twist(stall_after=CUT)]
    part = tmp_path / "raw" / "testing.h5.gz.part"
    process = subprocess.Popen(typed(), env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (part.is_file() and part.stat().st_size > CUT - (1 << 16)) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(ending)
    _, stderr = process.communicate(timeout=60)

    assert process.returncode != 0
    assert not (tmp_path / "raw" / "testing.h5.gz").exists()
    if ending == signal.SIGINT:
        assert process.returncode == 130
        assert "Run the same command again: it continues." in stderr
    assert "Traceback" not in stderr
    there = part.stat().st_size
    subprocess.run(typed(), env=environment, check=True, capture_output=True)
    assert server.asked("range") == [None, None, f"bytes={there}-"]
    assert (tmp_path / "raw" / "testing.h5.gz").read_bytes() == BODY
    assert not list((tmp_path / "raw").glob("*.part*"))


def test_the_user_says_how_long_silence_may_last(
    typed: Callable[..., list[str]], environment: dict[str, str], server: FileServer
) -> None:
    """Then the connection counts as lost, and the transfer goes on."""
    server.twists = [Twist(), Twist(stall_after=CUT)]
    command = typed("--timeout", "0.5")

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=20)

    assert "testing.h5.gz: the server is silent; again in 1 s, from byte 250,000" in done.stderr


def test_an_error_is_one_message(
    typed: Callable[..., list[str]], environment: dict[str, str], server: FileServer
) -> None:
    """Exit code 1, no traceback, no token."""
    server.twists = [Twist(401, {"x-error-message": "Invalid credentials in Authorization header"})]

    done = subprocess.run(typed(), env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "the server answers 401 Unauthorized (Invalid credentials in Authorization header)" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hf_secret" not in done.stderr


@pytest.mark.usefixtures("online")
def test_geo_files_of_2025_come_with_a_warning(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of training_geo.h5 nobody has stated a hash, and its positions are known to be wrong."""
    version = release({"training_geo.h5@2025": b"old" * 9, "validation_geo.h5@2025": b"val" * 8})
    server.files = {"/training_geo.h5": Served(b"old" * 9), "/validation_geo.h5": Served(b"val" * 8)}
    monkeypatch.setattr(facts, "version", lambda _: version)

    result = run(tmp_path / "raw", "--from", "mediatum", "--base-url", server.url)

    assert result.exit_code == 0, result.output
    assert "training_geo.h5 is of generation 2025: Known to hold wrong positions" in result.stderr
    assert "training_geo.h5: nobody has stated its hash, so only its size was compared" in result.stderr
    assert "validation_geo.h5 is of generation 2025: their positions" in result.stderr
    assert "validation_geo.h5: nobody" not in result.stderr


@pytest.mark.parametrize(("version", "num_files"), [("1", 2), ("2", 3), ("3", 6)])
def test_earlier_versions_are_described(version: str, num_files: int) -> None:
    """Every address, size and hash that is known, and commands to get and check each file."""
    result = run("--version", version)

    assert result.exit_code == 0, result.output
    published = facts.version(version)
    assert all(url in result.stdout for url in published.urls)
    for file in published.files:
        assert f"{file.bytes:,} bytes" in result.stdout if file.bytes else "not stated" in result.stdout
        for digest in (file.md5, file.sha256, file.sha512):
            assert digest is None or digest in result.stdout
    assert result.stdout.count("wget -c -P raw") == num_files
    program = "sha256sum" if version == "1" else "md5sum"  # what was stated of these very files
    assert result.stdout.count(f"| {program} -c\n") == num_files


def test_commands_of_earlier_versions(tmp_path: Path) -> None:
    """They name the folder, quoted, and one file; of version 3 its folder too."""
    result = run(tmp_path / "my $raw", "--version", "3", "--files", "random/testing")

    ftp = "ftp://m1613658:m1613658@dataserv.ub.tum.de/random/testing.h5"
    assert f"wget -c -P '{tmp_path}/my $raw/random' {ftp}" in result.stdout
    line = next(line for line in result.stdout.splitlines() if line.endswith("| md5sum -c"))
    assert "block" not in result.stdout
    (tmp_path / "my $raw" / "random").mkdir(parents=True)
    (tmp_path / "my $raw" / "random" / "testing.h5").write_bytes(b"")
    checked = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert "testing.h5: FAILED" in checked.stdout
    empty = line.replace("1e15c425585ce816342d1cd779d453d8", "d41d8cd98f00b204e9800998ecf8427e")
    assert "testing.h5: OK" in subprocess.check_output(["bash", "-c", empty], text=True)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "RAW: missing"),
        (("raw", "--from", "mediatum", "--revision", "main"), "--revision: mediaTUM has no revisions"),
        (("raw", "--from", "mediatum", "--unpack"), "--unpack: the files of mediaTUM are plain"),
        (("raw", "--base-url", "http://x/"), "--base-url: only mediaTUM has another address"),
        (("raw", "--work", "w"), "--work: nothing is unpacked without --unpack"),
        (("--version", "2", "--from", "hub"), "--from: version 2 is not fetched"),
        (("--version", "2", "--unpack"), "--unpack: version 2 is not fetched"),
        (("--version", "2", "--checksum"), "--checksum: version 2 is not fetched"),
        (("raw", "--files", "training.csv"), "training.csv: unknown; expected one of testing"),
        (("--version", "1", "--split", "test"), "test: unknown; expected one of train, validation"),
    ],
)
def test_options_without_effect_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], message: str
) -> None:
    """One clear error each, and nothing is written."""
    monkeypatch.chdir(tmp_path)

    result = run(*args)

    assert result.exit_code == 1
    assert message in result.stderr
    assert not list(tmp_path.iterdir())
