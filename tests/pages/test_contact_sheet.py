"""The contact sheet: which patches are chosen, and what their pictures show."""

import doctest
from pathlib import Path

import numpy as np
import pytest
from made_patches import Listed, patches, write_geo, write_h5
from PIL import Image, ImageColor

from so2sat_hf import facts
from so2sat_hf.convert.build import build
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.source import open_source
from so2sat_hf.convert.writing import HashingFile
from so2sat_hf.errors import FolderError, So2SatError, SourceError
from so2sat_hf.pages import choice, contact_sheet
from so2sat_hf.pages.choice import Wish, choose, single_file
from so2sat_hf.pages.contact_sheet import contact_sheet as draw
from so2sat_hf.pages.contact_sheet import show
from so2sat_hf.pages.panels import PANELS, STRETCH

REAL = Path(__file__).parents[3] / "shared" / "data" / "real_training_5.h5"
SIDE = 128  # 32 pixels, four times as large


@pytest.fixture
def raw(tmp_path):
    """A folder with 60 training and 20 testing patches of classes 0 to 9, and their positions."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for stem, num_rows in (("training", 60), ("testing", 20)):
        write_h5(folder / f"{stem}.h5", np.arange(num_rows) * 7 % 10)
        write_geo(folder / f"{stem}_geo.h5", num_rows)
    return folder


def pixels_of(image, color):
    """Rows and columns of the pixels of a colour."""
    return np.nonzero((np.asarray(image) == ImageColor.getrgb(color)).all(axis=-1))


def picture(image, number):
    """Cut a picture out of a sheet of one patch of water: (32, 32, 3)."""
    top = pixels_of(image, facts.classes()[16].color)[0].min() - 8 - SIDE  # above the chip of the class
    left = contact_sheet.MARGIN + number * (SIDE + contact_sheet.PANEL_GAP)
    return np.asarray(image)[top : top + SIDE : 4, left : left + SIDE : 4]


# the sheet


@pytest.mark.parametrize(("number", "color"), [(0, "red"), (1, "lime"), (2, "blue")])
def test_each_picture_shows_its_bands(number, color):
    """A patch bright in B04 only is red, green and blue in the three optical pictures, each 128 x 128."""
    rows, columns = pixels_of(draw([patches([16], B04=1.0)], "title"), color)

    assert len(rows) == SIDE * SIDE
    assert np.ptp(rows) == np.ptp(columns) == SIDE - 1
    assert columns.min() == contact_sheet.MARGIN + number * (SIDE + contact_sheet.PANEL_GAP)


def test_pixels_stay_where_they_are_and_square():
    """The first row is on top, the first column on the left, and each pixel becomes 4 x 4 equal ones."""
    block = patches([16])
    block.sen2[0, facts.band("B04").index, 0, 31] = 1.0

    rows, columns = pixels_of(draw([block], "title"), "red")

    left = contact_sheet.MARGIN + 31 * 4
    assert len(rows) == 16
    assert set(columns) == set(range(left, left + 4))
    assert set(picture(draw([block], "title"), 0)[0, 31]) == {0, 255}


def test_the_stretch_is_the_same_for_every_patch():
    """A patch of half the reflectance is darker, although each fills its own range alike."""
    bright, dark = (draw([patches([16], B04=value, B03=value, B02=value)], "t") for value in (0.2, 0.1))

    assert picture(bright, 0).min() > picture(dark, 0).max()


def test_the_stretch_is_what_the_sheet_says():
    """Black point, gamma and full brightness of a band are those of STRETCH and GAMMA."""
    black, full = STRETCH["B04"]
    for share in (0.0, 0.25, 1.0, 2.0):
        image = draw([patches([16], B04=black + share * (full - black))], "title")

        assert picture(image, 0)[5, 5, 0] == round(255 * min(share, 1) ** (1 / 1.4))


def test_radar_is_shown_in_decibels():
    """VV of -11 dB is half red, VH of -4 dB is full blue, and green is the mean of both."""
    block = patches([16])
    block.sen1[0, facts.band("VV_lee").index] = 10 ** (-11 / 10)
    block.sen1[0, facts.band("VH_lee").index] = 10 ** (-4 / 10)

    assert picture(draw([block], "title"), 3)[0, 0].tolist() == [128, 191, 255]


def test_zero_power_is_black_and_silent():
    """Zero and negative power have no logarithm; they are black, without a warning."""
    block = patches([16])
    block.sen1[:] = -1.0

    assert picture(draw([block], "title"), 3).max() == 0


@pytest.mark.parametrize("index", range(17))
def test_the_chip_has_the_color_of_the_class(index):
    """Beside the name of the class is a chip of its colour on a map."""
    rows, _ = pixels_of(draw([patches([index], B08=0.1)], ""), facts.classes()[index].color)

    assert len(rows) >= 100


def test_every_patch_has_a_cell():
    """Blocks of any number of rows are drawn in their order, and the sheet grows downwards."""
    blocks = [patches([16, 16], B04=1.0), patches([16], B04=1.0), patches([16, 16], B04=1.0)]

    image = draw(blocks, "title")

    assert len(pixels_of(image, "red")[0]) == 5 * SIDE * SIDE
    assert image.width <= contact_sheet.MAX_WIDTH
    assert image.height > draw(blocks[:1], "title").height


def test_a_sheet_is_deterministic():
    """Same patches, same title, same pixels; another title, other pixels."""
    block = patches([3, 16], cities=["munich", "saopaulo"], B04=0.1)

    first, again, other = (np.asarray(draw([block], title)) for title in ("a", "a", "b"))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_city_is_written_on_the_cell():
    """The same patch with and without a city gives different sheets of the same size."""
    with_city, without = draw([patches([16], cities=["munich"])], "t"), draw([patches([16])], "t")

    assert with_city.size == without.size
    assert with_city.tobytes() != without.tobytes()


@pytest.mark.parametrize(("sensors", "num_panels"), [({"sen1": False}, 3), ({"sen2": False}, 1)])
def test_a_missing_sensor_is_left_out(sensors, num_panels):
    """Built with fewer columns, a patch shows what there is, and nothing overlaps."""
    image = draw([patches([16, 6], cities=["orangitown"] * 2, **sensors)], "title")

    black = pixels_of(image, "black")
    assert len(black[0]) == num_panels * 2 * SIDE * SIDE


def test_no_pixels_at_all_is_refused():
    """Ids and labels alone make no picture."""
    with pytest.raises(So2SatError, match=r"neither sen1 nor sen2 in the patches"):
        draw([patches([1], sen1=False, sen2=False)], "title")
    with pytest.raises(So2SatError, match="no patch"):
        draw([], "title")


def test_the_sheet_states_its_stretch_with_existing_bands():
    """Every band that is drawn has a stretch and a position, and the text names both ends."""
    for panel in PANELS:
        assert {facts.band(name).sensor for name in panel.bands} == {panel.sensor}
        assert set(panel.bands) <= set(STRETCH)
    assert PANELS[0].stretch() == (
        "True colour: B04 0.02 to 0.3, B03 0.04 to 0.28, B02 0.06 to 0.28 reflectance, gamma 1.4"
    )
    assert PANELS[3].stretch() == "Radar: VV -24 to 2, VH -30 to -4 dB"
    assert PANELS[3].caption() == "VV, mean, VH"


def test_any_title_can_be_drawn():
    """Letters that Pillow's font lacks lose their accent or become a question mark."""
    assert contact_sheet._drawable("São Paulo · 北京") == "Sao Paulo · ??"
    draw([patches([1])], "北京/ü" * 40)


