"""Markdown templates: values to fill in, and passages that are there only if something is so. Pure.

::

    Rows: ${num_rows}
    <!-- if geolocation -->
    Every patch has a place.
    <!-- end -->
    <!-- if not geolocation -->
    No patch has a place.
    <!-- end -->

Marks stand on lines of their own, may enclose each other, and are not seen where the template itself is
shown as Markdown. A dollar sign is written ``$$``.
"""

import re
from collections.abc import Mapping
from string import Template

MARK = re.compile(r"<!-- (?:if (?P<negation>not )?(?P<name>\w+)|(?P<end>end)) -->")


def fill(template: str, values: Mapping[str, str], flags: Mapping[str, bool]) -> str:
    r"""Return the text of a template.

    Args:
        template: with values as ``${name}`` and passages between marks.
        values: name -> text; it may hold anything, dollar signs and marks too.
        flags: name -> whether its passages are there.

    Raises:
        KeyError: the template names a value or a flag that is not given, in a passage that is there or not.
        ValueError: a passage does not end, or an end has no passage, or a lonely dollar sign.

    >>> fill("<!-- if big -->\n${n} rows\n<!-- end -->\n", {"n": "7"}, {"big": True})
    '7 rows\n'
    """
    kept: list[str] = []
    passages: list[bool] = []
    for line in template.splitlines():
        mark = MARK.fullmatch(line.strip())
        if mark is None:
            text = Template(line).substitute(values)
            kept += [text] if all(passages) else []
        elif not mark["end"]:
            passages.append(flags[mark["name"]] != bool(mark["negation"]))
        elif passages:
            passages.pop()
        else:
            raise ValueError("an end without a passage")
    if passages:
        raise ValueError("a passage without an end")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip() + "\n"


def names(template: str) -> tuple[set[str], set[str]]:
    """Return the values and the flags that a template names."""
    flags = {mark["name"] for mark in MARK.finditer(template) if mark["name"]}
    return set(Template(template).get_identifiers()), flags
