"""What generated files promise: the published layout to the byte, and no harm to files that are there."""

import h5py
import numpy as np
import pytest

from so2sat_hf.errors import FolderError, So2SatError
from so2sat_hf.synthetic import lay_out, patches, write_raw

ALL = ["testing.h5", "testing_geo.h5", "training.h5", "training_geo.h5", "validation.h5", "validation_geo.h5"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("rows", [1, 15, 16, 70])
def test_patch_files_are_laid_out_as_published(tmp_path, rows):
    """Three contiguous little-endian float64 arrays behind 2,048 bytes, nothing else."""
    write_raw(tmp_path, train=rows, validation=0, test=0, geo="none")

    path = tmp_path / "training.h5"
    assert names(tmp_path) == ["training.h5"]
    assert path.stat().st_size == 2048 + rows * 147_592
    with h5py.File(path) as file:
        assert {key: file[key].shape for key in file} == {
            "sen1": (rows, 32, 32, 8),
            "sen2": (rows, 32, 32, 10),
            "label": (rows, 17),
        }
        assert not file.attrs
        for dataset in file.values():
            assert dataset.dtype == np.dtype("<f8")
            assert dataset.chunks is None
            assert dataset.compression is None
            assert not dataset.attrs


def test_files_hold_what_patches_gives(tmp_path):
    """In memory and on disk, row by row; the label is one-hot."""
    write_raw(tmp_path, train=0, validation=0, test=130, seed=4)
    expected = patches("test", 130, seed=4)

    with h5py.File(tmp_path / "testing.h5") as file, h5py.File(tmp_path / "testing_geo.h5") as geo:
        np.testing.assert_array_equal(file["sen1"][:], expected.sen1)
        np.testing.assert_array_equal(file["sen2"][:], expected.sen2)
        np.testing.assert_array_equal(file["label"][:], np.eye(17)[expected.label])
        assert [key.decode() for key in geo["city"][:]] == expected.city
        np.testing.assert_array_equal(geo["tfw"][:, 4], expected.x_ul)
        np.testing.assert_array_equal(geo["tfw"][:, 5], expected.y_ul)


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    """Another seed gives other ones."""
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_raw(tmp_path / folder, train=20, validation=3, test=3, seed=seed)

    assert names(tmp_path / "a") == ALL
    for name in ALL:
        first, again, other = ((tmp_path / folder / name).read_bytes() for folder in "abc")
        assert first == again
        assert first != other


def test_geo_files_of_2026(tmp_path):
    """City, zone and world-file order with a negative height, chunked and compressed."""
    write_raw(tmp_path, train=40, validation=0, test=0)
    layout = lay_out("train", 40)

    with h5py.File(tmp_path / "training_geo.h5") as file:
        assert sorted(file) == ["city", "epsg", "tfw"]
        assert all(dataset.compression == "gzip" for dataset in file.values())
        assert file["city"].dtype.kind == "S"
        assert file["epsg"].dtype == np.dtype("<i4")
        np.testing.assert_array_equal(file["epsg"][:, 0], layout.epsg)
        np.testing.assert_array_equal(file["tfw"][:, :4], [[10, 0, 0, -10]] * 40)


def test_geo_files_of_2025(tmp_path):
    """Centre and raster position, zone, GDAL order with a positive height; 2,048 bytes and 100 a row."""
    write_raw(tmp_path, train=40, validation=0, test=0, geo="2025")
    layout = lay_out("train", 40)

    path = tmp_path / "training_geo.h5"
    assert path.stat().st_size == 2048 + 100 * 40
    with h5py.File(path) as file:
        assert sorted(file) == ["coord", "epsg", "tfw"]
        coord, epsg, tfw = (file[key][:] for key in ("coord", "epsg", "tfw"))
        assert all(dataset.chunks is None for dataset in file.values())
    assert epsg.dtype == np.dtype("<i4")
    np.testing.assert_array_equal(epsg[:, 0], layout.epsg)
    np.testing.assert_array_equal(tfw[:, [1, 2, 4, 5]], [[10, 0, 0, 10]] * 40)
    np.testing.assert_array_equal(coord[:, :2], np.stack([layout.x_ul + 160, layout.y_ul - 160], axis=1))
    assert (coord[:, 2:] >= 0).all()
    assert (coord[:, 2:] % 1 == 0).all()
    for index in np.unique(layout.city):  # x = x0 + 10 column, y = y0 - 10 row with one (x0, y0) a city
        rows = layout.city == index
        for column, row in ((3, 2), (5, 4)):
            assert np.ptp(coord[rows, 0] - 10 * coord[rows, column]) < 1e-6
            assert np.ptp(coord[rows, 1] + 10 * coord[rows, row]) < 1e-6


def test_the_converter_finds_the_city_of_every_position(tmp_path):
    """The 2025 generation has no city; the nearest of the zone is the one that was meant."""
    from so2sat_hf.convert.geo_file import read_geo
    from so2sat_hf.convert.geolocation import locate

    write_raw(tmp_path, train=200, validation=0, test=0, geo="2025")

    found = locate(read_geo(tmp_path / "training_geo.h5", 200), "training_geo.h5")

    assert found.city == lay_out("train", 200).city_keys


def test_existing_files_stay_as_they_are(tmp_path):
    """A single file in the way stops everything before anything is written."""
    (tmp_path / "testing_geo.h5").write_text("precious")

    with pytest.raises(FolderError, match=r"testing_geo\.h5: exists"):
        write_raw(tmp_path, train=5, validation=5, test=5)

    assert names(tmp_path) == ["testing_geo.h5"]
    assert (tmp_path / "testing_geo.h5").read_text() == "precious"


def test_an_interrupted_run_leaves_nothing(tmp_path):
    """No file has its final name before all are complete, and half files go."""

    def interrupt(name, rows, total):
        if name == "testing.h5":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_raw(tmp_path, train=5, validation=5, test=5, progress=interrupt)

    assert names(tmp_path) == []


def test_progress_is_told(tmp_path):
    """File name, rows written, rows in all; the last call of a file says that it is complete."""
    calls = []

    write_raw(tmp_path, train=130, validation=0, test=2, progress=lambda *call: calls.append(call))

    assert calls[0] == ("training.h5", 64, 130)
    assert ("training.h5", 130, 130) in calls
    assert calls[-1] == ("testing.h5", 2, 2)


@pytest.mark.parametrize(
    ("counts", "geo", "message"),
    [
        ((-1, 1, 1), "2026", "rows of train: -1; expected 0 or more"),
        ((1, 1, 1), "2024", "geo '2024': unknown; expected one of 2026, 2025, none"),
        ((0, 0, 0), "2026", "0 patches in every split"),
    ],
)
def test_impossible_orders_are_refused(tmp_path, counts, geo, message):
    """Before anything is written."""
    train, validation, test = counts

    with pytest.raises(So2SatError, match=message):
        write_raw(tmp_path / "new", train=train, validation=validation, test=test, geo=geo)

    assert not (tmp_path / "new").exists()


def test_a_full_disk_is_noticed_first(tmp_path, monkeypatch):
    """The message says how much room there is and how much is needed."""
    import shutil
    from types import SimpleNamespace

    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000))

    with pytest.raises(FolderError, match=r"0\.0 GB free; expected 0\.7 GB"):
        write_raw(tmp_path, train=5000, validation=0, test=0)

    assert names(tmp_path) == []


def test_a_file_where_the_folder_should_be_is_refused(tmp_path):
    """Like anything else that keeps the folder from being made."""
    (tmp_path / "taken").write_text("")

    with pytest.raises(FolderError, match="cannot be made"):
        write_raw(tmp_path / "taken", train=1, validation=0, test=0)