def test_the_examples_in_the_docstrings_hold():
    """Doctests of the room."""
    for module in (choice, contact_sheet):
        assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    "wish", [Wish(), Wish("test", count=3), Wish(label="2", seed=5), Wish(city="berlin")]
)
def test_the_same_patches_from_hdf5_and_from_the_built_folder(raw, tmp_path, wish):
    """A sheet does not depend on whether the data were converted."""
    build(open_source(raw), tmp_path / "out", BuildOptions(rows_per_shard=16), jobs=1)
    sheets = [tmp_path / "raw.png", tmp_path / "out.png"]

    ids = [
        show(open_source(tmp_path / name), sheet, wish, name="same")
        for name, sheet in zip(("raw", "out"), sheets, strict=True)
    ]

    assert ids[0] == ids[1]
    assert sheets[0].read_bytes() == sheets[1].read_bytes()


def test_a_folder_built_without_radar_and_cities_is_shown(raw, tmp_path):
    """``--columns sen2`` leaves three pictures and no city."""
    build(open_source(raw), tmp_path / "out", BuildOptions(columns=("sen2",)), jobs=1)
    source = open_source(tmp_path / "out")

    ids = show(source, tmp_path / "sheet.png", Wish(count=2), name="out")

    assert len(ids) == 2
    with pytest.raises(So2SatError, match="--city: the source has no geolocation"):
        choose(source, Wish(city="munich"))


