"""A web server for tests, in a thread: it serves bytes, and misbehaves as told."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR

CHUNK = 1 << 14


@dataclass
class Served:
    """A file on the server."""

    body: bytes
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    """Whether it answers a Range with 206."""
    checks_if_range: bool = True
    """Whether it compares If-Range, as it should."""
    length: bool = True
    """Whether it says how long the file is."""
    kind: str = "application/octet-stream"


@dataclass
class Twist:
    """How one answer differs from the right one."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    drop_after: int | None = None
    """Bytes of the body, then the connection is cut."""
    stall_after: int | None = None
    """Bytes of the body, then nothing more comes."""


@dataclass
class Seen:
    """A request that came in."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""


class FileServer:
    """What is served, how the next answers are twisted, and what was asked."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.twists: list[Twist] = []
        self.seen: list[Seen] = []
        self.closing = threading.Event()
        self.url = ""

    def asked(self, name: str) -> list[str | None]:
        """A header of every request so far."""
        return [seen.headers.get(name) for seen in self.seen]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: FileServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server = self.files
        server.seen.append(Seen(self.path, {name.lower(): value for name, value in self.headers.items()}))
        twist = server.twists.pop(0) if server.twists else Twist()
        served = server.files.get(self.path)
        if twist.status or served is None:
            self.send_response(twist.status or 404)
            for name, value in {"content-length": "0", **twist.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            return
        start = self.start_of(served)
        if start > len(served.body) - 1:
            self.send_response(416)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        self.send_head(served, start, twist)
        self.send_body(served.body[start:], twist)

    def start_of(self, served: Served) -> int:
        asked, condition = self.headers.get("range"), self.headers.get("if-range")
        if not asked or not served.ranges:
            return 0
        if condition and served.checks_if_range and condition not in (served.etag, served.modified):
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def send_head(self, served: Served, start: int, twist: Twist) -> None:
        size = len(served.body)
        self.send_response(206 if start else 200)
        head = {"content-type": served.kind, "etag": served.etag, "last-modified": served.modified}
        if start:
            head["content-range"] = f"bytes {start}-{size - 1}/{size}"
        if served.length:
            head["content-length"] = str(size - start)
        else:
            head["connection"] = "close"
        for name, value in {**head, **twist.headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def send_body(self, body: bytes, twist: Twist) -> None:
        stops = [stop for stop in (twist.drop_after, twist.stall_after) if stop is not None]
        try:
            for at in range(0, min([len(body), *stops]), CHUNK):
                self.wfile.write(body[at : min([at + CHUNK, *stops])])
            if twist.stall_after is not None:
                self.files.closing.wait(30)
            if stops:
                self.close_connection = True
                self.connection.shutdown(SHUT_RDWR)
        except OSError:
            self.close_connection = True  # the client has gone


@contextmanager
def serving(host: str = "127.0.0.1") -> Iterator[FileServer]:
    """Serve on a free port until the end of the block."""
    files = FileServer()
    handler = type("BoundHandler", (Handler,), {"files": files})
    with ThreadingHTTPServer((host, 0), handler) as server:
        server.daemon_threads = True
        files.url = f"http://{host}:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield files
        finally:
            files.closing.set()
            server.shutdown()
            thread.join()
