"""A whole Sentinel-2 tile, 10,980 x 10,980 pixels of 10 m: how long a map of it takes, and how much memory.

The scene is made of generated patches laid side by side, stored as digital numbers in a tiled GeoTIFF (2.4
GB); the model is an untrained ``vit-tiny-8``, as fast as a trained one. ``so2sat map`` runs in a process of
its own.

    python benchmarks/map_scene.py [--pixels 10980] [--work DIR] [--out results/map.json]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure

STRIP = 320
"""Pixels of a strip of the scene, written at a time."""


def write_scene(path, pixels):
    """Write a scene of generated patches, 100 of them over and over."""
    import numpy as np
    import rasterio

    from so2sat_hf import facts
    from so2sat_hf.synthetic import patches

    numbers = np.rint(patches("test", 100).sen2 * 10_000).astype(np.uint16).transpose(0, 3, 1, 2)
    square = numbers.reshape(10, 10, 10, 32, 32).transpose(2, 0, 3, 1, 4).reshape(10, STRIP, STRIP)
    strip = np.tile(square, (1, 1, -(-pixels // STRIP)))[:, :, :pixels]
    with rasterio.open(
        path, "w", driver="GTiff", count=10, height=pixels, width=pixels, dtype="uint16", crs="EPSG:32632",
        transform=rasterio.Affine(10, 0, 600_000, 0, -10, 5_400_000), tiled=True, blockxsize=256,
        blockysize=256, BIGTIFF="YES",
    ) as file:  # fmt: skip
        for number, band in enumerate(facts.bands("sen2"), 1):
            file.set_band_description(number, band.name)
        for top in range(0, pixels, STRIP):
            rows = min(STRIP, pixels - top)
            file.write(strip[:, :rows], window=rasterio.windows.Window(0, top, pixels, rows))


def save_model(folder):
    """Save a model that was never trained, with the processor that says what it eats."""
    from so2sat_hf import facts
    from so2sat_hf.vision.catalogue import preset
    from so2sat_hf.vision.from_scratch import scratch_model
    from so2sat_hf.vision.processor import image_processor

    known = facts.statistics("2/training")
    bands = {
        band.name: {"unit": "reflectance", "mean": known.mean[band.name], "std": known.std[band.name]}
        for band in facts.bands("sen2")
    }
    s2 = preset("s2").with_statistics({"bands": bands}, "published")
    scratch_model("vit-tiny-8", s2).save_pretrained(folder)
    image_processor(s2).save_pretrained(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pixels", type=int, default=10_980, help="along a side of the scene")
    parser.add_argument("--work", type=Path, help="where scratch data goes; default: where Python puts it")
    parser.add_argument("--out", type=Path, default=measure.HERE / "results" / "map.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as temporary:
        work = Path(temporary)
        write_scene(work / "scene.tif", arguments.pixels)
        save_model(work / "model")
        command = [sys.executable, "-c", "from so2sat_hf.cli import cli; cli()", "map", str(work / "model")]
        load = os.getloadavg()[0]
        start = time.perf_counter()
        process = subprocess.Popen(
            [*command, str(work / "scene.tif"), str(work / "lcz.tif"), "--units", "dn"]
        )
        memory = measure.Memory(process.pid)
        memory.start()
        code = process.wait()
        seconds = time.perf_counter() - start
        peaks = memory.stop()
        scene_bytes, map_bytes = ((work / name).stat().st_size for name in ("scene.tif", "lcz.tif"))
    cells = (arguments.pixels // 10) ** 2
    result = {
        "pixels": arguments.pixels, "cells": cells, "model": "vit-tiny-8", "exit_code": code,
        "seconds": round(seconds), "cells_per_second": round(cells / seconds), "load_before": round(load, 2),
        "memory": peaks,
        "scene_bytes": scene_bytes, "map_bytes": map_bytes,
    }  # fmt: skip
    measure.write_result(arguments.out, result)
    print(result)


if __name__ == "__main__":
    main()
