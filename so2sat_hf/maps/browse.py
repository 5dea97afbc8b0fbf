"""All patches on one page: a map, filters, a picture of each; no network, no server."""

import base64
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.geolocation import lonlat_of
from so2sat_hf.convert.patches import parse_id
from so2sat_hf.errors import SourceError
from so2sat_hf.load.by_id import patches
from so2sat_hf.load.place import Place
from so2sat_hf.maps.positions import SIDE, Positions
from so2sat_hf.pages.choice import city_name
from so2sat_hf.pages.html import page, png, text
from so2sat_hf.pages.panels import PANELS

PICTURES = 2000
"""Embedded unless told otherwise: about 5 MB."""

BLOCK = 256
"""Patches read at a time."""

BITS = {"train": 1, "validation": 2, "test": 3}
"""Split -> two bits for each version; 0: in none."""


def browse_page(
    positions: Positions, name: str, pictures: Mapping[str, bytes], *, server: bool = False
) -> str:
    """Return the page.

    Args:
        positions: of all patches.
        name: of the dataset, for people.
        pictures: id -> PNG, for those that are embedded.
        server: whether ``picture/ID.png`` is served for every patch.
    """
    cities, city = np.unique(positions.city, return_inverse=True)
    outlines = json.loads((files(__package__) / "outlines.json").read_text(encoding="utf-8"))
    stems, points = _points(positions, city.ravel())
    meta: dict[str, Any] = {
        "count": len(positions),
        "classes": [{"code": lcz.code, "name": lcz.name, "color": lcz.color} for lcz in facts.classes()],
        "cities": [city_name(str(key)) for key in cities],
        "versions": list(positions.splits),
        "files": stems,
        "outlines": {key: outlines[key] for key in ("scale", "translate")},
        "pictures": {key: base64.b64encode(value).decode() for key, value in pictures.items()},
        "server": server,
        "hint": "not among those in this page: so2sat browse --serve shows all" if pictures else "",
    }
    plain = json.dumps(meta, separators=(",", ":")).replace("<", "\\u003c")
    body = (
        '<div id="map"><canvas id="base"></canvas>'
        '<canvas id="canvas" aria-label="Map of the patches"></canvas><div id="scale"></div>'
        '<div id="zoom"><button id="in" title="nearer">+</button><button id="out" title="further">-</button>'
        '<button id="home" title="the whole world">&#8962;</button></div></div>\n'
        f'<div id="side"><h1>{text(name)}</h1><div><span id="count">{len(positions):,}</span> patches</div>'
        '<div id="card"><p class="muted">Click a patch.</p></div>'
        '<h2>Where</h2><div class="two"><span>city</span><select id="city"></select>'
        '<span>version</span><select id="version"></select>'
        '<span>split</span><select id="split"></select></div>'
        '<h2>Classes <button id="all">all</button> <button id="none">none</button></h2>'
        '<div id="classes"></div>'
        '<p class="muted">So2Sat LCZ42, CC BY 4.0. Coasts and borders: Natural Earth.</p></div>\n'
        f'<script type="application/json" id="meta">{plain}</script>\n'
        f'<script type="text/plain" id="points">{points}</script>\n'
        f'<script type="text/plain" id="outlines">{_arcs(outlines["arcs"])}</script>'
    )
    style, script = ((files(__package__) / f"browse.{end}").read_text("utf-8") for end in ("css", "js"))
    images = "data: 'self'" if server else "data:"
    return page(f"{name}: all patches", body, style=style, script=script, images=images)


def _packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 9)).decode()


def _points(positions: Positions, city: NDArray[np.int64]) -> tuple[list[str], str]:
    """Return stems of the ids, and all numbers of the patches, packed: see ``load`` in ``browse.js``."""
    longitude, latitude = centres(positions)
    parsed = _parsed(positions)
    stems = sorted({stem for stem, _ in parsed})
    place = {stem: number for number, stem in enumerate(stems)}
    bits = np.zeros(len(positions), np.uint16)
    for number, splits in enumerate(positions.splits.values()):
        for split, value in BITS.items():
            bits[splits == split] |= np.uint16(value << (2 * number))
    parts: Sequence[NDArray[Any]] = (
        longitude.astype("<f4"),
        latitude.astype("<f4"),
        np.array([row for _, row in parsed], "<u4"),
        bits.astype("<u2"),
        positions.label.astype("u1"),
        city.astype("u1"),
        np.array([place[stem] for stem, _ in parsed], "u1"),
    )
    return stems, _packed(b"".join(part.tobytes() for part in parts))


def _parsed(positions: Positions) -> list[tuple[str, int]]:
    """Return file and row of every patch, from its id."""
    try:
        return [parse_id(str(name)) for name in positions.ids]
    except ValueError as error:
        raise SourceError("ids", found=str(error), expected="ids such as training/000123") from error


def centres(positions: Positions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return longitude and latitude of the centres of patches, in degrees."""
    longitude, latitude = np.zeros(len(positions)), np.zeros(len(positions))
    for code in np.unique(positions.epsg):
        rows = positions.epsg == code
        x, y = positions.corner[rows, 0] + SIDE / 2, positions.corner[rows, 1] - SIDE / 2
        longitude[rows], latitude[rows] = lonlat_of(int(code), x, y)
    return longitude, latitude


def _arcs(arcs: Sequence[Sequence[int]]) -> str:
    """Return coasts and borders as whole numbers: points of a line, then its steps; line after line."""
    numbers = [number for arc in arcs for number in (len(arc) // 2, *arc)]
    return _packed(np.array(numbers, "<i4").tobytes())


def sample(positions: Positions, count: int, seed: int = 0) -> list[str]:
    """Return ids of patches to show, the classes in turn."""
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(positions))
    turn = np.zeros(len(positions), np.int64)
    for index in np.unique(positions.label):
        rows = shuffled[positions.label[shuffled] == index]
        turn[rows] = np.arange(len(rows))
    order = shuffled[np.argsort(turn[shuffled], kind="stable")]
    return sorted(str(name) for name in positions.ids[order[:count]])


def pictures_of(
    ids: Sequence[str], place: Place, progress: Callable[[int], None] | None = None
) -> dict[str, bytes]:
    """Return a PNG of each patch: true colour, or radar where there is nothing else.

    Args:
        ids: of the patches.
        place: with their pixels; without any nothing is returned.
        progress: called with the patches drawn.
    """
    panels = [panel for panel in (PANELS[0], PANELS[-1]) if panel.sensor in place.manifest.columns]
    if not panels:
        return {}
    found = {}
    for start in range(0, len(ids), BLOCK):
        some = ids[start : start + BLOCK]
        block = patches(some, place, columns=[panels[0].sensor])
        for row, name in enumerate(some):
            found[name] = png(panels[0].draw(block, row))
        if progress:
            progress(len(some))
    return found
