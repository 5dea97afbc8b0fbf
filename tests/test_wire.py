"""Who is answered, and who gets what proves who we are: the server of the browse page, tokens, passwords."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from so2sat_hf.cli import cli
from so2sat_hf.convert.build import build
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.hub import ranges
from so2sat_hf.load.files import open_place
from so2sat_hf.maps.serve import serving


@pytest.fixture(scope="module")
def out(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wire") / "out"
    build(source, folder, jobs=1)
    return folder


# the server of the browse page


@pytest.fixture(scope="module")
def ask(out: Path) -> Any:
    """Send bytes to the server, return the first line of its answer."""
    with serving("<p>page", open_place(out)) as address:
        port = int(address.rpartition(":")[2].strip("/"))

        def say(path: str, host: str | None) -> str:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as wire:
                head = f"Host: {host.format(port=port)}\r\n" if host is not None else ""
                wire.sendall(f"GET {path} HTTP/1.0\r\n{head}\r\n".encode())
                return wire.makefile().readline().strip()

        say.port = port  # type: ignore[attr-defined]
        yield say


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "localhost:9", "[::1]:{port}"])
def test_the_server_answers_this_machine(ask: Callable[..., str], host: str) -> None:
    """By each of its names, through a tunnel, too."""
    assert ask("/", host).split()[1] == "200"


@pytest.mark.parametrize("host", [None, "", "evil.example", "evil.example:{port}", "127.0.0.1.evil.example"])
def test_the_server_refuses_other_names(ask: Callable[..., str], host: str | None) -> None:
    """A page whose name was pointed at this machine gets nothing (DNS rebinding)."""
    assert ask("/", host).split()[1] == "403"
    assert ask("/picture/training_000000.png", host).split()[1] == "403"


@pytest.mark.parametrize(
    "path",
    [
        "/manifest.json", "/../manifest.json", "/picture/../../etc/passwd", "/picture/%2e%2e/manifest.json",
        "//etc/passwd", "http://127.0.0.1/", "/picture/training_000000.png/..",
        "/picture/training_000000.png?x",
        "/picture/training_\N{ARABIC-INDIC DIGIT ONE}00000.png",
    ],
)  # fmt: skip
def test_the_server_has_no_files(ask: Callable[..., str], path: str) -> None:
    """One page and pictures; whatever else is asked for is not there."""
    assert ask(path, "localhost").split()[1:2] in (["404"], ["400"])


def test_the_server_listens_to_this_machine_alone(ask: Any) -> None:
    """Linux gives 127.0.0.2 to this machine, too; a server for everybody would answer there."""
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", ask.port), timeout=5):
        pass


# the wire


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("https://hub.example/blob", True),
        ("http://hub.example/blob", False),
        ("https://hub.example:8443/blob", False),
        ("https://storage.example/blob", False),
    ],
)
def test_a_token_follows_no_redirect_elsewhere(
    target: str, monkeypatch: pytest.MonkeyPatch, *, kept: bool
) -> None:
    """Not to another host, nor to the same one without encryption."""
    asked = []

    def answer(request: Any) -> Any:
        asked.append(request)
        if len(asked) == 1:
            return ranges.httpx.Response(302, headers={"location": target})
        return ranges.httpx.Response(206, content=iter([b"abcd"]), headers={"content-range": "bytes 0-3/4"})

    client = ranges.httpx.Client(transport=ranges.httpx.MockTransport(answer))
    headers = {"authorization": "Bearer hf_secret"}
    monkeypatch.setattr(ranges, "_client", lambda: client)
    monkeypatch.setattr(ranges, "_STORAGE", {})
    monkeypatch.setattr(ranges, "file_request", lambda *_, **__: ("https://hub.example/x", headers))

    assert ranges.HubFile("a/b", "c" * 40, "x", 4).read(0, 4) == b"abcd"

    assert [request.headers.get("authorization") is not None for request in asked] == [True, kept]


def test_a_password_goes_over_no_open_wire(tmp_path: Path) -> None:
    """That of another address of mediaTUM; what is refused does not show it."""
    url = "http://me:pass-word@mirror.example/dav"
    result = CliRunner().invoke(
        cli, ["download", str(tmp_path), "--from", "mediatum", "--files", "testing_geo", "--base-url", url],
        env={"HF_HUB_OFFLINE": "0"},
    )  # fmt: skip

    assert result.exit_code == 1
    assert "without encryption" in result.stderr
    assert "pass-word" not in result.output
