"""A Sentinel-2 product as it is downloaded, a SAFE folder: its bands, and what their numbers mean."""

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from so2sat_hf import facts
from so2sat_hf.errors import So2SatError

BAND = re.compile(r"_(B\d[\dA])(?:_(\d\d)m)?\.(?:jp2|tif)$")
METADATA = {"MTD_MSIL1C.xml": "L1C", "MTD_MSIL2A.xml": "L2A"}
QUANTIFICATION = {"L1C": "QUANTIFICATION_VALUE", "L2A": "BOA_QUANTIFICATION_VALUE"}
OFFSET = {"L1C": "RADIO_ADD_OFFSET", "L2A": "BOA_ADD_OFFSET"}
BAND_IDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""In the order of ``band_id`` in the metadata."""

LARGEST_XML = 50_000_000
"""Bytes; the metadata of a product have some hundred thousand."""

LARGEST_NUMBER = 1e6
"""What digital numbers are divided by is 10,000, and what is added to them 1,000."""


@dataclass(frozen=True, slots=True)
class Product:
    """What a SAFE folder holds."""

    level: str
    """``L1C`` or ``L2A``."""

    files: dict[str, Path]
    """Band -> its file of the finest resolution that it has."""

    scale: float
    """Reflectance = (digital number + offset) x scale."""

    offsets: dict[str, float]
    """Band -> what is added to its digital numbers; 0 before January 2022."""


def is_safe(path: Path) -> bool:
    """Whether a path is a SAFE folder."""
    return path.is_dir() and any((path / name).is_file() for name in METADATA)


def read_safe(path: Path) -> Product:
    """Read the metadata of a SAFE folder, and find its bands.

    Raises:
        So2SatError: no metadata, or a band of the dataset is missing.
    """
    name, level = next((each for each in METADATA.items() if (path / each[0]).is_file()), ("", ""))
    if not name:
        raise So2SatError(path, found=f"no {' or '.join(METADATA)}", expected="a SAFE folder of Sentinel-2")
    if (path / name).stat().st_size > LARGEST_XML:
        raise So2SatError(path / name, found="more than 50 MB", expected="metadata of a product")
    try:
        text = (path / name).read_text(encoding="utf-8")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise So2SatError(path / name, found="a document type", expected="metadata of a product")
        root = ET.fromstring(text)  # noqa: S314 (size is checked; without a document type there are no entities)
    except (ET.ParseError, OSError, ValueError, LookupError) as error:  # also another encoding
        raise So2SatError(path / name, found=f"no XML ({error})", expected="metadata of a product") from error
    values = [each.text for each in root.iter() if _tag(each) == QUANTIFICATION[level]]
    divisor = _number(values[0] if values else None, QUANTIFICATION[level], path / name)
    if not 1 <= divisor <= LARGEST_NUMBER:
        raise So2SatError(
            path / name,
            found=f"{QUANTIFICATION[level]} {divisor:g}",
            expected="what digital numbers are divided by, such as 10000",
        )
    offsets = dict.fromkeys(BAND_IDS, 0.0)
    for each in root.iter():
        if _tag(each) == OFFSET[level]:
            band = each.attrib.get("band_id", "")
            if band not in map(str, range(len(BAND_IDS))):
                found = f"{OFFSET[level]} of band_id {band!r}"
                raise So2SatError(path / name, found=found, expected="0 to 12")
            offsets[BAND_IDS[int(band)]] = _number(each.text, OFFSET[level], path / name)
    return Product(level, _files(path), 1 / divisor, offsets)


def _number(text: str | None, name: str, path: Path) -> float:
    """Return the number in an element.

    Raises:
        So2SatError: there is none.
    """
    try:
        number = float(text or "")
        if abs(number) <= LARGEST_NUMBER:
            return number
    except ValueError:
        pass
    raise So2SatError(
        path, found=f"{name} {text!r}", expected="a number", remedy="download the product again"
    )


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _files(path: Path) -> dict[str, Path]:
    """Return band -> file; of several resolutions the finest."""
    found: dict[str, tuple[int, Path]] = {}
    for file in sorted(path.glob("GRANULE/*/IMG_DATA/**/*")):
        match = BAND.search(file.name)
        if match:
            band, metres = match[1], int(match[2] or 0)
            if band not in found or metres < found[band][0]:
                found[band] = metres, file
    missing = [band.name for band in facts.bands("sen2") if band.name not in found]
    if missing:
        raise So2SatError(path, found=f"no file of {', '.join(missing)}", expected="all ten bands")
    return {band: file for band, (_, file) in found.items()}
