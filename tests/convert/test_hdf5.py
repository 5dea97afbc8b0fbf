"""What is refused in HDF5 files, and how it is said."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from so2sat_hf.convert import split_file
from so2sat_hf.convert.split_file import SplitFile
from so2sat_hf.errors import GeolocationError, SourceError

Write = Callable[..., Path]


def test_a_valid_file_is_counted(write_h5: Write) -> None:
    """The published layout passes."""
    assert split_file.count_rows(write_h5(num_rows=6)) == 6


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        ({"sen2": None}, r"no dataset 'sen2' among 'label', 'sen1'"),
        (
            {"sen2": np.zeros((6, 32, 32, 13))},
            r"sen2 has shape \(6, 32, 32, 13\); expected \(N, 32, 32, 10\)",
        ),
        ({"sen1": np.zeros((6, 8, 32, 32))}, r"sen1 has shape \(6, 8, 32, 32\)"),
        ({"label": np.zeros(6)}, r"label has shape \(6,\)"),
        ({"sen1": np.zeros((6, 32, 32, 8), np.float32)}, "sen1 has dtype float32; expected float64"),
        ({"sen1": np.zeros((6, 32, 32, 8), ">f8")}, "sen1 has dtype >f8"),
        ({"label": np.eye(17)[:5]}, "different row counts: sen1 6, sen2 6, label 5"),
        ({"label": np.zeros((0, 17))}, r"label has shape \(0, 17\)"),
    ],
)
def test_other_layouts_are_refused(write_h5: Write, replace: dict[str, np.ndarray], message: str) -> None:
    """Missing keys, wrong shapes and dtypes stop before anything is read."""
    with pytest.raises(SourceError, match=message):
        split_file.count_rows(write_h5(**replace))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The path is in the message."""
    with pytest.raises(SourceError, match=r"absent\.h5: no such file"):
        split_file.count_rows(tmp_path / "absent.h5")


def test_a_file_that_is_not_hdf5_is_refused(tmp_path: Path) -> None:
    """A text file under the right name is recognised."""
    (tmp_path / "training.h5").write_text("not hdf5" * 1000)

    with pytest.raises(SourceError, match="not an HDF5 file"):
        split_file.count_rows(tmp_path / "training.h5")


def test_a_truncated_file_is_refused(write_h5: Write) -> None:
    """A cut download is called truncated."""
    path = write_h5()
    path.write_bytes(path.read_bytes()[:-1000])

    with pytest.raises(SourceError, match="truncated"):
        split_file.count_rows(path)


def test_links_to_other_files_are_refused(write_h5: Write, tmp_path: Path) -> None:
    """External links, external storage and virtual datasets read other files, so none is followed."""
    target = write_h5("testing.h5")
    for name, make in (("link", external_link), ("storage", external_storage), ("virtual", virtual_dataset)):
        path = write_h5(f"{name}.h5", sen1=None)
        make(path, target)

        with pytest.raises(SourceError, match=r"'sen1' is (a link|stored in another file|a virtual dataset)"):
            split_file.count_rows(path)


def external_link(path: Path, target: Path) -> None:
    with h5py.File(path, "a") as file:
        file["sen1"] = h5py.ExternalLink(str(target), "sen1")


def external_storage(path: Path, target: Path) -> None:
    shape = (6, 32, 32, 8)
    with h5py.File(path, "a") as file:
        file.create_dataset("sen1", shape, "<f8", external=[(str(target), 0, h5py.h5f.UNLIMITED)])


def virtual_dataset(path: Path, target: Path) -> None:
    layout = h5py.VirtualLayout((6, 32, 32, 8), "<f8")
    layout[...] = h5py.VirtualSource(str(target), "sen1", shape=(6, 32, 32, 8))
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("sen1", layout)


def test_a_group_is_not_a_dataset(write_h5: Write) -> None:
    """A key of the right name but the wrong kind is said to be a group."""
    path = write_h5(sen1=None)
    with h5py.File(path, "a") as file:
        file.create_group("sen1")

    with pytest.raises(SourceError, match="'sen1' is a group"):
        split_file.count_rows(path)


