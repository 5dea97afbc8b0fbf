"""What the Hub means when it says no, in one line. Pure: nothing is asked here.

Errors of huggingface_hub are told apart by their names and their answers, so that it need not be imported.
"""

import re
from typing import Any

from so2sat_hf.errors import HubError, So2SatError
from so2sat_hf.hub.patience import Passing, behind

FULL = ("quota", "storage limit", "storage space", "payment required", "too large")
"""Words of the Hub when it has no room for more; status codes differ."""


class MovedError(HubError):
    """The head of a branch is another one than it was (412), or somebody else writes at this moment (409)."""


class ForbiddenError(HubError):
    """The token may not do that (403)."""


def refusal(thing: str, code: int, said: str, *, has_token: bool, kind: str = "dataset") -> HubError:
    """Return the error for an answer that no patience will change.

    Args:
        thing: the repository, or what was asked of it.
        code: status of the answer.
        said: what the Hub says about it.
        has_token: whether the request had a token.
        kind: ``dataset`` or ``model``.
    """
    said = " ".join(said.split())
    quote = f" ({said})" if said else ""
    if code == 412:
        return MovedError(thing, found=f"it was changed by somebody else meanwhile{quote}")
    if any(word in said.lower() for word in FULL) or code in (402, 413, 507):
        return HubError(
            thing,
            found=f"the Hub has no room for it: {code}{quote}",
            remedy="free space or extend the quota, then run the same command again: it continues",
        )
    if code == 401:
        found = "the Hub does not accept the token" if has_token else "the Hub asks for a token"
        return HubError(
            thing,
            found=found + quote,
            remedy="`hf auth login` or HF_TOKEN: a valid token with write permission",
        )
    if code == 403:
        return ForbiddenError(
            thing,
            found=f"this token may not do that{quote}",
            remedy="use a token with write permission for the owner, or another OWNER/NAME",
        )
    if code == 404:
        return HubError(
            thing,
            found=f"no such {kind} on the Hub, or a private one that this token may not see{quote}",
            remedy="check OWNER/NAME, and `hf auth whoami`",
        )
    refused = f"the Hub refuses: {code or ''}{quote}".replace(":  (", ": (")
    return HubError(thing, found=refused, remedy="try again later, or look at the repository's page")


def meaning(
    error: Exception, thing: str, *, kind: str, has_token: bool, is_offline: bool, conflict_passes: bool
) -> Exception:
    """Return what an error of huggingface_hub means.

    Args:
        error: as it was caught.
        thing: the repository.
        kind: ``dataset`` or ``model``.
        has_token: whether requests had a token.
        is_offline: whether ``HF_HUB_OFFLINE`` forbids to ask.
        conflict_passes: whether a 409 is somebody else writing, rather than a thing that is there already.

    Returns:
        A :class:`HubError`, or :class:`Passing` if it is worth another try.
    """
    known = behind(error, (Passing, So2SatError))
    if isinstance(known, Passing | So2SatError):
        return known
    names = {cls.__name__ for cls in type(error).__mro__}
    if "HFValidationError" in names:
        return HubError(thing, found=" ".join(str(error).split()), expected="OWNER/NAME as the Hub allows it")
    if is_offline:
        return HubError(thing, found="HF_HUB_OFFLINE is set", remedy="unset it")
    code, said = _answer(error)
    if "LocalTokenNotFoundError" in names:
        code, said = 401, ""
    if code == 409 and conflict_passes:
        return Passing("somebody else writes to it at this moment")
    if not code and isinstance(error, ConnectionError | TimeoutError):
        return Passing(f"the connection failed ({said})")
    return refusal(thing, code, said, has_token=has_token, kind=kind)


def _answer(error: Exception) -> tuple[int, str]:
    """Return status and words of the answer that led to an error; 0 if there was none."""
    cause: BaseException | None = error
    while cause is not None:
        response: Any = getattr(cause, "response", None)
        if response is not None and hasattr(response, "status_code"):
            said = getattr(cause, "server_message", None) or response.headers.get("x-error-message") or ""
            return int(response.status_code), str(said)
        cause = cause.__cause__
    said = f"{error}: {error.__cause__}" if error.__cause__ else str(error)
    client_error = re.search(r"HTTP status client error \((4\d\d)", said)  # the words of hf_xet
    return (int(client_error[1]) if client_error else 0), said
