"""The same data as elsewhere: TFDS, torchgeo and the publisher's notebook beside ours, patch by patch.

Everybody reads the same generated files of versions 1 to 4. A patch is found again by its id, which is its
HDF5 file and row. What "equal" means is said in each test; nothing is compared with a tolerance.

TFDS and torchgeo are optional: a test is skipped where neither this Python can import them nor the variable
SO2SAT_PYTHON_TFDS or SO2SAT_PYTHON_TORCHGEO names one that can (environments:
benchmarks/peers/requirements-tfds.txt, requirements-torchgeo.txt).
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from datasets import load_dataset
from regrouped import write_version_3

from so2sat_hf import facts
from so2sat_hf.companions.match import hash_patches, match, merged
from so2sat_hf.companions.rgb import plan_rgb
from so2sat_hf.convert.build import Extras, build
from so2sat_hf.convert.patches import FILE_OF_SPLIT, row_id
from so2sat_hf.convert.raw import open_raw
from so2sat_hf.synthetic import write_raw

SUPPORT = Path(__file__).parent / "support"
COUNTS = {"train": 60, "validation": 24, "test": 20}

VARIABLES = {"tensorflow_datasets": "SO2SAT_PYTHON_TFDS", "torchgeo": "SO2SAT_PYTHON_TORCHGEO"}

CONFIGS = {
    "2": "culture_10",
    "3_random": "random",
    "3_block": "block",
    "3_culture_10": "culture_10_v3",
}
"""torchgeo's version -> our config."""


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Files of version 4 and, in folders, those of version 3, shuffled."""
    folder = tmp_path_factory.mktemp("parity") / "raw"
    write_raw(folder, **COUNTS, seed=11)
    return folder


@pytest.fixture(scope="module")
def version_3(raw):
    """File of version 3, e.g. ``random/testing`` -> the ids of its rows."""
    return write_version_3(raw, raw, seed=5)


@pytest.fixture(scope="module")
def out(raw, version_3):
    """The folder built from all of them, with pictures."""
    source = open_raw(raw)
    keys, membership = hash_patches(source, jobs=1), None
    for name in ("random", "block"):
        membership = merged(membership, match(open_raw(raw / name), source, keys, jobs=1))
    folder = raw.with_name("out")
    build(source, folder, extras=Extras(membership=membership, companions=(plan_rgb,)), jobs=1)
    return folder


def read_by(module, script, *folders):
    """Run a script with a Python that can import a module; return what it says."""
    variable = VARIABLES[module]
    python = os.environ.get(variable) or (importlib.util.find_spec(module) and sys.executable)
    if not python:
        pytest.skip(f"no {module} here, and {variable} does not name a Python that has it")
    environment = {**os.environ, "PYTHONPATH": ""}

    args = [python, str(SUPPORT / script), *map(str, folders)]
    done = subprocess.run(args, capture_output=True, text=True, env=environment, check=False)

    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def tfds(raw, tmp_path_factory):
    """(what TFDS says, folder with what it yields)."""
    folder = tmp_path_factory.mktemp("tfds")
    return read_by("tensorflow_datasets", "read_with_tfds.py", raw, folder), folder


@pytest.fixture(scope="module")
def torchgeo(raw, version_3, tmp_path_factory):
    """(what torchgeo says, folder with what it yields)."""
    folder = tmp_path_factory.mktemp("torchgeo")
    return read_by("torchgeo", "read_with_torchgeo.py", raw, folder), folder


def rows_by_id(out, config, split):
    """Our rows as numpy arrays, and where each id is among them."""
    rows = load_dataset(str(out), config, split=split).with_format("numpy")[:]
    places = {name: place for place, name in enumerate(rows["id"].tolist())}
    assert len(places) == len(rows["id"])
    return rows, places


@pytest.mark.parametrize("split", ["train", "validation"])
def test_tfds_all_has_the_same_rows(tfds, out, split):
    """``so2sat/all`` 2.1.0 and config v1: both sensors and labels, bit by bit.

    TFDS keeps float32 with channels last and shuffles; ``sample_id`` is the row of the HDF5 file. Its float32
    is the published float64 cut to float32, as ours is.
    """
    said, folder = tfds
    theirs = np.load(folder / f"all-{split}.npz")
    ours, places = rows_by_id(out, "v1", split)

    order = [places[row_id(FILE_OF_SPLIT[split], row)] for row in theirs["sample_id"]]

    assert said["all"]["version"] == "2.1.0"
    assert sorted(order) == list(range(COUNTS[split]))
    for name, column in (("sentinel1", "sen1"), ("sentinel2", "sen2")):
        assert theirs[name].dtype == ours[column].dtype == np.float32
        assert np.array_equal(theirs[name].transpose(0, 3, 1, 2), ours[column][order])
    assert np.array_equal(theirs["label"], ours["label"][order])


@pytest.mark.parametrize("split", ["train", "validation"])
def test_tfds_rgb_has_the_same_pictures(tfds, out, split):
    """``so2sat/rgb`` 2.1.0 and config rgb: every pixel of every decoded picture.

    TFDS stores PNG, as ours do, so that decoding gives back the very array that was encoded. The files
    themselves differ: another encoder.
    """
    said, folder = tfds
    theirs = np.load(folder / f"rgb-{split}.npz")
    data = load_dataset(str(out), "rgb", split=split)
    ours = {row["id"]: row for row in data}

    rows = [ours[row_id(FILE_OF_SPLIT[split], row)] for row in theirs["sample_id"]]

    assert said["rgb"]["version"] == "2.1.0"
    assert bytes.fromhex(said["first_bytes"]) == b"\x89PNG\r\n\x1a\n"
    assert len(rows) == len(ours) == COUNTS[split]
    assert np.array_equal(theirs["image"], np.stack([np.asarray(row["image"]) for row in rows]))
    assert theirs["label"].tolist() == [row["label"] for row in rows]


def test_tfds_names_the_classes_alike(tfds, out):
    """The 17 names, spelled the same, in the same order."""
    said, _ = tfds

    names = load_dataset(str(out), "v1", split="train").features["label"].names

    assert said["all"]["names"] == said["rgb"]["names"] == names


@pytest.mark.parametrize("bands", ["all", "s1", "s2", "rgb"])
@pytest.mark.parametrize(
    ("version", "split"),
    [
        ("2", "train"),
        ("2", "validation"),
        ("2", "test"),
        ("3_random", "train"),
        ("3_random", "test"),
        ("3_block", "train"),
        ("3_block", "test"),
        ("3_culture_10", "train"),
        ("3_culture_10", "test"),
    ],
)
def test_torchgeo_has_the_same_tensors(torchgeo, out, version_3, version, split, bands):
    """``So2Sat`` and the config of that version: every value of every band, bit by bit, and every label.

    Equal means: sample i of torchgeo is our row with the id of row i of the HDF5 file; its float32
    ``image`` is ``sen1`` and ``sen2`` one after the other, of which the band set takes some; both splits have
    the same patches, each once. torchgeo names the bands of Sentinel-1 by number, ``S1_B1`` to ``S1_B8``, in
    the order of ours, and always puts Sentinel-1 first; rgb is B04, B03, B02.

    It is the Dataset that is compared. What a ``So2SatDataModule`` hands to a model is another thing: by
    default (band set all) it subtracts 0 and divides by 255, and only for s1, s2 and rgb it uses the
    published means and deviations; for version 3, which has no validation, it draws one from train.
    """
    _, folder = torchgeo
    theirs = np.load(folder / f"{version}-{split}-{bands}.npz")
    ours, places = rows_by_id(out, CONFIGS[version], split)
    stem = FILE_OF_SPLIT[split]
    if version == "2":
        ids = [row_id(stem, row) for row in range(COUNTS[split])]
    else:
        ids = version_3[f"{version.removeprefix('3_')}/{stem}"]

    order = [places[name] for name in ids]

    image = np.concatenate([ours["sen1"], ours["sen2"]], axis=1)[order]
    rgb = [8 + facts.band(name).index for name in ("B04", "B03", "B02")]
    chosen = {"all": slice(None), "s1": slice(0, 8), "s2": slice(8, 18), "rgb": rgb}[bands]
    assert sorted(order) == list(range(len(ours["id"])))
    assert theirs["image"].dtype == image.dtype == np.float32
    assert np.array_equal(theirs["image"], image[:, chosen])
    assert np.array_equal(theirs["label"], ours["label"][order])


def test_torchgeo_names_bands_and_classes_in_the_same_order(torchgeo):
    """Sentinel-2 by name, Sentinel-1 by number; class names but for hyphens and a comma."""
    said, _ = torchgeo

    sen1 = [f"S1_B{band.index + 1}" for band in facts.bands("sen1")]
    sen2 = [f"S2_{band.name}" for band in facts.bands("sen2")]
    classes = [
        name.replace("-", " ").replace(" or ", ", ", name.startswith("Bush")) for name in facts.class_names()
    ]

    assert said["band_sets"]["all"] == sen1 + sen2
    assert said["band_sets"]["rgb"] == ["S2_B04", "S2_B03", "S2_B02"]
    assert said["classes"] == classes


def as_the_notebook_reads(folder, stem, row, generation):
    """One patch as demo_read_data.ipynb of the publisher has it, by h5py alone.

    Returns:
        (sen1 (8, 32, 32), sen2 (10, 32, 32), one-hot label, EPSG code, x and y of the origin that its GeoTIFF
        gets, its picture (32, 32, 3) from 0 to 1). The notebook of 2025 took the origin from the places where
        the geo files had it then.
    """
    with h5py.File(folder / f"{stem}.h5") as file:
        sen1, sen2, label = (file[key][row] for key in ("sen1", "sen2", "label"))
    with h5py.File(folder / f"{stem}_geo.h5") as file:
        tfw, epsg = file["tfw"][row], int(file["epsg"][row][0])
    x, y = (tfw[4], tfw[5]) if generation == "2026" else (tfw[0], tfw[3])
    picture = sen2[..., [2, 1, 0]]
    picture = (picture - picture.min()) / (picture.max() - picture.min())
    return sen1.transpose(2, 0, 1), sen2.transpose(2, 0, 1), label, epsg, x, y, picture


@pytest.mark.parametrize("generation", ["2025", "2026"])
def test_the_publishers_notebook_sees_the_same(tmp_path, generation):
    """demo_read_data.ipynb: pixels, label, EPSG code, origin and picture of every patch, in float64.

    ``sen1`` is equal as it is; ``sen2`` after ``rint(sen2 * 10000) / 10000``, which turns our float32 into
    the published float64; positions are equal as float64, which the python and arrow formats of ``datasets``
    keep. (The panel that the notebook calls Sen1 shows bands of ``sen2`` and is left out.)
    """
    write_raw(tmp_path / "raw", **COUNTS, seed=2, geo=generation)
    build(open_raw(tmp_path / "raw"), tmp_path / "out", jobs=1)

    for split, stem in FILE_OF_SPLIT.items():
        data = load_dataset(str(tmp_path / "out"), split=split)
        assert len(data) == COUNTS[split]
        pixels = data.with_format("numpy")
        for place, row in enumerate(data.remove_columns(["sen1", "sen2"])):
            number = int(row["id"].removeprefix(f"{stem}/"))
            sen1, sen2, label, epsg, x, y, picture = as_the_notebook_reads(
                tmp_path / "raw", stem, number, generation
            )
            ours = pixels[place]
            back = np.rint(ours["sen2"].astype(float) * 10_000) / 10_000
            rgb = back[[2, 1, 0]].transpose(1, 2, 0)
            assert np.array_equal(ours["sen1"].astype(float), sen1)
            assert np.array_equal(back, sen2)
            assert label[row["label"]] == label.sum() == 1
            assert (row["epsg"], row["x_ul"], row["y_ul"]) == (epsg, x, y)
            assert np.array_equal((rgb - rgb.min()) / (rgb.max() - rgb.min()), picture)