def test_show_reads_the_chosen_rows_only(tmp_path):
    """Twelve patches cost twelve rows of pixels, and each is told to the progress bar."""
    source, told = Listed(list(range(17)) * 30), []

    ids = show(source, tmp_path / "sheet.png", name="listed", progress=told.append)

    assert source.rows_with_pixels == sum(told) == len(ids) == 12
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.format == "PNG"
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sheet.jpg", r"ends in '\.jpg'; expected a name that ends in \.png"),
        ("sheet", r"ends in ''; expected"),
        ("missing/sheet.png", r"missing: no such folder"),
        ("folder.png", "a folder; expected the name of a file"),
    ],
)
def test_an_output_that_cannot_be_is_refused_first(tmp_path, name, message):
    """Before anything is read."""
    (tmp_path / "folder.png").mkdir()

    with pytest.raises(FolderError, match=message):
        show(None, tmp_path / name, name="never read")


def test_a_folder_without_permission_is_refused_first(tmp_path, monkeypatch):
    """Not writable: said before anything is read."""
    monkeypatch.setattr("os.access", lambda path, mode: False)

    with pytest.raises(FolderError, match="not writable"):
        show(None, tmp_path / "sheet.png", name="never read")


def test_a_failed_write_leaves_nothing_and_keeps_the_old_sheet(tmp_path, monkeypatch):
    """Disk full in the middle: one clear error, the previous file as it was."""
    output = tmp_path / "sheet.png"
    output.write_bytes(b"old")

    def fill_up(file, data):
        file._stream.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(HashingFile, "write", fill_up)

    with pytest.raises(FolderError, match=r"cannot write sheet\.png \(No space left on device\)"):
        show(Listed([1]), output, name="listed")
    assert output.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def test_a_single_file_is_a_source(tmp_path):
    """A published name says the split, any other is train, and a geo file is refused."""
    write_h5(tmp_path / "testing.h5", [1, 2])
    write_h5(tmp_path / "mine.h5", [3])
    write_geo(tmp_path / "testing_geo.h5", 2)

    assert dict(single_file(tmp_path / "testing.h5").num_rows) == {"test": 2}
    assert dict(single_file(tmp_path / "mine.h5").num_rows) == {"train": 1}
    with pytest.raises(SourceError, match="no dataset 'sen1'"):
        single_file(tmp_path / "testing_geo.h5")


def test_real_water_is_dark_and_smooth_and_real_cities_are_not(tmp_path):
    """Five published patches: three of water, two built up, told apart in every picture."""
    if not REAL.exists():
        pytest.skip(f"needs the real file {REAL}, which is absent")
    source = single_file(REAL)
    block = next(source.blocks("train", range(5), columns=("sen1", "sen2"), size=5))

    ids = show(source, tmp_path / "sheet.png", Wish(count=5), name=REAL.name)

    assert [int(name[-1]) for name in ids] == [2, 4, 0, 1, 3]
    water = block.label == 16
    for panel in PANELS[1:]:
        pictures = np.stack([panel.draw(block, row) for row in range(5)]).astype(float)
        brightness, texture = pictures.mean(axis=(1, 2, 3)), pictures.mean(axis=3).std(axis=(1, 2))
        assert brightness[water].max() < brightness[~water].min()
        assert texture[water].max() < texture[~water].min()
    color = np.stack([PANELS[0].draw(block, row) for row in range(5)]).astype(float)
    assert (
        color.mean(axis=3).std(axis=(1, 2))[water].max()
        < 5
        < color.mean(axis=3).std(axis=(1, 2))[~water].min()
    )
