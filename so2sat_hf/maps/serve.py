"""A small server for the browse page, on this machine alone: the page, and a picture of every patch."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from so2sat_hf.convert.cells import LAYOUTS
from so2sat_hf.errors import So2SatError
from so2sat_hf.load.place import Place
from so2sat_hf.maps.browse import pictures_of

PICTURE = re.compile(rf"/picture/(?:({'|'.join(LAYOUTS)})_)?(training|validation|testing)_([0-9]{{6}})\.png")
"""Path of a picture: the id of its patch, with underscores for slashes."""

HOST = "127.0.0.1"

CALLED = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?")
"""What a browser on this machine calls this server. A web page elsewhere whose name was pointed at this
machine is called by that name, and would otherwise read everything here. Any port: there are tunnels."""


class Pages(ThreadingHTTPServer):
    """Knows what is served."""

    def __init__(self, port: int, content: str, place: Place) -> None:
        """Listen on a port of this machine; 0 for any that is free."""
        super().__init__((HOST, port), _Handler)
        self.content, self.place, self.lock = content.encode(), place, threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    server: Pages

    def do_GET(self) -> None:
        """Answer with the page, a picture, or not at all."""
        if not CALLED.fullmatch(self.headers.get("Host", "")):
            self.send_error(403)
            return
        if self.path == "/":
            self._answer(self.server.content, "text/html; charset=utf-8")
            return
        match = PICTURE.fullmatch(self.path)
        found = None if match is None else self._picture("/".join(part for part in match.groups() if part))
        if found is None:
            self.send_error(404)
        else:
            self._answer(found, "image/png")

    def _picture(self, name: str) -> bytes | None:
        try:
            with self.server.lock:
                return pictures_of([name], self.server.place).get(name)
        except So2SatError:
            return None

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Frame-Options", "DENY")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(content: str, place: Place, port: int = 0) -> Iterator[str]:
    """Serve the page until the end of the block.

    Args:
        content: the page.
        place: where pixels come from.
        port: 0 for any that is free.

    Yields:
        Its address.

    Raises:
        So2SatError: the port is taken.
    """
    try:
        server = Pages(port, content, place)
    except OSError as error:
        raise So2SatError(
            f"--port {port}", found=error.strerror or str(error), expected="a free port"
        ) from error
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
