"""Patches as GeoTIFFs: the right pixels in the right place, as GDAL, rasterio and rioxarray read them."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from hub_folders import put
from local_hub import LocalHub

from so2sat_hf import facts
from so2sat_hf.cli import cli
from so2sat_hf.convert.raw import RawSource, open_raw
from so2sat_hf.errors import FolderError, So2SatError
from so2sat_hf.load.by_id import patches
from so2sat_hf.maps.chosen import Chosen, Filters, choose
from so2sat_hf.maps.export import export


def exported(data: Path | str, out: Path, filters: Filters, **options: object) -> list[Path]:
    export(choose(str(data), filters), out, **options)  # type: ignore[arg-type]
    return sorted(out.glob("*/*.tif"))


def test_pixels_place_and_names(built: Path, tmp_path: Path) -> None:
    """Every value of every band, the corner, the zone, what it shows."""
    files = exported(built, tmp_path, Filters(split="test", label="water"), world_files=True)

    assert files
    for path in files:
        with rasterio.open(path) as file:
            tags = file.tags()
            block = patches([tags["ID"]], built)
            assert np.array_equal(file.read(), np.concatenate([block.sen1[0], block.sen2[0]]))
            assert block.geo is not None
            assert (file.crs.to_epsg(), file.transform.c, file.transform.f) == (
                block.geo.epsg[0], block.geo.x_ul[0], block.geo.y_ul[0],
            )  # fmt: skip
            assert (file.transform.a, file.transform.e) == (10, -10)
            assert file.descriptions == tuple(band.name for band in facts.bands())
            assert file.units == ("linear",) * 8 + ("reflectance",) * 10
            assert (tags["LCZ"], tags["CITY"], tags["AREA_OR_POINT"]) == ("G", path.parent.name, "Area")
            assert np.isnan(file.nodata)
            assert file.compression.name == "deflate"
            assert file.block_shapes[0] == (32, 32)
        world = [float(line) for line in path.with_suffix(".tfw").read_text().split()]
        assert world[:4] == [10, 0, 0, -10]
        assert world[4:] == [block.geo.x_ul[0] + 5, block.geo.y_ul[0] - 5]


def test_a_world_file_means_the_same_place(built: Path, tmp_path: Path) -> None:
    """GDAL places a picture by its world file where the GeoTIFF itself says."""
    (path,) = exported(built, tmp_path, Filters(ids=("testing/000003",)), world_files=True)
    with rasterio.open(path) as file:
        place, pixels = file.transform, file.read([1])
    bare = tmp_path / "bare.tif"
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(bare, "w", driver="GTiff", height=32, width=32, count=1, dtype="float32") as file,
    ):
        file.write(pixels)
    bare.with_suffix(".tfw").write_text(path.with_suffix(".tfw").read_text())

    with rasterio.open(bare) as file:
        assert np.abs(np.array(file.transform) - np.array(place)).max() < 1e-6


def test_the_numbers_of_the_published_files(raw: Path, tmp_path: Path) -> None:
    """float64 is what HDF5 holds, for both sensors; what the publisher's script writes, from any source."""
    files = exported(raw, tmp_path, Filters(split="validation", ids=("validation/000007",)), dtype="float64")

    with h5py.File(raw / "validation.h5") as h5, rasterio.open(files[0]) as file:
        expected = np.concatenate([h5["sen1"][7], h5["sen2"][7]], axis=-1).transpose(2, 0, 1)
        assert file.dtypes[0] == "float64"
        assert np.array_equal(file.read(), expected)


def test_digital_numbers(built: Path, tmp_path: Path) -> None:
    """uint16 with the factor that makes reflectance of it, a quarter of the bytes."""
    filters = Filters(split="test", ids=("testing/000001",))
    (path,) = exported(built, tmp_path, filters, sensor="sen2", dtype="uint16")
    with rasterio.open(path) as file:
        assert file.dtypes == ("uint16",) * 10
        block = patches(["testing/000001"], built)
        assert np.abs(file.read() * np.array(file.scales)[:, None, None] - block.sen2[0]).max() < 1e-7
    with pytest.raises(So2SatError, match="--dtype uint16: with --sensor both; expected --sensor sen2"):
        exported(built, tmp_path, filters, dtype="uint16")


