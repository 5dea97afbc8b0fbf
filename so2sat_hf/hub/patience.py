"""How long to wait for a server, and when to ask again. Knows nothing of HTTP libraries."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from so2sat_hf.errors import HubError

PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Answers that may be another one in a while."""

LONGEST_REQUEST = 600.0
"""Seconds: a server that asks for a longer pause is left alone."""


T = TypeVar("T")


def ignore(*_: object) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a server, in seconds."""

    tries: int = 7
    """Requests in a row that fail without more bytes than before, until it is given up."""

    first_wait: float = 1.0
    """Pause after the first of them; doubled each time."""

    longest_wait: float = 60.0
    """No pause is longer, but for a server that asks for it."""

    silence: float = 60.0
    """Without a single byte, until the connection counts as lost."""

    def pause(self, failures: int, asked: float | None) -> float | None:
        """Return how long to wait after so many failures in a row; None to give up.

        Args:
            failures: so far, at least 1.
            asked: seconds that the server asks for, if it does.
        """
        wait = min(self.first_wait * 2 ** (failures - 1), self.longest_wait) if asked is None else asked
        return None if failures >= self.tries or wait > LONGEST_REQUEST else wait


class Passing(Exception):  # noqa: N818
    """What may not happen again; never leaves this room."""

    def __init__(self, text: str, *, wait: float | None = None) -> None:
        super().__init__(text)
        self.wait = wait
        """Seconds, if the server has named them."""


def behind(
    error: BaseException, kinds: type[BaseException] | tuple[type[BaseException], ...]
) -> BaseException | None:
    """Return the error of some kind that led to an error, or is it; None if there is none."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, kinds):
            return cause
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return None


def tried(failures: int, fault: Passing) -> str:
    """Say how often a server was asked in vain, and what it wants."""
    asked = f", and asks to wait {fault.wait:,.0f} s" if fault.wait else ""
    return f"{fault}{asked}" + (f" ({failures} tries in a row)" if failures > 1 else "")


def patiently(
    call: Callable[[], T], patience: Patience, *, thing: str, say: Callable[[str], None] = ignore
) -> T:
    """Call until no passing fault comes up.

    Args:
        call: what may be done more than once with the same result.
        patience: with the server.
        thing: what the error and the sentences are about.
        say: told of every pause.

    Raises:
        HubError: patience ended.
    """
    failures = 0
    while True:
        try:
            return call()
        except Passing as fault:
            failures += 1
            wait = patience.pause(failures, fault.wait)
            if wait is None:
                raise HubError(
                    thing,
                    found=tried(failures, fault),
                    remedy="run the same command again later: what is done stays done",
                ) from fault
            say(f"{thing}: {fault}; again in {wait:,.0f} s")
            time.sleep(wait)
