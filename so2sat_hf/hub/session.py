"""The HTTP client of huggingface_hub, made impatient: it has time limits, and counts what it sends.

What may pass (silence, a lost connection, an overloaded server) comes up as
:class:`~so2sat_hf.hub.patience.Passing`, so that one place decides whether and when to ask again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

try:
    import httpx2 as httpx
except ModuleNotFoundError:  # huggingface_hub 1 brings it under its former name
    import httpx  # type: ignore[import-not-found, no-redef]

from so2sat_hf.errors import HubError
from so2sat_hf.hub.answer import retry_after, status
from so2sat_hf.hub.patience import PASSING, Passing

LIMITS = ("connect", "read", "write", "pool")
"""Waits of a client, each with a limit of its own."""


class _Stream(httpx.SyncByteStream):
    """A body on its way, in either direction."""

    def __init__(self, stream: httpx.SyncByteStream, passed: Callable[[int], None] | None = None) -> None:
        self.stream = stream
        self.passed = passed

    def __iter__(self) -> Iterator[bytes]:
        with _faults():
            for chunk in self.stream:
                yield chunk
                if self.passed:
                    self.passed(len(chunk))

    def close(self) -> None:
        self.stream.close()


def impatient(client: Any, silence: float, sent: Callable[[int], None]) -> Any:  # noqa: ANN401
    """Return a client that no longer waits for ever.

    Proxies, certificates and hooks of the client stay as they are.

    Args:
        client: ``httpx.Client``; changed in place.
        silence: seconds without a byte until a connection counts as lost.
        sent: called with the bytes of every piece of a file that was sent.
    """
    send = client.send

    def patient_send(request: httpx.Request, **options: Any) -> httpx.Response:  # noqa: ANN401
        if request.method == "PUT":
            request.stream = _Stream(request.stream, sent)  # type: ignore[arg-type]
        given = request.extensions.get("timeout", {})  # huggingface_hub asks some things without any limit
        limits = {name: min(given.get(name) or silence, silence) for name in LIMITS}
        request.extensions = {**request.extensions, "timeout": limits}
        with _faults():
            response: httpx.Response = send(request, **options)
        if response.status_code in PASSING:
            response.close()
            raise Passing(
                f"the Hub answers {status(response.status_code, response.headers)}",
                wait=retry_after(response.headers),
            )
        if not response.is_closed:
            response.stream = _Stream(response.stream)  # type: ignore[arg-type]
        return response

    client.send = patient_send
    return client


@contextmanager
def _faults() -> Iterator[None]:
    """Tell what may pass from what will not."""
    try:
        yield
    except (httpx.LocalProtocolError, UnicodeError):
        raise HubError(
            "token",
            found="holds characters that no token may hold",
            remedy="`hf auth login` asks for it anew",
        ) from None  # the original text quotes the header, which may hold the token
    except httpx.TimeoutException as error:
        raise Passing("the Hub is silent") from error
    except httpx.TransportError as error:
        raise Passing(f"the connection failed ({str(error) or type(error).__name__})") from error
