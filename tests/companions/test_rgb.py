"""Pictures: the scale of TFDS bit for bit, one stretch for all patches, and files that open as images."""

import io
import pickle
import subprocess
import sys
from functools import partial

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from so2sat_hf.companions import brightness, rgb
from so2sat_hf.companions.brightness import Scale, percentiles
from so2sat_hf.convert import plan
from so2sat_hf.convert.build import Extras, build
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.patches import PatchBlock
from so2sat_hf.convert.raw import open_raw
from so2sat_hf.convert.table import schema, to_block, to_table
from so2sat_hf.errors import So2SatError

LIMITS = ((0.02, 0.3), (0.04, 0.28), (0.06, 0.26))


def as_tfds(sen2):
    """Evaluate the formula of so2sat/rgb 2.1.0 on published float64, channels last."""
    return np.clip(sen2[..., [2, 1, 0]] * (3.5 * 255.0), 0, 255).astype(np.uint8)


def block_of(published):
    """Store published float64 (n, 32, 32, 10), as the converter does."""
    count = len(published)
    sen2 = np.ascontiguousarray(published.transpose(0, 3, 1, 2), np.float32)
    return PatchBlock([f"training/{row:06d}" for row in range(count)], np.zeros(count, np.int64), sen2=sen2)


def decoded(table):
    """Open every picture of a table with Pillow: (n, 32, 32, 3)."""
    files = [Image.open(io.BytesIO(image["bytes"])) for image in table["image"].to_pylist()]
    assert {(file.format, file.mode) for file in files} == {("PNG", "RGB")}
    return np.stack([np.asarray(file) for file in files])


def test_every_digital_number_looks_as_in_tfds():
    """All 65,536 values in all three channels, cut off and not rounded."""
    numbers = np.arange(65_536).reshape(64, 32, 32, 1)
    published = (numbers + np.arange(10) * 1000) % 65_536 / 10_000.0  # every band holds every number

    pictures = Scale().pictures(block_of(published).sen2)

    assert np.array_equal(pictures, as_tfds(published))


def test_generated_patches_look_as_in_tfds(raw, source):
    """From the HDF5 to the decoded PNG; ids, labels and cities are those of the same rows."""
    encoder = rgb.encoder(with_city=True)
    with h5py.File(raw / "validation.h5") as file:
        expected, label = as_tfds(file["sen2"][:]), file["label"][:].argmax(1)

    tables, cities = [], []
    for block in source.blocks("validation", range(90), columns=encoder.columns, size=40, reuse=True):
        tables.append(encoder.table(block, len(cities)))
        cities += block.geo.city
    table = pa.concat_tables(tables)

    assert encoder.columns == ("id", "sen2", "label", "city")
    assert table.column_names == ["id", "image", "label", "city"]
    assert np.array_equal(decoded(table), expected)
    assert table["id"].to_pylist() == [f"validation/{row:06d}" for row in range(90)]
    assert table["label"].to_pylist() == label.tolist()
    assert table["city"].to_pylist() == cities


def test_real_patches_have_red_green_blue_in_order(shared_data):
    """B04, B03, B02: over water blue is brightest, red darkest; the formula agrees to the bit."""
    with h5py.File(shared_data / "real_training_5.h5") as file:
        sen2 = file["sen2"][:]

    table = rgb.encoder(with_city=False).table(block_of(sen2), 0)

    pictures = decoded(table)
    assert np.array_equal(pictures, as_tfds(sen2))
    assert pictures[2, 0, 0].tolist() == [48, 73, 92]  # reflectance 0.0538, 0.0820, 0.1038
    water = pictures[[0, 1, 3]].mean(axis=(1, 2))
    assert (np.diff(water) > 0).all()


def test_digital_numbers_give_the_same_pictures(source):
    """A folder built with uint16 holds the same reflectance."""
    (block,) = source.blocks("test", range(20), columns=("sen2",), size=20)
    numbers = to_table(block, schema(("id", "sen2", "label"), sen2_dtype="uint16"))

    assert np.array_equal(Scale().pictures(to_block(numbers).sen2), Scale().pictures(block.sen2))


@given(st.floats(-1e6, 1e6, width=32))
def test_rounded_sources_count_as_the_nearest_digital_number(value):
    """Where a value is not published as k / 10000, nothing wraps around."""
    sen2 = np.full((1, 10, 32, 32), value, np.float32)
    nearest = np.clip(np.rint(np.float64(np.float32(value) * np.float32(10_000))), 0, 65_535) / 10_000.0

    pictures = Scale().pictures(sen2)

    assert (pictures == as_tfds(np.full((1, 32, 32, 10), nearest))).all()


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@pytest.mark.parametrize("streaming", [False, True])
def test_files_load_as_images(source, tmp_path, suffix, *, streaming):
    """``datasets`` knows the column as Image and the label by name, from the file alone."""
    encoder = rgb.encoder(with_city=True)
    path = tmp_path / f"rgb{suffix}"
    (block,) = source.blocks("test", range(70), columns=encoder.columns, size=70)
    with path.open("wb") as sink, encoder.writer(sink, suffix) as writer:
        writer.write_table(encoder.table(block, 0))

    data = load_dataset(suffix[1:], data_files=str(path), split="train", streaming=streaming)
    rows = list(data)

    assert repr(data.features["image"]) == "Image(mode=None, decode=True)"
    assert data.features["label"].int2str(16) == "Water"
    pictures = np.stack([np.asarray(row["image"]) for row in rows])
    assert np.array_equal(pictures, Scale().pictures(block.sen2))
    assert [row["id"] for row in rows] == block.ids
    assert [row["city"] for row in rows] == block.geo.city


