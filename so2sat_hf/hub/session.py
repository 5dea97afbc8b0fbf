"""The HTTP client of huggingface_hub, made impatient: it has time limits, and counts what it sends.

What may pass (silence, a lost connection, an overloaded server) comes up as
:class:`~so2sat_hf.hub.patience.Passing`, so that one place decides whether and when to ask again.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from so2sat_hf.errors import HubError
from so2sat_hf.hub.answer import retry_after, status
from so2sat_hf.hub.patience import PASSING, Passing

LIMITS = ("connect", "read", "write", "pool")
"""Waits of a client, each with a limit of its own."""


def impatient(client: Any, silence: float, sent: Callable[[int], None]) -> Any:  # noqa: ANN401
    """Return a client that no longer waits for ever.

    Proxies, certificates and hooks of the client stay as they are.

    Args:
        client: an httpx client, of the library under either of its names; changed in place.
        silence: seconds without a byte until a connection counts as lost.
        sent: called with the bytes of every piece of a file that was sent.
    """
    library = _library(client)
    stream = _stream_of(library)
    send = client.send

    def patient_send(request: Any, **options: Any) -> Any:  # noqa: ANN401
        if request.method == "PUT":
            request.stream = stream(request.stream, sent)
        given = request.extensions.get("timeout", {})  # huggingface_hub asks some things without any limit
        limits = {name: min(given.get(name) or silence, silence) for name in LIMITS}
        request.extensions = {**request.extensions, "timeout": limits}
        with faults(library):
            response = send(request, **options)
        if response.status_code in PASSING:
            response.close()
            raise Passing(
                f"the Hub answers {status(response.status_code, response.headers)}",
                wait=retry_after(response.headers),
            )
        if not response.is_closed:
            response.stream = stream(response.stream)
        return response

    client.send = patient_send
    return client


def _library(client: Any) -> Any:  # noqa: ANN401
    """Return the library that a client is of: huggingface_hub 1 takes httpx, 2 takes httpx2."""
    roots = [cls.__module__.partition(".")[0] for cls in type(client).__mro__]
    return sys.modules[next(root for root in roots if root.startswith("httpx"))]


@cache
def _stream_of(library: Any) -> Any:  # noqa: ANN401
    """Return the class of a body on its way, in either direction."""

    class Stream(library.SyncByteStream):  # type: ignore[misc]
        def __init__(self, stream: Any, passed: Callable[[int], None] | None = None) -> None:  # noqa: ANN401
            self.stream = stream
            self.passed = passed

        def __iter__(self) -> Iterator[bytes]:
            with faults(library):
                for chunk in self.stream:
                    yield chunk
                    if self.passed:
                        self.passed(len(chunk))

        def close(self) -> None:
            self.stream.close()

    return Stream


@contextmanager
def faults(library: Any) -> Iterator[None]:  # noqa: ANN401
    """Tell what may pass from what will not."""
    try:
        yield
    except UnicodeError:
        raise _bad_token() from None
    except library.LocalProtocolError as error:
        if "header" in str(error).lower():
            raise _bad_token() from None  # the original text quotes the header, which may hold the token
        raise Passing(f"the request was not sent whole ({error})") from error
    except library.TimeoutException as error:
        raise Passing("the Hub is silent") from error
    except library.TransportError as error:
        raise Passing(f"the connection failed ({str(error) or type(error).__name__})") from error


def _bad_token() -> HubError:
    return HubError(
        "token", found="holds characters that no token may hold", remedy="`hf auth login` asks for it anew"
    )
