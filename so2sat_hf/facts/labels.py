"""The names that a class goes by: index, code, number on a map, group, colour. Pure but for the data files.

========== ==================================== ==========================================================
scheme     values                               who uses it
========== ==================================== ==========================================================
index      0 to 16                              the column ``label``
code       "1" to "10", "A" to "G"              papers, maps
number     1 to 17                              GeoTIFFs of WUDAPT, the LCZ Generator, w2w; 0: nothing
wudapt     1 to 10, 101 to 107                  GeoTIFFs that keep room after 10, WRF; 0: nothing
========== ==================================== ==========================================================
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.errors import So2SatError

STANDARD = "standard"


@dataclass(frozen=True, slots=True)
class Grouping:
    """Coarser groups of the classes."""

    name: str
    """E.g. ``"built_natural"``."""

    title: str
    """For people."""

    names: tuple[str, ...]
    """Of the groups."""

    group_of: tuple[int, ...]
    """(17,) the group of each class, from 0."""


@dataclass(frozen=True, slots=True)
class Palette:
    """A colour for each class."""

    name: str
    """E.g. ``"colour_blind"``."""

    title: str
    """For people."""

    colors: tuple[str, ...]
    """(17,) ``"#rrggbb"`` in label order."""

    @property
    def rgb(self) -> tuple[tuple[int, int, int], ...]:
        """(17, 3) red, green and blue, 0 to 255."""
        return tuple(_rgb(color) for color in self.colors)


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


@cache
def schemes() -> dict[str, tuple[Any, ...]]:
    """Return what each scheme calls the 17 classes, in label order."""
    classes = facts.classes()
    return {
        "index": tuple(lcz.index for lcz in classes),
        "code": tuple(lcz.code for lcz in classes),
        "number": tuple(lcz.index + 1 for lcz in classes),
        "wudapt": tuple(lcz.index + 1 if lcz.built else lcz.index + 91 for lcz in classes),
    }


def convert(values: Sequence[Any] | NDArray[Any], source: str, target: str) -> NDArray[Any]:
    """Return classes under other names.

    Args:
        values: of any shape.
        source: scheme that they are in.
        target: scheme that is wanted.

    Raises:
        So2SatError: no such scheme, or a value that the scheme does not have.

    >>> convert(["1", "A", "G"], "code", "wudapt").tolist()
    [1, 101, 107]
    """
    known = schemes()
    for name in (source, target):
        if name not in known:
            raise So2SatError(f"scheme {name!r}", found="unknown", expected=" or ".join(known))
    array = np.asarray(values)
    found = np.full(array.shape, -1, np.int64)
    for index, name in enumerate(known[source]):
        found[array == name] = index
    if (found < 0).any():
        wrong = array[found < 0].ravel()[0].item()
        raise So2SatError(
            f"scheme {source}",
            found=repr(wrong),
            expected=f"one of {known[source]}",
        )
    return np.array(known[target])[found]


@cache
def groupings() -> dict[str, Grouping]:
    """Return every grouping by its name."""
    found = {}
    for name, row in facts.group_tables().items():
        group_of = [0] * facts.NUM_CLASSES
        for number, members in enumerate(row["members"]):
            for index in members:
                group_of[index] = number
        found[name] = Grouping(name, row["title"], tuple(row["names"]), tuple(group_of))
    return found


@cache
def palettes() -> dict[str, Palette]:
    """Return every palette by its name; the first is the standard one."""
    standard = Palette(
        STANDARD, "Of WUDAPT and Google Earth Engine", tuple(lcz.color for lcz in facts.classes())
    )
    others = {
        name: Palette(name, row["title"], tuple(row["colors"]))
        for name, row in facts.palette_tables().items()
    }
    return {STANDARD: standard, **others}


def palette(name: str = STANDARD) -> Palette:
    """Return a palette.

    Raises:
        So2SatError: there is none of this name.
    """
    if name not in palettes():
        raise So2SatError(f"palette {name!r}", found="unknown", expected=" or ".join(palettes()))
    return palettes()[name]