def test_parquet_stores_png_as_it_is(source, tmp_path):
    """Not compressed twice, without statistics of bytes; a table is a row group, the path is null."""
    encoder = rgb.encoder(with_city=False)
    (block,) = source.blocks("test", range(9), columns=encoder.columns, size=70)

    with encoder.writer(tmp_path / "rgb.parquet", ".parquet") as writer:
        writer.write_table(encoder.table(block, 0))
        writer.write_table(encoder.table(block, 9))

    file = pq.ParquetFile(tmp_path / "rgb.parquet")
    columns = {c["path_in_schema"]: c for c in file.metadata.row_group(1).to_dict()["columns"]}
    assert file.metadata.num_row_groups == 2
    assert columns["image.bytes"]["compression"] == "UNCOMPRESSED"
    assert columns["image.bytes"]["statistics"] is None
    assert columns["id"]["compression"] == "ZSTD"
    assert columns["id"]["statistics"]["min"] == "testing/000000"
    assert {image["path"] for image in file.read()["image"].to_pylist()} == {None}


def test_too_many_rows_for_a_row_group_are_refused():
    """The writer makes one row group of every table."""
    block = PatchBlock([""] * 1025, np.zeros(1025, np.int64), sen2=np.zeros((1025, 10, 1, 1), np.float32))

    with pytest.raises(So2SatError, match="1,025 rows at once; expected at most 1,024"):
        rgb.encoder(with_city=False).table(block, 0)


@pytest.mark.parametrize(("column", "with_city"), [("sen2", False), ("city", True)])
def test_patches_without_a_column_are_refused(column, with_city):
    """One message instead of a traceback."""
    block = PatchBlock(["training/000000"], np.zeros(1, np.int64))

    with pytest.raises(So2SatError, match=f"column {column}: not in the source"):
        rgb.encoder(with_city=with_city).table(block, 0)


@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
def test_a_build_has_the_pictures_as_a_config(source, tmp_path, monkeypatch, file_format):
    """Row i of a split is row i of its data; a large split has several files."""
    monkeypatch.setattr(plan, "ROW_GROUP_ROWS", 40)
    out = tmp_path / "out"

    options = BuildOptions(file_format=file_format, columns=("sen2", "geo"))
    build(source, out, options, extras=Extras(companions=(rgb.plan_rgb,)), jobs=1)

    suffix = plan.SUFFIX[file_format]
    paths = sorted(path.relative_to(out).as_posix() for path in out.glob("rgb/*"))
    assert paths == [
        f"rgb/test-00000-of-00001{suffix}",
        *(f"rgb/train-{index:05d}-of-00007{suffix}" for index in range(7)),
        f"rgb/validation-00000-of-00001{suffix}",
    ]
    data, pictures = load_dataset(str(out)), load_dataset(str(out), "rgb")
    assert list(pictures) == ["train", "validation", "test"]
    assert pictures["train"].column_names == ["id", "image", "label", "city"]
    for split, rows in data.items():
        plain = pictures[split].remove_columns("image").with_format("arrow")[:]
        assert plain.equals(rows.with_format("arrow")[:].select(plain.column_names))
        sen2 = rows.with_format("numpy")["sen2"][:]
        decoded = np.stack([np.asarray(image) for image in pictures[split]["image"][:]])
        assert np.array_equal(decoded, Scale().pictures(sen2))


def test_the_stretch_decides_what_is_built_anew(source, tmp_path):
    """The same folder with another scale gets other pictures; the data files stay."""
    out = tmp_path / "out"
    stretched = partial(rgb.plan_rgb, scale=Scale("percentile", LIMITS))

    reports = [
        build(source, out, extras=Extras(companions=(how,)), jobs=1) for how in (rgb.plan_rgb, stretched)
    ]

    written = [report.written for report in reports]
    assert (written[1], reports[1].reused) == (3, written[0] - 3)
    image = load_dataset(str(out), "rgb", split="test")[0]["image"]
    (block,) = source.blocks("test", range(1), columns=("sen2",), size=1)
    assert np.array_equal(np.asarray(image), Scale("percentile", LIMITS).pictures(block.sen2)[0])


def test_without_optical_bands_there_are_no_pictures(source, tmp_path):
    """A build of Sentinel-1 alone."""
    options = BuildOptions(columns=("sen1",))

    manifest = build(
        source, tmp_path / "out", options, extras=Extras(companions=(rgb.plan_rgb,)), jobs=1
    ).manifest

    assert manifest.companions == ()
    assert not (tmp_path / "out" / "rgb").exists()


