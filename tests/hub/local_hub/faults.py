"""How the server misbehaves, and at which request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Fault:
    """One way to misbehave.

    Where a download is sent on to the storage, faults of the body (a number for `cut` or `silent`, `slow`)
    happen there, to the request that follows.
    """

    status: int = 0
    """Answer so, and do nothing."""
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "The local Hub was told to fail"
    cut: Literal["before", "after"] | int | None = None
    """Close the connection: before anything is done, after the work is done, or after so many bytes of the
    body (of the request for PUT and POST, of the answer for GET)."""
    silent: Literal["after"] | bool | int = False
    """Never answer: without doing the work (True), having done it, or after so many bytes of the answer."""
    slow: float | None = None
    """Bytes per second of the body."""

    @property
    def of_body(self) -> bool:
        """Whether it shows while a body is sent."""
        return bool(self.slow) or _number(self.cut) is not None or _number(self.silent) is not None

    @property
    def cut_at(self) -> int | None:
        return _number(self.cut)

    @property
    def silent_at(self) -> int | None:
        return _number(self.silent)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


@dataclass
class Request:
    """A request that came in."""

    number: int
    """Since the log was last reset, from 0."""
    method: str
    path: str
    """Unquoted, without the query."""
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
    kind: str
    received: int = 0
    """Bytes of its body that were read."""
    sent: int = 0
    """Bytes of the answer's body."""
    status: int = 0
    """Of the answer; 0 where there was none."""
    fault: Fault | None = None


@dataclass
class Plan:
    """A fault that waits for its requests."""

    fault: Fault
    when: Callable[[Request], bool]
    times: int = 1


class Plans:
    """Faults that wait, the oldest first."""

    def __init__(self) -> None:
        self.waiting: list[Plan] = []

    def take(self, request: Request) -> Fault | None:
        """Return the fault of a request, if any, and count it as used."""
        for plan in self.waiting:
            if plan.when(request):
                plan.times -= 1
                if not plan.times:
                    self.waiting.remove(plan)
                return plan.fault
        return None
