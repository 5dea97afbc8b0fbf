"""Ranges of bytes of a file on the Hub, at one commit. Nothing is kept but the address of the storage."""

import atexit
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

try:
    import httpx2 as httpx
except ModuleNotFoundError:  # huggingface_hub 1 brings it under its former name
    import httpx  # type: ignore[import-not-found, no-redef]

from so2sat_hf.errors import HubError, SourceError
from so2sat_hf.hub.answer import extent, retry_after, status
from so2sat_hf.hub.patience import PASSING, Passing, Patience, tried
from so2sat_hf.hub.request import file_request
from so2sat_hf.hub.session import faults

PROGRESS = 1 << 16
"""Bytes that a try has to bring so as not to count as a failure."""

LONGEST_WAY = 5
"""Addresses that the Hub may send us on to, for one range."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a dataset repository. Holds no token and no connection: it can be pickled."""

    repo_id: str
    """``OWNER/NAME``."""

    commit: str
    """The commit that every range is taken from."""

    path: str
    """In the repository."""

    size: int
    """Bytes that it must have."""

    endpoint: str | None = None
    """Another Hub than that of ``HF_ENDPOINT``."""

    patience: Patience = field(default_factory=Patience)
    """With the Hub; failures count from 0 again after a try that brought some."""

    @property
    def name(self) -> str:
        """Path, repository and commit, for people."""
        return f"{self.path} of {self.repo_id} at {self.commit[:8]}"

    def read(self, start: int, stop: int) -> bytes:
        """Return bytes ``start`` to ``stop``, both from 0. Threads may call it at the same time.

        Raises:
            HubError: the Hub refuses, is silent, or has another file.
        """
        content, failures = bytearray(), 0
        while start + len(content) < stop:
            before = len(content)
            try:
                self._ask(start, stop, content)
            except Passing as fault:
                failures = 1 if len(content) - before >= PROGRESS else failures + 1
                wait = self.patience.pause(failures, fault.wait)
                if wait is None:
                    raise HubError(
                        self.name,
                        found=tried(failures, fault),
                        remedy="try again later, or fetch the dataset: `so2sat build` makes a folder of it",
                    ) from fault
                time.sleep(wait)
        return bytes(content)

    def _ask(self, start: int, stop: int, content: bytearray) -> None:
        """Ask for what is missing of a range, and append what comes."""
        url, headers = self._request()
        key = (url, headers.get("authorization"))
        known = _STORAGE.get(key)
        at, sent = (known, {}) if known else (url, headers)
        part = {"accept-encoding": "identity", "range": f"bytes={start + len(content)}-{stop - 1}"}
        timeout = httpx.Timeout(self.patience.silence, connect=min(30.0, self.patience.silence))
        for _ in range(LONGEST_WAY):
            with (
                faults(httpx),
                _client().stream("GET", at, headers={**sent, **part}, timeout=timeout) as response,
            ):
                if response.is_redirect:
                    target = response.url.join(response.headers["location"])
                    if _origin(target) != _origin(response.url):
                        sent = {}  # a token is for the Hub alone, and for no wire that others can read
                        _STORAGE[key] = str(target)
                    at = str(target)
                    continue
                if known and response.status_code in (400, 401, 403, 404, 410):  # it has expired
                    _STORAGE.pop(key, None)  # another thread may have been first
                    known, at, sent = None, url, headers
                    continue
                self._accept(response, start + len(content), stop, has_token=key[1] is not None)
                for chunk in response.iter_raw():
                    content += chunk
                if start + len(content) > stop:
                    raise self._other(f"more than {stop - start:,} bytes of a range")
                if start + len(content) < stop:
                    raise Passing("the connection was closed early")
                return
        raise HubError(self.name, found="the Hub sends us on for ever", remedy="try again later")

    def _request(self) -> tuple[str, Mapping[str, str]]:
        """Return address and headers, with the token of this moment."""
        try:
            return file_request(self.repo_id, self.path, revision=self.commit, endpoint=self.endpoint)
        except SourceError as error:
            raise HubError(
                error.thing, found=error.found, expected=error.expected, remedy=error.remedy
            ) from None

    def _accept(self, response: httpx.Response, start: int, stop: int, *, has_token: bool) -> None:
        """Check an answer before any byte of it is used."""
        code, headers = response.status_code, response.headers
        if code in PASSING:
            raise Passing(f"the Hub answers {status(code, headers)}", wait=retry_after(headers))
        if code == 401:
            found = "the Hub does not accept the token" if has_token else "the Hub asks for a token"
            raise HubError(self.name, found=found, remedy="`hf auth login` or HF_TOKEN give a valid one")
        if code == 416:
            raise self._other("fewer bytes")
        if code not in (200, 206):
            raise HubError(
                self.name,
                found=f"the Hub answers {status(code, headers)}",
                expected="a file that manifest.json lists",
                remedy="check `hf auth whoami`, or take another revision",
            )
        first, total = extent(code, headers)
        if total is not None and total != self.size:
            raise self._other(f"{total:,} bytes")
        if first != start or (code == 200 and stop != self.size):
            raise HubError(
                self.name, found="the server sends no parts of files", expected="a server that takes ranges"
            )

    def _other(self, found: str) -> HubError:
        return HubError(
            self.name,
            found=f"another file there: {found}",
            expected=f"{self.size:,} bytes, as manifest.json says",
            remedy="take another revision, or tell its owner",
        )


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


_STORAGE: dict[tuple[str, str | None], str] = {}
"""(Address, what proves who asks) -> where the Hub sent us on to: signed, and valid for a while."""

_CLIENTS: dict[int, httpx.Client] = {}
"""Process -> client: a forked process must not use the connections of another."""

_LOCK = threading.Lock()


def _client() -> httpx.Client:
    """Return the client of this process; threads share it."""
    with _LOCK:
        if os.getpid() not in _CLIENTS:
            _CLIENTS[os.getpid()] = httpx.Client()
        return _CLIENTS[os.getpid()]


@atexit.register
def _hang_up() -> None:
    """Close the connections of this process; those of a parent are not ours."""
    client = _CLIENTS.pop(os.getpid(), None)
    if client is not None:
        client.close()


def _after_fork() -> None:
    global _LOCK  # noqa: PLW0603 (a thread of the parent may have held it)
    _LOCK = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
