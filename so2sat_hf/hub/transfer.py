"""One file from a web server to a folder: continued after a cut, hashed on the way, and tried again."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

try:
    import httpx2 as httpx
except ModuleNotFoundError:  # huggingface_hub 1 brings it under its former name
    import httpx  # type: ignore[import-not-found, no-redef]

from so2sat_hf.errors import SourceError
from so2sat_hf.hub.answer import extent, retry_after, status
from so2sat_hf.hub.partial import Origin, PartialFile
from so2sat_hf.hub.patience import PASSING, Passing, Patience, ignore, tried

LINKED = "x-linked-etag"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the bytes of a file must be."""

    bytes: int
    """How many."""

    digest: str | None
    """Hash in hexadecimal digits, lower case; None where nobody has stated one."""

    note: str = ""
    """Where the hash comes from, if it was not stated of this very file."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on a server."""

    name: str
    """Of the file, in the folder it goes to."""

    url: str
    """Address, without user or password: it is shown to people."""

    headers: Mapping[str, str] = field(repr=False)
    """Sent to the host of that address only, as they may hold a token."""

    wanted: tuple[Wanted, ...]
    """What it may be; sizes differ, so that the size tells which."""

    algorithm: str
    """Of every digest, as :func:`hashlib.new` takes it."""

    with_ranges: bool
    """Whether the server continues a transfer that was cut."""

    advice: str
    """What to do when the server does not have the file, or not for this user."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told what happens; everything may be left out."""

    fetched: Callable[[str, int, int], None] = ignore
    """File name, bytes there, bytes in all."""

    checked: Callable[[str, int, int], None] = ignore
    """File name, bytes hashed of those that were there before, bytes of them."""

    unpacked: Callable[[str, int, int], None] = ignore
    """File name, bytes unpacked, bytes in all."""

    say: Callable[[str], None] = ignore
    """A sentence about something that went differently from what one hopes for."""


def fetch(remote: Remote, folder: Path, *, patience: Patience, watch: Watch) -> Wanted:
    """Fetch a file into a folder; it has its name only once its hash is right.

    Bytes of an earlier run are continued if the server still has the same file, and told to be so.

    Args:
        remote: what to fetch.
        folder: where to; created if missing.
        patience: with the server.
        watch: who is told.

    Returns:
        Which of ``remote.wanted`` it is.

    Raises:
        SourceError: the server does not have it, has something else, or cannot be reached.
        FolderError: the folder cannot be written, or another process is at it.
    """
    with PartialFile(folder / remote.name, algorithm=remote.algorithm) as part:
        try:
            _continue(remote, part, watch)
            _complete(remote, part, patience, watch)
        except BaseException:
            if not remote.with_ranges or not part.size:
                part.discard()  # no later run could use it
            raise
        return _finish(remote, part)


def _continue(remote: Remote, part: PartialFile, watch: Watch) -> None:
    """Take over the bytes of an earlier run, if they can be used."""
    sizes = {wanted.bytes for wanted in remote.wanted}
    known = part.origin.total is None or part.origin.total in sizes
    if known and (part.size in sizes or (remote.with_ranges and part.size < max(sizes))):
        total = part.size
        part.read_back(lambda done: watch.checked(remote.name, done, total))
    else:
        part.restart()


def _complete(remote: Remote, part: PartialFile, patience: Patience, watch: Watch) -> None:
    """Ask until every byte is there, or patience ends."""
    failures, most = 0, part.size
    timeout = httpx.Timeout(patience.silence, connect=min(30.0, patience.silence))
    with httpx.Client(follow_redirects=True, timeout=timeout) as client:
        while not _is_complete(remote, part):
            try:
                _ask(remote, part, client, watch)
            except Passing as fault:
                if part.size > most and remote.with_ranges:
                    failures, most = 0, part.size
                failures += 1
                wait = patience.pause(failures, fault.wait)
                if wait is None:
                    raise _given_up(remote, part, fault, failures) from fault
                watch.say(f"{remote.name}: {fault}; again in {wait:,.0f} s, {_where(remote, part)}")
                time.sleep(wait)


def _is_complete(remote: Remote, part: PartialFile) -> bool:
    total = part.origin.total
    return part.size == total if total else part.size in {wanted.bytes for wanted in remote.wanted}


