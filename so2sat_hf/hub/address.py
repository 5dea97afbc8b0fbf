"""What people type for a dataset on the Hub: ``OWNER/NAME``, ``hf://datasets/OWNER/NAME@REVISION``. Pure."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from so2sat_hf.errors import So2SatError

SCHEME = "hf://"
PREFIX = "hf://datasets/"
WORD = r"[A-Za-z0-9_][A-Za-z0-9._-]*"


@dataclass(frozen=True, slots=True)
class Address:
    """A dataset repository at a revision."""

    repo_id: str
    """``OWNER/NAME``."""

    revision: str | None = None
    """Commit, tag or branch; None: ``main``."""

    is_explicit: bool = False
    """Whether it can be nothing else, such as a folder that is not there."""


def parse_address(text: str) -> Address | None:
    """Return the repository that a text names; None if it can only be a path.

    Raises:
        So2SatError: it begins like an address of the Hub, but is none of a dataset.

    >>> parse_address("zhu-xlab/So2Sat-LCZ42")
    Address(repo_id='zhu-xlab/So2Sat-LCZ42', revision=None, is_explicit=False)
    >>> parse_address("hf://datasets/zhu-xlab/So2Sat-LCZ42@refs%2Fpr%2F3").revision
    'refs/pr/3'
    >>> parse_address("./raw/v4"), parse_address("raw"), parse_address("a/b/c")
    (None, None, None)
    """
    if not text.startswith(SCHEME):
        return Address(text) if re.fullmatch(f"{WORD}/{WORD}", text) else None
    found = re.fullmatch(f"{re.escape(PREFIX)}({WORD}/{WORD})(?:@([^@]+))?", text)
    if found is None:
        raise So2SatError(
            text,
            found="no address of a dataset",
            expected=f"{PREFIX}OWNER/NAME or {PREFIX}OWNER/NAME@REVISION",
        )
    return Address(found[1], unquote(found[2]) if found[2] else None, is_explicit=True)
