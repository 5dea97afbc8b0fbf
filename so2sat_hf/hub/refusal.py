"""What the Hub means when it says no, in one line. Pure: nothing is asked here."""

from so2sat_hf.errors import HubError

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
    return HubError(thing, found=f"the Hub refuses: {code or ''}{quote}".replace(":  (", ": ("))