CHILD = """
import pickle, sys
import numpy as np
from so2sat_hf.convert.patches import PatchBlock
encoder = pickle.loads(sys.stdin.buffer.read())
sen2 = (np.arange(2 * 10 * 1024) % 3000 / 10_000).astype("f4").reshape(2, 10, 32, 32)
block = PatchBlock(["training/000000", "training/000001"], np.arange(2), sen2=sen2)
with encoder.writer(sys.argv[1], ".parquet") as writer:
    writer.write_table(encoder.table(block, 0))
print([name for name in ("datasets", "pandas") if name in sys.modules])
"""


def test_workers_need_no_datasets(tmp_path):
    """An encoder travels to another process and writes the same bytes there, without the slow imports."""
    encoder = rgb.encoder(with_city=False, scale=Scale("percentile", LIMITS))
    sen2 = (np.arange(2 * 10 * 1024) % 3000 / 10_000).astype("f4").reshape(2, 10, 32, 32)
    block = PatchBlock(["training/000000", "training/000001"], np.arange(2), sen2=sen2)
    with encoder.writer(tmp_path / "here", ".parquet") as writer:
        writer.write_table(encoder.table(block, 0))

    args = [sys.executable, "-c", CHILD, str(tmp_path / "there")]
    done = subprocess.run(args, input=pickle.dumps(encoder), capture_output=True, check=True)

    assert done.stdout.strip() == b"[]"
    assert (tmp_path / "there").read_bytes() == (tmp_path / "here").read_bytes()


def test_percentile_stretch_is_linear_between_its_limits(raw):
    """Black up to the first number, full from the second, rounded; each band by its own."""
    with h5py.File(raw / "testing.h5") as file:
        sen2 = file["sen2"][:]

    pictures = Scale("percentile", LIMITS).pictures(block_of(sen2).sen2)

    for channel, (band, (black, white)) in enumerate(zip((2, 1, 0), LIMITS, strict=True)):
        expected = np.interp(sen2[..., band], [black, white], [0, 255])
        assert np.abs(pictures[..., channel] - expected).max() <= 0.5 + 1e-9
        assert set(np.unique(pictures[..., channel])) >= {0, 255}


@pytest.mark.parametrize(("low", "high"), [(2.0, 98.0), (0.0, 100.0), (33.0, 50.0)])
def test_percentiles_are_those_of_numpy(raw, source, monkeypatch, low, high):
    """Exact, however many blocks the split is read in."""
    monkeypatch.setattr(brightness, "ROW_GROUP_ROWS", 64)
    seen = []

    limits = percentiles(source, low=low, high=high, progress=seen.append)

    with h5py.File(raw / "training.h5") as file:
        sen2 = file["sen2"][:]
    for band, pair in zip((2, 1, 0), limits, strict=True):
        expected = np.percentile(sen2[..., band], [low, high], method="inverted_cdf")
        assert pair == tuple(expected)
    assert seen == [64, 64, 64, 64, 4]
    assert Scale("percentile", limits)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stretch": "gamma"}, "stretch: 'gamma'; expected tfds or percentile"),
        ({"stretch": "percentile"}, "0 pairs of black and white; expected 3, for B04, B03, B02"),
        ({"limits": LIMITS}, "stretch tfds: 3 pairs of black and white; expected none"),
        ({"stretch": "percentile", "limits": LIMITS[:2]}, "2 pairs"),
        ({"stretch": "percentile", "limits": ((0.3, 0.02), *LIMITS[1:])}, "of B04: black 0.3, white 0.02"),
        ({"stretch": "percentile", "limits": (*LIMITS[:2], (0.1, 0.1))}, "of B02: black 0.1, white 0.1"),
        ({"stretch": "percentile", "limits": (*LIMITS[:2], (0.1, float("nan")))}, "black below white"),
    ],
)
def test_scales_that_make_no_sense_are_refused(arguments, message):
    """Before anything is read."""
    with pytest.raises(So2SatError, match=message):
        Scale(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "x"}, "split x: no patch in the source; expected one of train, validation, test"),
        ({"low": 98, "high": 2}, "98 and 2; expected 0 <= low < high <= 100"),
        ({"high": 101}, "2.0 and 101"),
    ],
)
def test_percentiles_that_make_no_sense_are_refused(source, arguments, message):
    with pytest.raises(So2SatError, match=message):
        percentiles(source, **arguments)


def test_percentiles_are_those_of_the_first_split_there_is(write_h5):
    """Of a folder with testing.h5 alone."""
    source = open_raw(write_h5("testing.h5").parent)

    assert percentiles(source) == percentiles(source, "test")


def test_without_geolocation_there_is_no_city(write_h5):
    """Versions 1 to 3 as published."""
    source = open_raw(write_h5().parent)
    encoder = rgb.encoder(with_city=False)
    (block,) = source.blocks("train", range(6), columns=encoder.columns, size=6)

    assert encoder.table(block, 0).column_names == ["id", "image", "label"]
