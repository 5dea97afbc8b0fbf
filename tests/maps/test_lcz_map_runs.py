"""Runs of maps: tiles, processes, kills and wrong arguments change no cell, and lose no scene."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from mapped import mapped, read
from scenes import CORNER, write_safe, write_scene

from so2sat_hf import facts
from so2sat_hf.cli import cli
from so2sat_hf.errors import So2SatError
from so2sat_hf.maps.geotiff import write_geotiff
from so2sat_hf.maps.lcz_map import check_map
from so2sat_hf.maps.map_files import MapOptions, check_target
from so2sat_hf.maps.rasters import Band, Grid
from so2sat_hf.maps.scene import open_scene
from so2sat_hf.maps.tiles import grid_over
from so2sat_hf.vision.catalogue import preset


@contextmanager
def executor_of(how: str) -> Iterator[Any]:
    """Threads of this process, or workers of a Dask cluster."""
    if how == "executor":
        with ThreadPoolExecutor(2) as pool:
            yield pool
    elif how == "dask":
        from dask.distributed import Client, LocalCluster

        cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)
        with cluster, Client(cluster) as client:
            yield client.get_executor(pure=False)
    else:
        yield None


@pytest.mark.parametrize("how", ["tile", "one tile", "jobs", "executor", "dask"])
def test_the_way_changes_no_bit(how: str, model: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    """Neither the size of tiles nor the number of processes, nor who runs them."""
    scene = write_scene(tmp_path / "scene.tif", np.concatenate([pixels, pixels], axis=2))
    mapped(model, tmp_path / "one.tif", scene, probabilities=True)
    options: dict[str, dict[str, Any]] = {
        "tile": {"tile": 16}, "one tile": {"tile": 1000}, "jobs": {"jobs": 2, "tile": 16},
        "executor": {"tile": 32}, "dask": {"tile": 32},
    }  # fmt: skip
    with executor_of(how) as executor:
        mapped(model, tmp_path / "other.tif", scene, probabilities=True, executor=executor, **options[how])

    for name in ("", "_probabilities", "_entropy"):
        assert np.array_equal(read(tmp_path / f"one{name}.tif"), read(tmp_path / f"other{name}.tif"))


def test_the_batch_changes_nothing_but_the_last_bits(model: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    """Batches of any square number; others are refused before anything is read."""
    scene = write_scene(tmp_path / "scene.tif", pixels)
    mapped(model, tmp_path / "one.tif", scene, probabilities=True)
    for size in (16, 1024):
        mapped(model, tmp_path / "other.tif", scene, probabilities=True, batch_size=size)
        gap = read(tmp_path / "one_probabilities.tif").astype(int) - read(
            tmp_path / "other_probabilities.tif"
        )
        assert np.abs(gap).max() <= 1
    with pytest.raises(So2SatError, match=r"--batch-size: 200; expected a square number"):
        check_map(preset("s2"), MapOptions(batch_size=200))


KILLED = """
import sys, time
from so2sat_hf.maps import lcz_map
plain = lcz_map.predict_tile
def slow(task, predict):
    time.sleep(0.3)
    return plain(task, predict)
lcz_map.predict_tile = slow
from so2sat_hf.cli import cli
cli()
"""


def test_killed_it_continues(model: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    """Finished tiles are not done again; the map is the same; another plan starts anew."""
    scene = write_scene(tmp_path / "scene.tif", np.concatenate([pixels, pixels], axis=2))
    mapped(model, tmp_path / "expected.tif", scene, tile=16)
    out = tmp_path / "lcz.tif"
    args = ["map", str(model), str(scene), str(out), "--tile", "16"]
    process = subprocess.Popen([sys.executable, "-c", KILLED, *args], stderr=subprocess.DEVNULL)
    work = tmp_path / "lcz.tif.tiles"
    deadline = time.monotonic() + 120
    while len(list(work.glob("*.npz"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists()

    result = CliRunner().invoke(cli, args)

    assert result.exit_code == 0, result.output
    assert np.array_equal(read(out), read(tmp_path / "expected.tif"))
    assert not work.exists()


def test_finished_tiles_are_used_and_others_are_not(
    model: Path, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan says which tiles belong to a map: scene, model, grid, tiles."""
    from so2sat_hf.maps import lcz_map

    scene, out = write_scene(tmp_path / "scene.tif", pixels), tmp_path / "lcz.tif"
    count: list[object] = []
    plain = lcz_map.predict_tile

    def stop_after(limit: int) -> Callable[[Any, Any], str]:
        def work(task: Any, predict: Any) -> str:
            if len(count) == limit:
                raise KeyboardInterrupt
            count.append(task)
            return plain(task, predict)

        return work

    monkeypatch.setattr(lcz_map, "predict_tile", stop_after(3))
    with pytest.raises(KeyboardInterrupt):
        mapped(model, out, scene, tile=16)
    count.clear()
    monkeypatch.setattr(lcz_map, "predict_tile", stop_after(99))
    mapped(model, out, scene, tile=16)
    assert len(count) == 1
    monkeypatch.setattr(lcz_map, "predict_tile", stop_after(len(count) + 3))
    with pytest.raises(KeyboardInterrupt):
        mapped(model, out, scene, tile=16)
    count.clear()
    write_scene(tmp_path / "scene.tif", pixels * np.float32(0.9))
    monkeypatch.setattr(lcz_map, "predict_tile", stop_after(99))
    mapped(model, out, scene, tile=16)
    assert len(count) == 4


