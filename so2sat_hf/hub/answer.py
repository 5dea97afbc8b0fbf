"""What the head of an HTTP answer says. Pure: nothing is asked or written here."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus


def extent(code: int, headers: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Return the first byte that an answer holds, and the bytes of the whole file; None if unsaid."""
    if code != HTTPStatus.PARTIAL_CONTENT:
        length = headers.get("content-length", "")
        return 0, int(length) if length.isdigit() else None
    span, _, total = headers.get("content-range", "").removeprefix("bytes ").partition("/")
    start = span.partition("-")[0]
    return int(start) if start.isdigit() else None, int(total) if total.isdigit() else None


def status(code: int, headers: Mapping[str, str]) -> str:
    """Return code and meaning, and what the Hugging Face Hub adds to them.

    >>> status(404, {"x-error-message": "Invalid rev id: x"})
    '404 Not Found (Invalid rev id: x)'
    """
    known = {int(each): each.phrase for each in HTTPStatus}
    said = headers.get("x-error-message")
    return f"{code} {known.get(code, '')}".strip() + (f" ({said})" if said else "")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait; None if it does not.

    Given as seconds or as a date, or by the Hub as what is left of a window that is used up.

    >>> retry_after({"ratelimit": '"api";r=0;t=240'}), retry_after({"ratelimit": '"api";r=12;t=240'})
    (241.0, None)
    """
    text = headers.get("retry-after", "").strip()
    window = re.search(r"r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("ratelimit", ""))
    if not text and window:
        return float(window[1]) + 1
    if text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
