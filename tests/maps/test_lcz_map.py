"""Scenes to maps: the classes of the model in the right cells, whatever files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import rasterio.vrt
import torch
from click.testing import CliRunner
from mapped import mapped, read
from PIL import Image
from scenes import CORNER, NAMES, TWENTY, write_safe, write_scene
from transformers import AutoImageProcessor, AutoModelForImageClassification

from so2sat_hf import facts
from so2sat_hf.cli import cli
from so2sat_hf.errors import So2SatError
from so2sat_hf.load.by_id import patches
from so2sat_hf.maps.map_picture import LARGEST, MARGIN
from so2sat_hf.maps.scene import bounds_of, open_scene
from so2sat_hf.maps.smooth import smoothed
from so2sat_hf.maps.tiles import grid_over
from so2sat_hf.maps.unlike import unlike
from so2sat_hf.training.classifier import open_classifier


@pytest.fixture(scope="module")
def blocky(pixels: np.ndarray) -> np.ndarray:
    """The same, where 20 m bands have the same value in four pixels, as in the dataset."""
    made = pixels.copy()
    for index, name in enumerate(NAMES):
        if name in TWENTY:
            made[index] = pixels[index, ::2, ::2].repeat(2, 0).repeat(2, 1)
    return made


def said_by(model: Path, windows: np.ndarray) -> np.ndarray:
    """Return (n, 17) probabilities of plain transformers, for (n, 10, 32, 32) reflectance."""
    network = AutoModelForImageClassification.from_pretrained(model).eval()
    processor = AutoImageProcessor.from_pretrained(model, trust_remote_code=True)
    with torch.inference_mode():
        logits = network(**processor(list(windows), return_tensors="pt")).logits
    return torch.softmax(logits, dim=-1).numpy()


def test_patches_side_by_side_map_back_to_their_classes(
    model: Path, built: Path, pixels: np.ndarray, tmp_path: Path
) -> None:
    """Cells of 320 m are the patches: the accuracy of the map is that of the model on them."""
    scene = write_scene(tmp_path / "scene.tif", pixels)
    mapped(model, tmp_path / "lcz.tif", scene, stride=320, probabilities=True)

    block = patches([f"testing/{row:06d}" for row in range(64)], built, columns=["sen2"])
    expected = said_by(model, block.sen2)
    found = read(tmp_path / "lcz.tif")[0].ravel()
    assert np.array_equal(found, expected.argmax(axis=1) + 1)
    right = (expected.argmax(axis=1) == block.label).mean()
    assert (found == block.label + 1).mean() == right > 0.2
    chance = read(tmp_path / "lcz_probabilities.tif").reshape(17, -1).T
    assert np.abs(chance / 10_000 - expected).max() < 1e-4
    with rasterio.open(tmp_path / "lcz.tif") as file:
        assert (file.transform.c, file.transform.f, file.transform.a) == (*CORNER, 320)


def test_windows_lie_around_their_cells(model: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    """The cell at row i and column j shows what the model says of the 320 m with the same centre."""
    mapped(model, tmp_path / "lcz.tif", write_scene(tmp_path / "scene.tif", pixels), probabilities=True)

    found = read(tmp_path / "lcz.tif")[0]
    assert found.shape == (25, 25)
    assert not found[0].any()  # windows that reach beyond the scene are left out
    assert not found[:, 0].any()
    assert not found[:, 24].any()
    assert found[2:23, 2:23].all()
    for row, column in ((2, 2), (5, 17), (22, 9)):
        first, along = row * 10 - 11, column * 10 - 11
        window = pixels[:, first : first + 32, along : along + 32]
        chance = read(tmp_path / "lcz_probabilities.tif")[:, row, column] / 10_000
        assert np.abs(chance - said_by(model, window[None])[0]).max() < 1e-4


def test_colours_and_names(model: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    """A Byte with 0 for nothing, a colour table, names where GDAL looks; other numbers, other colours."""
    scene = write_scene(tmp_path / "scene.tif", pixels)
    mapped(model, tmp_path / "lcz.tif", scene)
    mapped(model, tmp_path / "wudapt.tif", scene, values="wudapt", palette="colour_blind")

    with rasterio.open(tmp_path / "lcz.tif") as file:
        assert (file.dtypes, file.nodata, file.crs.to_epsg()) == (("uint8",), 0, 32632)
        for lcz in facts.classes():
            color = file.colormap(1)[lcz.index + 1]
            assert f"#{color[0]:02x}{color[1]:02x}{color[2]:02x}" == lcz.color
    names = (tmp_path / "lcz.tif.aux.xml").read_text()
    assert "<Category>LCZ G Water</Category></CategoryNames>" in names
    one, other = read(tmp_path / "lcz.tif"), read(tmp_path / "wudapt.tif")
    assert np.array_equal(np.where(one > 10, one + 90, one), other)
    assert not list(tmp_path.glob("*.tiles"))


@pytest.mark.parametrize(
    "kind", ["L1C", "L1C, offset", "L2A, offset", "dn", "dn-1000", "scale", "nodata", "vrt"]
)
def test_scenes_of_every_kind(kind: str, model: Path, blocky: np.ndarray, tmp_path: Path) -> None:
    """SAFE folders before and since 2022, digital numbers, scales in the metadata: the same map."""
    mapped(model, tmp_path / "expected.tif", write_scene(tmp_path / "plain.tif", blocky))
    numbers = np.rint(blocky * 10_000).astype(np.uint16)
    units = kind if kind.startswith("dn") else None
    if kind.startswith("L"):
        scene = write_safe(tmp_path, blocky, level=kind[:3], offset=-1000 if "offset" in kind else 0)
    elif kind == "vrt":
        scene = tmp_path / "scene.vrt"
        rasterio.shutil.copy(tmp_path / "plain.tif", scene, driver="VRT")
    else:
        numbers = numbers + 1000 if kind == "dn-1000" else numbers
        scene = write_scene(tmp_path / "dn.tif", numbers, unit="", nodata=0 if kind == "nodata" else None)
        units = "dn" if kind == "nodata" else units
    if kind == "scale":
        with rasterio.open(scene, "r+") as file:
            file.scales = [1e-4] * 10

    mapped(model, tmp_path / "lcz.tif", scene, units=units)

    assert np.array_equal(read(tmp_path / "lcz.tif"), read(tmp_path / "expected.tif"))


def test_unknown_pixels_leave_holes(model: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    """A cell is left out if any pixel of its window is unknown, in any band, and no other cell is."""
    made = pixels.copy()
    made[3, 120, 130] = np.nan
    mapped(model, tmp_path / "whole.tif", write_scene(tmp_path / "a.tif", pixels))
    mapped(model, tmp_path / "holes.tif", write_scene(tmp_path / "b.tif", made))

    whole, holes = read(tmp_path / "whole.tif")[0], read(tmp_path / "holes.tif")[0]
    row, column = np.mgrid[:25, :25]
    first, along = row * 10 - 11, column * 10 - 11
    inside = (first <= 120) & (first + 32 > 120) & (along <= 130) & (along + 32 > 130)
    assert np.array_equal(holes == 0, inside | (whole == 0))
    assert np.array_equal(holes[holes > 0], whole[holes > 0])


def test_scenes_side_by_side_and_on_each_other(model: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    """Mosaicked where one ends, averaged where they overlap."""
    left = write_scene(tmp_path / "left.tif", pixels[:, :, :160])
    right = write_scene(tmp_path / "right.tif", pixels[:, :, 96:], corner=(CORNER[0] + 960, CORNER[1]))
    dark = write_scene(tmp_path / "dark.tif", pixels * np.float32(0.7))
    plain = write_scene(tmp_path / "plain.tif", pixels)
    for name, scenes in {
        "two": (left, right),
        "one": (plain,),
        "dark": (dark,),
        "both": (plain, dark),
    }.items():
        mapped(model, tmp_path / f"{name}_lcz.tif", *scenes, probabilities=True)

    chance = {
        name: read(tmp_path / f"{name}_lcz_probabilities.tif").astype(int)
        for name in ("two", "one", "dark", "both")
    }
    assert np.array_equal(chance["two"], chance["one"])
    known = chance["one"] != 65535
    assert np.abs((chance["one"] + chance["dark"]) / 2 - chance["both"])[known].max() <= 1


def test_other_zones_are_warped(model: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    """A scene in degrees is mapped in the UTM zone of its middle."""
    plain = write_scene(tmp_path / "plain.tif", pixels)
    warped = tmp_path / "degrees.tif"
    with rasterio.open(plain) as file, rasterio.vrt.WarpedVRT(file, crs="EPSG:4326", nodata=0) as vrt:
        rasterio.shutil.copy(vrt, warped, driver="GTiff")
    with rasterio.open(warped, "r+") as file:
        file.descriptions, file.units = NAMES, ["reflectance"] * 10

    mapped(model, tmp_path / "lcz.tif", warped)

    with rasterio.open(tmp_path / "lcz.tif") as file:
        assert file.crs.to_epsg() == 32632
        assert abs(file.transform.c - CORNER[0]) < 400
        assert abs(file.transform.f - CORNER[1]) < 400
        assert (file.read(1) > 0).mean() > 0.5


def test_filters() -> None:
    """A lonely cell goes, a zone stays, holes stay holes."""
    chance = np.zeros((17, 9, 9), np.float32)
    chance[0], chance[5, :, 5:] = 0.4, 0.8
    chance[3, 4, 1] = 0.9
    known = np.ones((9, 9), bool)
    known[8] = False

    plain = smoothed(chance, known, "none", 0, 100)
    assert plain[4, 1] == 3
    for way in ("majority", "gaussian"):
        found = smoothed(chance, known, way, 150, 100)
        assert found[4, 1] == 0
        assert (found[:8, 7:] == 5).all()
        assert (found[8] == -1).all()
    with pytest.raises(So2SatError, match="--smooth: median"):
        smoothed(chance, known, "median", 150, 100)


def test_a_scene_unlike_the_training_is_told_of(model: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    """Wrong units show; the right ones do not."""
    classifier = open_classifier(str(model))
    known = {band: (low, high) for band, low, high in classifier.preset.ranges}
    assert list(known) == NAMES
    without = replace(classifier.preset, ranges=())  # of a model that was trained elsewhere
    for name, values, expected in (
        ("right", pixels, []), ("bright", pixels + np.float32(0.6), NAMES),
        ("offset", pixels + np.float32(0.1), ["B02", "B03"]),
        ("dark", pixels - np.float32(0.1), ["B02", "B03"]),
    ):  # fmt: skip
        scene = open_scene(write_scene(tmp_path / f"{name}.tif", values), classifier.preset.bands)
        grid = grid_over(32632, bounds_of([scene], 32632), 100)
        for eaten in (classifier.preset, without):
            told = unlike([scene], eaten, grid)
            assert {line.split()[1].rstrip(":") for line in told} >= set(expected), (name, told)
            assert bool(told) == bool(expected)
    low, high = known["B02"]
    (line,) = [line for line in unlike([scene], classifier.preset, grid) if " B02:" in line]
    assert f"outside {low:.3f} to {high:.3f}" in line
    scene = open_scene(write_scene(tmp_path / "dn.tif", pixels * 10_000), classifier.preset.bands)
    assert "dn.tif looks like digital numbers: --units dn" in unlike([scene], classifier.preset, grid)[-1]


def test_the_picture_shows_the_map(model: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    """In its colours, cell by cell, and with a legend beside it."""
    scene, out = write_scene(tmp_path / "scene.tif", pixels), tmp_path / "lcz.tif"

    result = CliRunner().invoke(cli, ["map", str(model), str(scene), str(out), "--picture"])

    assert result.exit_code == 0, result.output
    assert str(out.with_suffix(".png")) in result.stdout.split()
    with rasterio.open(out) as file:
        cells, colors = file.read(1), file.colormap(1)
    times = LARGEST // max(cells.shape)
    with Image.open(out.with_suffix(".png")) as picture:
        assert picture.width > times * cells.shape[1]
        for row, column in ((0, 0), (5, 7), (cells.shape[0] - 1, cells.shape[1] - 1)):
            place = MARGIN + column * times + times // 2, MARGIN + row * times + times // 2
            known = cells[row, column]
            assert picture.getpixel(place) == (colors[known][:3] if known else (255, 255, 255))
