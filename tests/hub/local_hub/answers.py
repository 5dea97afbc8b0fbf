"""What an endpoint is given, what it returns, and how it refuses."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from local_hub.hub import User


@dataclass
class Ask:
    """A request, read and taken apart."""

    method: str
    parts: dict[str, str]
    """Pieces of the path by name, unquoted."""
    raw_path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""
    user: User | None = None

    def json(self) -> dict[str, Any]:
        """Its body; raises Refusal where that is no JSON object."""
        try:
            value = json.loads(self.body or b"{}")
        except ValueError as error:
            raise Refusal(400, "Invalid JSON") from error
        if not isinstance(value, dict):
            raise Refusal(400, "Expected object, received " + type(value).__name__)
        return value

    def form(self) -> dict[str, list[str]]:
        """Its body as fields of a form, or as JSON."""
        if self.headers.get("content-type", "").startswith("application/json"):
            pairs = self.json().items()
            return {key: value if isinstance(value, list) else [str(value)] for key, value in pairs}
        return parse_qs(self.body.decode(), keep_blank_values=True)

    def flag(self, name: str) -> bool:
        """Whether a parameter of the query is set and true."""
        return self.query.get(name, "").lower() in ("1", "true")


@dataclass
class Answer:
    """What is sent back: JSON, or bytes as they are."""

    data: Any = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        return self.data if isinstance(self.data, bytes) else json.dumps(self.data).encode()

    def head(self) -> dict[str, str]:
        kind = {} if isinstance(self.data, bytes) else {"Content-Type": "application/json; charset=utf-8"}
        return {**kind, **self.headers}


class Refusal(Exception):  # noqa: N818 (an answer, not a failure)
    """The request is refused, in the shape that the Hub gives to refusals."""

    def __init__(
        self, status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, dict(headers or {})

    def answer(self) -> Answer:
        head = {"X-Error-Message": " ".join(self.message.split())}  # a header is one line
        if self.code:
            head["X-Error-Code"] = self.code
        return Answer({"error": self.message}, self.status, {**head, **self.headers})
