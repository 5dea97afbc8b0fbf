"""A small server for the browse page, on this machine alone: the page, and a picture of every patch."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from so2sat_hf.errors import So2SatError
from so2sat_hf.load.place import Place
from so2sat_hf.maps.browse import pictures_of

PICTURE = re.compile(r"/picture/((?:[a-z0-9]+_)*(?:training|validation|testing)_[0-9]{6})\.png")
HOST = "127.0.0.1"


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
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                self._answer(content.encode(), "text/html; charset=utf-8")
                return
            match = PICTURE.fullmatch(self.path)
            if match is None:
                self.send_error(404)
                return
            name = "/".join(match[1].rsplit("_", 1))
            for config in ("culture_10", "random", "block"):
                name = name.replace(f"{config}_", f"{config}/")
            try:
                with lock:
                    found = pictures_of([name], place)
            except So2SatError:
                self.send_error(404)
                return
            self._answer(found[name], "image/png")

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    try:
        server = ThreadingHTTPServer((HOST, port), Handler)
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
