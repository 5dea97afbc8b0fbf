"""``statistics.json`` as it is read: numbers of bands, checked before anybody computes with them. Pure."""

import json
import math
from typing import Any

from so2sat_hf.convert.manifest import STATISTICS
from so2sat_hf.errors import FolderError


def parse_statistics(content: str | bytes, place: object) -> dict[str, Any]:
    """Understand what ``so2sat build`` measured.

    Args:
        content: of the file.
        place: folder or repository that holds it, for the error.

    Returns:
        ``split``, ``rows``, and ``bands``: name -> ``unit``, ``mean``, ``std`` and other numbers.

    Raises:
        FolderError: the file is damaged.
    """
    try:
        found: dict[str, Any] = json.loads(content)
        _check(found)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise FolderError(
            f"{STATISTICS} of {place}",
            found=f"damaged ({error})",
            expected="what `so2sat build` wrote",
            remedy="copy the file again, or build the folder again",
        ) from error
    return found


def _check(found: dict[str, Any]) -> None:
    if not isinstance(found["split"], str) or type(found["rows"]) is not int:
        raise TypeError("no split and rows")
    for name, row in found["bands"].items():
        if not {"unit", "mean", "std"} <= row.keys():
            raise ValueError(f"band {name} without unit, mean and std")
        if not isinstance(row["unit"], str):
            raise TypeError(f"unit of {name} that is no text")
        numbers = [value for key, value in row.items() if key != "unit"]
        is_number = all(isinstance(each, int | float) and not isinstance(each, bool) for each in numbers)
        if not is_number or not all(map(math.isfinite, numbers)) or row["std"] <= 0:
            raise ValueError(f"numbers of {name} that cannot be")
