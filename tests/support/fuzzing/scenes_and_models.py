"""Scenes for maps, and folders of models."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzzing.base import linked, made, replaced
from fuzzing.mutate import changed_tree, damaged

Attempt = Callable[[Random, Path], None]


def geotiffs(base: Path) -> Attempt:
    """GeoTIFFs with changed bytes: opened, placed, and a tile of them read."""
    content = (made(base, "scene") / "scene.tif").read_bytes()

    def attempt(rng: Random, folder: Path) -> None:
        path = folder / "scene.tif"
        path.write_bytes(damaged(content, rng))
        read_tile(path)

    return attempt


def read_tile(path: Path) -> None:
    """Read the first tile of a scene as ``so2sat map`` does."""
    from so2sat_hf.maps.geotiff import utm_zone
    from so2sat_hf.maps.scene import bounds_of, open_scene, read_scene
    from so2sat_hf.maps.tiles import grid_over, pixels_of, tiles_of

    scene = open_scene(path, ("B02", "B03", "B04"))
    epsg = utm_zone(scene.info)
    grid = grid_over(epsg, bounds_of([scene], epsg), 100.0)
    tile = next(tiles_of(grid, 64))
    row, column, rows, columns = pixels_of(grid, tile)
    pixels, known = read_scene(scene, epsg, grid.left + 10 * column, grid.top - 10 * row, rows, columns)
    assert np.isfinite(pixels).all(), "pixels that are no numbers"
    assert pixels.shape[1:] == known.shape, "another shape"


def safes(base: Path) -> Attempt:
    """SAFE folders: their metadata, and files that are missing or damaged."""
    folders = sorted(made(base, "scene").glob("*.SAFE"))

    def attempt(rng: Random, folder: Path) -> None:
        safe = linked(rng.choice(folders), folder / "scene.SAFE")
        metadata = next(safe.glob("MTD_*.xml"))
        images = sorted(safe.rglob("*.jp2"))
        what = rng.randrange(5)
        if what < 3:
            replaced(
                metadata,
                damaged(metadata.read_bytes(), rng) if what else _other_xml(metadata.read_text(), rng),
            )
        elif what == 3:
            rng.choice(images).unlink()
        else:
            image = rng.choice(images)
            replaced(image, damaged(image.read_bytes(), rng))
        read_tile(safe)

    return attempt


def _other_xml(text: str, rng: Random) -> bytes:
    """Change a number or a name between its signs."""
    old, new = rng.choice(
        [
            (
                ">10000<",
                rng.choice(("><", ">nan<", ">-1<", ">0<", ">1e999<", ">x<", ">\uff11\uff10<", ">1e-320<")),
            ),
            ('band_id="3"', rng.choice(('band_id="99"', 'band_id="-1"', 'band_id="x"', "", 'band_id=""'))),
            (">-1000<", rng.choice((">nan<", ">inf<", ">x<", "><", ">1e308<"))),
            (
                '<?xml version="1.0"?>',
                '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]>',
            ),
            ("QUANTIFICATION_VALUE", "QUANTIFICATION"),
        ]
    )
    return text.replace(old, new, rng.choice((1, -1))).encode()


def models(base: Path) -> Attempt:
    """Model folders: configuration, processor, weights."""
    folder_of_model = made(base, "model")

    def attempt(rng: Random, folder: Path) -> None:
        from so2sat_hf.training.classifier import open_classifier

        copy = linked(folder_of_model, folder / "model")
        name = rng.choice(
            ("config.json", "preprocessor_config.json", "preprocessor_config.json", "model.safetensors")
        )
        _change(copy / name, rng)
        found = open_classifier(str(copy))
        assert sorted(found.order) == list(range(17)), "classes that are not the 17"

    return attempt


def _change(path: Path, rng: Random) -> None:
    content = path.read_bytes()
    if path.suffix == ".json" and rng.random() < 0.8:
        replaced(path, json.dumps(changed_tree(json.loads(content), rng), default=str).encode())
    else:
        replaced(path, damaged(content, rng))


def records(base: Path) -> Attempt:
    """``so2sat.json`` and ``report.json`` of a training, from which its card is written."""
    folder_of_model = made(base, "model")
    from so2sat_hf.training.run import RECORD

    def attempt(rng: Random, folder: Path) -> None:
        from so2sat_hf.training.run import address_card, write_card

        copy = folder / "model"
        copy.mkdir()
        shutil.copy(folder_of_model / RECORD, copy / RECORD)
        _change(copy / RECORD, rng)
        write_card(copy)
        address_card(copy, "maria/lcz")

    return attempt


Tree = Any