def _where(remote: Remote, part: PartialFile) -> str:
    return f"from byte {part.size:,}" if part.size and remote.with_ranges else "from the beginning"


def _given_up(remote: Remote, part: PartialFile, fault: Passing, failures: int) -> SourceError:
    goes_on = f"it continues at byte {part.size:,}" if remote.with_ranges else "it starts this file again"
    return SourceError(
        remote.url,
        found=tried(failures, fault),
        remedy=f"run the same command again later: {goes_on}; {remote.advice}",
    )


def _ask(remote: Remote, part: PartialFile, client: httpx.Client, watch: Watch) -> None:
    """Send one request and append what comes."""
    headers = dict(remote.headers) | {"accept-encoding": "identity"}
    if part.size and remote.with_ranges:
        headers["range"] = f"bytes={part.size}-"
        if part.origin.if_range:
            headers["if-range"] = part.origin.if_range
    with _faults(remote), client.stream("GET", remote.url, headers=headers) as response:
        total = _accept(remote, part, response, watch)
        watch.fetched(remote.name, part.size, total)
        for chunk in response.iter_raw():
            if part.size + len(chunk) > total:
                part.discard()
                raise _something_else(remote, f"more than {total:,} bytes")
            part.append(chunk)
            watch.fetched(remote.name, part.size, total)
    if not _is_complete(remote, part):
        raise Passing("the connection was closed early")


@contextmanager
def _faults(remote: Remote) -> Iterator[None]:
    """Tell what may pass from what will not."""
    try:
        yield
    except (httpx.LocalProtocolError, UnicodeError):
        raise SourceError(
            remote.url,
            found="cannot be asked for: a header holds characters that none may hold",
            remedy="is the token written correctly? `hf auth login` asks for it anew",
        ) from None  # the original text quotes the header, which may hold the token
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects) as error:
        raise SourceError(remote.url, found=f"cannot be asked for ({error})", remedy=remote.advice) from error
    except httpx.TimeoutException as error:
        raise Passing("the server is silent") from error
    except httpx.TransportError as error:
        raise Passing(f"the connection failed ({str(error) or type(error).__name__})") from error


def _accept(remote: Remote, part: PartialFile, response: httpx.Response, watch: Watch) -> int:
    """Check an answer before any byte of it is used; return the bytes of the whole file."""
    code, headers = response.status_code, response.headers
    if code in PASSING:
        raise Passing(f"the server answers {status(code, headers)}", wait=retry_after(headers))
    if code == 416:
        part.restart()
        raise Passing("the server has fewer bytes than are here already")
    if code not in (200, 206):
        raise SourceError(
            remote.url, found=f"the server answers {status(code, headers)}", remedy=remote.advice
        )
    start, total = extent(code, headers)
    linked = next((hop.headers[LINKED] for hop in response.history if LINKED in hop.headers), None)
    origin = Origin(total, headers.get("etag"), headers.get("last-modified"), linked)
    sizes = {wanted.bytes for wanted in remote.wanted}
    if total is not None and total not in sizes:
        is_page = headers.get("content-type", "").startswith("text/html")
        raise _something_else(remote, f"{total:,} bytes{', a web page' if is_page else ''}")
    if start != 0 and (start != part.size or origin.differs(part.origin)):
        part.restart()
        raise Passing("the server continues another file, or elsewhere")
    if start == 0 and part.size:
        part.restart()
        watch.say(
            f"{remote.name}: from the beginning: the server does not continue it, or has another one now"
        )
    part.remember(origin)
    return max(sizes) if total is None else total


def _something_else(remote: Remote, found: str) -> SourceError:
    sizes = " or ".join(f"{wanted.bytes:,}" for wanted in remote.wanted)
    return SourceError(
        remote.url, found=f"another file there: {found}", expected=f"{sizes} bytes", remedy=remote.advice
    )


def _finish(remote: Remote, part: PartialFile) -> Wanted:
    """Compare the hash; only then the file gets its name."""
    wanted = next(wanted for wanted in remote.wanted if wanted.bytes == part.size)
    if wanted.digest and part.digest != wanted.digest:
        part.discard()
        raise SourceError(
            remote.url,
            found=f"{remote.algorithm} {part.digest}; the bytes were removed",
            expected=f"{wanted.digest} {wanted.note}".strip(),
            remedy=f"run the same command again; if it comes out the same, {remote.advice}",
        )
    part.finish()
    return wanted