def split_of(path: Path, num_rows: int, geo: Path | None = None) -> SplitFile:
    return SplitFile("train", "training", path, geo, num_rows)


@pytest.mark.parametrize("size", [1, 4, 64, 1000])
@pytest.mark.parametrize("reuse", [False, True])
def test_blocks_are_what_h5py_reads(write_h5: Write, size: int, *, reuse: bool) -> None:
    """Whatever the block size, the rows, ids and labels are those of the file, channels first."""
    path = write_h5(num_rows=70)
    with h5py.File(path) as file:
        sen1, sen2, label = file["sen1"][:], file["sen2"][:], file["label"][:]

    row = 3
    for block in split_of(path, 70).blocks(range(3, 69), columns=("sen1", "sen2"), size=size, reuse=reuse):
        rows = slice(row, row + len(block))
        assert np.array_equal(block.sen1, sen1[rows].transpose(0, 3, 1, 2))
        assert np.array_equal(block.sen2, sen2[rows].transpose(0, 3, 1, 2).astype(np.float32))
        assert np.array_equal(block.label, label[rows].argmax(axis=1))
        assert block.ids == [f"training/{i:06d}" for i in range(row, row + len(block))]
        row += len(block)
    assert row == 69


def test_columns_that_are_not_asked_for_are_not_read(write_h5: Write) -> None:
    """NaN in sen2 does not matter to somebody who wants sen1."""
    path = write_h5(sen2=np.full((6, 32, 32, 10), np.nan))

    (block,) = split_of(path, 6).blocks(range(6), columns=("sen1",), size=10)

    assert block.sen2 is None
    assert block.sen1 is not None


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
@pytest.mark.parametrize("key", ["city", "cityList"])
@pytest.mark.parametrize("kind", ["S10", "object"])
def test_city_and_epsg_are_read_in_every_known_form(
    write_h5: Write, write_geo: Write, shape: tuple[int, ...], key: str, kind: str
) -> None:
    """(N,) or (N, 1), bytes or str, city or cityList: the same rows."""
    image = write_h5()
    names = np.full(6, b"munich\0\0  ").astype("S10") if kind == "S10" else np.full(6, "Munich", object)
    geo = write_geo(image, city=None, epsg=np.full(shape, 32632, np.int64))
    with h5py.File(geo, "a") as file:
        file[key] = names.reshape(shape)

    located = split_of(image, 6, geo).locate()

    assert located.city == ["munich"] * 6
    assert located.epsg.tolist() == [32632] * 6


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        ({"tfw": None}, "no dataset 'tfw'"),
        ({"epsg": None}, "no dataset 'epsg'"),
        ({"tfw": np.zeros((5, 6))}, r"tfw has shape \(5, 6\); expected \(6, 6\)"),
        ({"epsg": np.zeros(7, np.int32)}, r"epsg has shape \(7,\)"),
        ({"city": np.full(5, b"munich")}, r"city has shape \(5,\)"),
        ({"epsg": np.full(6, 32632.0)}, "epsg has dtype float64"),
    ],
)
def test_geo_files_that_do_not_fit_are_refused(
    write_h5: Write, write_geo: Write, replace: dict[str, np.ndarray], message: str
) -> None:
    """Geo rows must be the rows of the image file."""
    image = write_h5()
    geo = write_geo(image, **replace)

    with pytest.raises(SourceError, match=message):
        split_of(image, 6, geo).locate()


def test_impossible_positions_are_an_error_of_the_geo_file(write_h5: Write, write_geo: Write) -> None:
    """The file that is wrong is the one that is named."""
    image = write_h5()
    geo = write_geo(image, tfw=np.tile([10.0, 0, 0, -10, 0, 0], (6, 1)))

    with pytest.raises(GeolocationError, match=r"training_geo\.h5"):
        split_of(image, 6, geo).locate()
