"""The exception tree: what can go wrong, and what the user can do about it.

::

    So2SatError (Exception)
    ├── SourceError         an input file is missing, damaged or not what it claims to be
    │   └── GeolocationError    positions, EPSG codes or cities that cannot be right
    ├── LossyError          a value cannot be stored exactly
    ├── RowError            a patch with a number that is not there; an IndexError, too
    ├── FolderError         an output folder cannot be used, or holds something unexpected
    ├── VerificationError   a built folder differs from its manifest or its source
    └── HubError            the Hugging Face Hub refuses, is silent, or holds something else by now
"""

import re

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters that steer a terminal; messages quote what files and servers say."""

TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}")
"""A token of the Hugging Face Hub, wherever a message may have it from."""

LONGEST = 800
"""Characters of each part of a message."""


class So2SatError(Exception):
    """An error a user can act on: the thing, what was found, what was expected, and the way out."""

    def __init__(self, thing: object, *, found: str, expected: str = "", remedy: str = "") -> None:
        """Compose the message.

        Args:
            thing: the file, folder, column or option the error is about.
            found: what is the matter with it.
            expected: what would have been right.
            remedy: what the user can do.
        """
        self.thing = _short(str(thing))
        self.found = _short(found)
        self.expected = _short(expected)
        self.remedy = remedy
        super().__init__(self.thing, self.found, self.expected, remedy)

    def __str__(self) -> str:
        text = f"{self.thing}: {self.found}"
        if self.expected:
            text += f"; expected {self.expected}"
        if self.remedy:
            text += f"\n  {self.remedy}"
        return TOKEN.sub("hf_...", CONTROL.sub("?", text))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the keyword arguments, so that worker processes can raise it."""
        return _rebuild, (type(self), self.thing, self.found, self.expected, self.remedy)


def _short(text: str) -> str:
    """Return a text without its middle if it is long: what was found may be a whole file."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def _rebuild(kind: type[So2SatError], thing: str, found: str, expected: str, remedy: str) -> So2SatError:
    return kind(thing, found=found, expected=expected, remedy=remedy)


class SourceError(So2SatError):
    """An input file is missing, damaged or not what it claims to be. Nothing was written."""


class GeolocationError(SourceError):
    """Positions, EPSG codes or cities that cannot be right."""


class LossyError(So2SatError):
    """A value cannot be stored exactly; ``allow_rounding`` is the explicit way on."""


class RowError(So2SatError, IndexError):
    """A patch with a number that is not there."""


class FolderError(So2SatError):
    """An output folder cannot be used, or holds something unexpected."""


class VerificationError(So2SatError):
    """A built folder differs from its manifest or from its source."""


class HubError(So2SatError):
    """The Hugging Face Hub refuses, is silent, or holds something else by now."""

    def __str__(self) -> str:
        return super().__str__().replace("\n ", ";")