def test_a_city_as_one_raster(built: Path, tmp_path: Path) -> None:
    """The VRT shows each patch where it lies, and nodata elsewhere; GDAL and rioxarray agree."""
    import rioxarray

    chosen = choose(str(built), Filters(split="test", city="munich"))
    assert export(chosen, tmp_path, sensor="sen2") == len(chosen) > 3
    whole = rioxarray.open_rasterio(tmp_path / "munich.vrt", masked=True)
    with rasterio.open(tmp_path / "munich.vrt") as vrt:
        assert vrt.crs.to_epsg() == 32632
        assert vrt.descriptions == tuple(band.name for band in facts.bands("sen2"))
        expected = np.full(vrt.shape, np.nan, np.float32)
        for name in chosen.found[0][2]:  # later patches lie on top
            with rasterio.open(tmp_path / "munich" / f"{name.replace('/', '_')}.tif") as file:
                row, column = map(int, vrt.index(*file.xy(0, 0)))  # rasterio 1.4.0 gives floats
                expected[row : row + 32, column : column + 32] = file.read(3)
                x, y = file.xy(16, 16)
            pixel = whole.sel(x=x, y=y, method="nearest")
            assert (float(pixel.x), float(pixel.y)) == pytest.approx((x, y), abs=1e-6)
        assert np.array_equal(vrt.read(3), expected, equal_nan=True)
        assert np.isnan(expected).any()


def test_from_the_hub_it_is_the_same(built: Path, hub: LocalHub, tmp_path: Path) -> None:
    """Only the row groups of the patches are read."""
    put(hub, built, "maria/lcz")
    filters = Filters(ids=("testing/000004", "training/000002"))
    here, there = exported(built, tmp_path / "a", filters), exported("maria/lcz", tmp_path / "b", filters)

    assert [path.read_bytes() for path in here] == [path.read_bytes() for path in there]
    assert len(here) == 2


def test_splits_of_other_versions(built: Path, tmp_path: Path) -> None:
    """random/test of version 3 gains its places."""
    chosen = choose(str(built), Filters(split="random/test", city="munich"))
    assert 0 < len(chosen) < 84


def test_the_real_row(shared_data: Path, tmp_path: Path) -> None:
    """Row 10,020 of the real validation positions lies in San Francisco, UTM 10N (550335.858, 4183214.43)."""
    raw = tmp_path / "raw"
    raw.mkdir()
    with (
        h5py.File(shared_data / "real_validation_geo_2025.h5") as geo,
        h5py.File(raw / "validation_geo.h5", "w") as some,
    ):
        for key in geo:
            some[key] = geo[key][10020:10021]
        published = geo["tfw"][10020, [0, 3]]
    with h5py.File(raw / "validation.h5", "w") as file:
        file["sen1"] = np.zeros((1, 32, 32, 8))
        file["sen2"] = np.ones((1, 32, 32, 10)) / 10_000
        file["label"] = np.eye(17)[[2]]

    (path,) = exported(raw, tmp_path / "tif", Filters())

    with rasterio.open(path) as file:
        assert file.crs.to_epsg() == 32610
        assert (file.transform.c, file.transform.f) == tuple(published)
        assert published == pytest.approx((550335.858, 4183214.43), abs=0.005)
        assert file.tags()["CITY"] == "sanfrancisco"


def test_what_cannot_be_is_said(
    built: Path, source: RawSource, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Splits, ids, places, folders, a missing library."""
    for filters, message in (
        (Filters(split="holdout"), "split 'holdout': not in"),
        (Filters(split="test", ids=("testing/999999",)), "id 'testing/999999': not in test"),
        (Filters(split="test", city="paris"), "--city paris: not in test"),
        (Filters(label="lava"), "--label lava: no such class"),
    ):
        with pytest.raises(So2SatError, match=message):
            choose(str(built), filters)
    plain = Chosen(open_raw(raw, drop_geo=True), (("test", (0,), ("testing/000000",)),))
    with pytest.raises(So2SatError, match="no city in the data"):
        export(plain, tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="file"):
        export(choose(str(built), Filters(ids=("testing/000001",))), tmp_path / "file")
    monkeypatch.setitem(__import__("sys").modules, "rasterio", None)
    with pytest.raises(So2SatError, match=r"library rasterio.*\n.*so2sat_hf\[geo\]"):
        export(choose(str(built), Filters(ids=("testing/000001",))), tmp_path / "out")


def test_the_command(built: Path, tmp_path: Path) -> None:
    """Counts, and where to look."""
    out = tmp_path / "tif"
    result = CliRunner().invoke(
        cli, ["export", str(built), str(out), "--ids", "testing/000004,testing/000009", "--sensor", "sen2"]
    )
    assert result.exit_code == 0, result.output
    assert f"{out}: 2 GeoTIFFs" in result.stdout
    assert len(list(out.glob("*/*.tif"))) == 2