def test_one_process_loads_the_model_once(
    model: Path, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was opened to look at is what predicts; processes beside it load their own."""
    scene = write_scene(tmp_path / "scene.tif", pixels)
    monkeypatch.setattr("so2sat_hf.maps.map_tile.loaded", None)

    mapped(model, tmp_path / "lcz.tif", scene)

    assert (read(tmp_path / "lcz.tif") > 0).any()


def test_a_scene_is_not_overwritten(model: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    """Two scenes and no name for the map: the second is kept; an older map is replaced."""
    spring, autumn = (write_scene(tmp_path / f"{name}.tif", pixels) for name in ("spring", "autumn"))
    before = autumn.read_bytes()

    refused = CliRunner().invoke(cli, ["map", str(model), str(spring), str(autumn)])

    assert refused.exit_code == 1
    assert "autumn.tif: exists, and is no map" in refused.stderr
    assert "so2sat map MODEL SCENE... OUT.tif" in refused.stderr
    assert autumn.read_bytes() == before
    with pytest.raises(So2SatError, match="ends in"):
        check_target(tmp_path / "lcz.png")
    write_geotiff(
        tmp_path / "lcz.tif", np.ones((1, 8, 8), np.uint8), Grid(32632, *CORNER, 100), [Band("LCZ")]
    )
    check_target(tmp_path / "lcz.tif")


def test_what_cannot_be_is_said(model: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    """Before anything is computed, one clear line."""
    names = [band.name for band in facts.bands("sen2")]
    bare = write_scene(tmp_path / "bare.tif", pixels, unit="")
    with pytest.raises(So2SatError, match=r"nothing that says what they mean.*\n.*--units"):
        open_scene(bare, names)
    unnamed = write_scene(tmp_path / "unnamed.tif", pixels, names=[f"band {i}" for i in range(10)])
    with pytest.raises(So2SatError, match=r"no band B02.*\n.*--bands"):
        open_scene(unnamed, names)
    assert open_scene(unnamed, names, names=names).layers["B12"].number == 10
    with pytest.raises(So2SatError, match="no such file"):
        open_scene(tmp_path / "nothing.tif", names)
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(So2SatError, match=r"text\.tif"):
        open_scene(tmp_path / "text.tif", names)
    with pytest.raises(So2SatError, match="bands of sen1 and sen2; expected Sentinel-2 alone"):
        check_map(preset("all"), MapOptions())
    with pytest.raises(So2SatError, match="--stride: 15"):
        grid_over(32632, (0, 0, 1000, 1000), 15)
    with pytest.raises(So2SatError, match="room for a cell"):
        grid_over(32632, (0, 0, 50, 1000), 100)
    safe = write_safe(tmp_path, pixels)
    next(safe.glob("GRANULE/*/IMG_DATA/*_B11.jp2")).unlink()
    with pytest.raises(So2SatError, match="no file of B11"):
        open_scene(safe, names)
    (safe / "MTD_MSIL1C.xml").write_text("<a>")
    with pytest.raises(So2SatError, match="no XML"):
        open_scene(safe, names)


def test_the_command(model: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    """From a scene to a map of a part of it, with a filter; wrong boxes are one line."""
    scene = write_scene(tmp_path / "scene.tif", pixels)
    out = tmp_path / "lcz.tif"
    args = ["map", str(model), str(scene), str(out)]
    result = CliRunner().invoke(cli, [*args, "--smooth", "majority", "--bbox", "11.55,48.165,11.575,48.18"])

    assert result.exit_code == 0, result.output
    with rasterio.open(out) as file:
        assert file.shape < (25, 25)
        assert abs((file.transform.c - CORNER[0]) % 10) < 1e-6
        shares = file.read(1)
    line = next(line for line in result.stdout.splitlines() if " " in line and line.split()[-1] != "cells")
    lcz = next(each for each in facts.classes() if each.code == line.split()[0])
    known = shares[shares > 0]
    assert f"{100 * (known == lcz.index + 1).mean():.1f}" == line.split()[-1]
    for box, message in (
        ("1,2,3", "four numbers"),
        ("0,0,1,1", "outside of the scenes"),
        ("9,9,1,1", "in degrees"),
    ):
        wrong = CliRunner().invoke(cli, [*args, "--bbox", box])
        assert wrong.exit_code == 1
        assert message in wrong.stderr
    wrong = CliRunner().invoke(cli, [*args, "--crs", "EPSG:4326"])
    assert "--crs: EPSG:4326; expected a UTM zone" in wrong.stderr
    safe = write_safe(tmp_path, pixels, level="L2A", offset=-1000)
    told = CliRunner().invoke(cli, ["map", str(model), str(safe), str(out)])
    assert told.exit_code == 0, told.output
    assert "is L2A" in told.stderr
    assert json.loads((model / "so2sat.json").read_text())["preset"]["name"] == "s2"
