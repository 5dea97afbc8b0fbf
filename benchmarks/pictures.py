"""The pictures of the README, made of generated data by the commands that they show.

A small model is trained on generated patches and maps a scene that is made of others, laid out as a town with
its surroundings; the report of the model, the browse page of the dataset and the map are drawn.

    python benchmarks/pictures.py [--work DIR]      # some minutes; writes ../cards/{map,report,browse}.png
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import measure

CARDS = measure.HERE.parent / "cards"
SIDE = 24
"""Patches along the scene."""

RINGS = ((0.0, (0, 1)), (0.18, (1, 2, 4)), (0.34, (4, 5)), (0.5, (5, 7)), (0.66, (8, 13)), (0.82, (10, 13)))
"""Distance from the centre -> classes there; a river of water runs through."""


def so2sat(*words):
    """Run a command as a user types it."""
    command = [sys.executable, "-c", "from so2sat_hf.cli import cli; cli()", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def town(seed=3):
    """Return (SIDE, SIDE) classes of a town."""
    import numpy as np

    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    rough = np.kron(rng.normal(0, 0.07, (SIDE // 3, SIDE // 3)), np.ones((3, 3)))
    far = np.hypot(row, column) / (SIDE / 2) + rough
    side = np.kron(rng.random((SIDE // 3, SIDE // 3)), np.ones((3, 3)))
    classes = np.zeros((SIDE, SIDE), int)
    for start, names in RINGS:
        chosen = np.array(names)[(side * len(names)).astype(int)]
        classes = np.where(far >= start, chosen, classes)
    river = np.abs(column - 3 * np.sin(row / 4) - 2) < 1
    return np.where(river, 16, classes)


def scene_of(classes):
    """Return (10, height, width) reflectance of generated patches of these classes."""
    import numpy as np

    from so2sat_hf.synthetic import patches

    made = patches("test", 4_000, seed=9)
    rng = np.random.default_rng(0)
    rows = [rng.choice(np.flatnonzero(made.label == index)) for index in classes.ravel()]
    laid = made.sen2[rows].reshape(SIDE, SIDE, 32, 32, 10)
    return laid.transpose(4, 0, 2, 1, 3).reshape(10, SIDE * 32, SIDE * 32).astype(np.float32)


def write_scene(path, pixels):
    import rasterio

    from so2sat_hf import facts

    with rasterio.open(
        path, "w", driver="GTiff", count=10, height=pixels.shape[1], width=pixels.shape[2], dtype="float32",
        crs="EPSG:32632", transform=rasterio.Affine(10, 0, 690_000, 0, -10, 5_340_000),
    ) as file:  # fmt: skip
        file.write(pixels)
        for number, band in enumerate(facts.bands("sen2"), 1):
            file.set_band_description(number, band.name)
            file.set_band_unit(number, "reflectance")


def draw_map(scene, classes, lcz, target):
    """Draw scene, its true classes and the map side by side, with a legend."""
    import numpy as np
    import rasterio
    from PIL import Image, ImageDraw, ImageFont

    from so2sat_hf import facts
    from so2sat_hf.facts.labels import palette
    from so2sat_hf.pages.panels import GAMMA, STRETCH

    width, gap, top = 400, 16, 34
    colors = np.array(palette().rgb, np.uint8)
    channels = []
    for name in ("B04", "B03", "B02"):
        low, high = STRETCH[name]
        values = scene[[band.name for band in facts.bands("sen2")].index(name)]
        channels.append(np.clip((values - low) / (high - low), 0, 1) ** (1 / GAMMA["reflectance"]))
    with rasterio.open(lcz) as file:
        found = file.read(1)
    shown = np.where(found[..., None] > 0, colors[np.maximum(found, 1) - 1], 255).astype(np.uint8)
    panels = (
        ("Scene, true colour", (255 * np.stack(channels, -1)).astype(np.uint8)),
        ("What it is made of", colors[classes]),
        ("so2sat map", shown),
    )
    sheet = Image.new("RGB", (3 * width + 4 * gap, top + width + 120), "white")
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    for number, (title, pixels) in enumerate(panels):
        left = gap + number * (width + gap)
        canvas.text((left, top - 10), title, "#1f2328", font, anchor="ls")
        sheet.paste(Image.fromarray(pixels).resize((width, width), Image.Resampling.NEAREST), (left, top))
    present = [
        lcz for lcz in facts.classes() if (classes == lcz.index).any() or (found == lcz.index + 1).any()
    ]
    for number, each in enumerate(present):
        left, line = gap + (number % 6) * 205, top + width + 22 + (number // 6) * 26
        canvas.rectangle((left, line, left + 14, line + 14), each.color, "#d1d9e0")
        canvas.text((left + 22, line + 13), f"{each.code} {each.name}", "#1f2328", font, anchor="ls")
    sheet.save(target, optimize=True)


def screenshot(page, target, size, prepare=""):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": size[0], "height": size[1]})
        opened.goto(page.resolve().as_uri())
        if prepare:
            opened.wait_for_selector("html[data-ready]")
            opened.evaluate(prepare)
            opened.wait_for_timeout(500)
        opened.screenshot(path=target)
        browser.close()


BROWSE = """() => {
  document.getElementById("city").value = meta.cities.indexOf("Munich");
  filter(); fly(meta.cities.indexOf("Munich"));
  const id = (i) => `${meta.files[file[i]]}/${String(row[i]).padStart(6, "0")}`;
  show([...visible].findIndex((v, i) => v && meta.pictures[id(i)]));
}"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, help="where scratch data goes; default: where Python puts it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as temporary:
        work = Path(temporary)
        so2sat("synth", work / "raw", "--train", 6000, "--validation", 600, "--test", 1500)
        so2sat("build", work / "raw", work / "out", "--companions", "index")
        flags = {
            "model": "vit-tiny-8",
            "num_train_epochs": 5,
            "per_device_train_batch_size": 64,
            "use_cpu": True,
        }
        words = [word for name, value in flags.items() for word in (f"--{name}", value)]
        so2sat("train", "--data", work / "out", "--output_dir", work / "run", *words)
        classes = town()
        scene = scene_of(classes)
        write_scene(work / "scene.tif", scene)
        so2sat("map", work / "run", work / "scene.tif", work / "lcz.tif", "--smooth", "majority")
        draw_map(scene, classes, work / "lcz.tif", CARDS / "map.png")
        screenshot(work / "run" / "report.html", CARDS / "report.png", (1120, 930))
        so2sat("browse", work / "out", "-o", work / "browse.html", "--pictures", 1500)
        screenshot(work / "browse.html", CARDS / "browse.png", (1120, 640), BROWSE)


if __name__ == "__main__":
    main()
