"""The browse page with as many patches as the dataset has: time to the first paint, frames while it moves.

Positions are drawn around the cities, as many as the published files have in each. Headless Chromium opens
the page from a file and drags the map back and forth.

    python benchmarks/browse.py [--page browse.html] [--out results/browse.json]
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import measure

MOVE = """async () => {
  const times = []; let last = performance.now();
  for (let i = 0; i < 60; i++) {
    view.x += (i % 20 < 10 ? 1 : -1) * 8 / view.scale; later();
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const now = performance.now(); times.push((now - last) / 2); last = now;
  }
  const start = performance.now(); for (let i = 0; i < 10; i++) draw();
  return { frame_ms: times.sort((a, b) => a - b)[30], draw_ms: (performance.now() - start) / 10 };
}"""


def made_positions():
    """Return positions with the published number of patches of each city and split."""
    import numpy as np

    from so2sat_hf import facts
    from so2sat_hf.companions.index import SPLITS_OF_CULTURE_10
    from so2sat_hf.convert.geolocation import utm_of
    from so2sat_hf.maps.positions import Positions

    rng = np.random.default_rng(0)
    parts, ids, splits = [], [], []
    for stem, split in (("training", "train"), ("validation", "validation"), ("testing", "test")):
        row = 0
        for city in facts.cities():
            count = getattr(city, stem)
            x, y = utm_of(city.epsg, np.array([city.longitude]), np.array([city.latitude]))
            corner = np.round(rng.normal(0, 8_000, (count, 2)) / 100) * 100 + np.array([x[0], y[0]])
            parts.append((np.full(count, city.key), np.full(count, city.epsg), corner))
            ids += [f"{stem}/{row + number:06d}" for number in range(count)]
            splits += [split] * count
            row += count
    city, epsg, corner = (np.concatenate(values) for values in zip(*parts, strict=True))
    split = np.array(splits)
    by_version = {
        name: np.array([known.get(each, "") for each in splits])
        for name, known in SPLITS_OF_CULTURE_10.items()
    }
    drawn = np.where(rng.random(len(split)) < 0.9, "train", "test")
    by_version |= {"random": drawn, "block": rng.permutation(drawn)}
    return Positions(np.array(ids), rng.integers(0, 17, len(ids)), city, epsg, corner, by_version)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--page", type=Path, help="keep the page there")
    parser.add_argument("--picture", type=Path, help="a screenshot of it")
    parser.add_argument("--out", type=Path, default=measure.HERE / "results" / "browse.json")
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    from so2sat_hf.maps.browse import browse_page

    start = time.perf_counter()
    positions = made_positions()
    content = browse_page(positions, "So2Sat LCZ42, made positions", {})
    seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as driver:
        path = arguments.page or Path(temporary) / "browse.html"
        path.write_text(content)
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(path.resolve().as_uri())
        page.wait_for_selector("html[data-ready]")
        painted = page.evaluate("performance.getEntriesByName('painted')[0].startTime")
        if arguments.picture:
            page.screenshot(path=arguments.picture)
        moved = page.evaluate(MOVE)
        version = browser.version
        browser.close()
    result = {
        "patches": len(positions), "page_bytes": len(content.encode()), "written_seconds": round(seconds, 1),
        "first_paint_ms": round(painted), **{name: round(value, 1) for name, value in moved.items()},
        "chromium": version,
    }  # fmt: skip
    measure.write_result(arguments.out, result)
    print(result)


if __name__ == "__main__":
    main()
