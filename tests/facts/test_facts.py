"""What the data files of the facts promise: bands, classes, statistics, similarity, and their reader."""

import csv
import doctest
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from so2sat_hf import facts
from so2sat_hf.errors import So2SatError

STEMS = {"training": 352_366, "validation": 24_119, "testing": 24_188}
FULL_KEYS = ["2/training", "2/validation", "2/testing"]
FULL_KEYS += ["3/random/training", "3/random/testing", "3/block/training"]


# bands


def test_bands_are_in_hdf5_order():
    """There are 8 + 10 bands with unique names, counted from 0 within their own array."""
    assert len({band.name for band in facts.bands()}) == 18
    assert [band.index for band in facts.bands("sen1")] == list(range(8))
    assert [band.index for band in facts.bands("sen2")] == list(range(10))
    assert facts.bands() == facts.bands("sen1") + facts.bands("sen2")
    names = " ".join(band.name for band in facts.bands())
    assert names.startswith("VH_real VH_imag VV_real VV_imag VH_lee VV_lee C12_real C12_imag ")
    assert names.endswith(" B02 B03 B04 B05 B06 B07 B08 B8A B11 B12")


def test_every_band_says_what_a_model_sees():
    """Reflectance stays, intensities go to dB, and exactly the signed radar bands have a scale for asinh."""
    for band in facts.bands():
        signed = band.sensor == "sen1" and not band.name.endswith("_lee")
        expected = "reflectance" if band.sensor == "sen2" else "asinh" if signed else "dB"
        assert band.model_unit == expected
        assert (band.model_scale is not None) == signed
        assert (band.common_name is not None) == (band.sensor == "sen2")


def test_decibels_are_safe_and_asinh_is_needed():
    """Only the bands given to a model in dB are known to be positive everywhere in the training data."""
    negatives = facts.statistics("2/training").negatives

    for band in facts.bands("sen1"):
        assert (negatives[band.name] == 0) == (band.model_unit == "dB")


def test_wavelengths_ascend_and_radar_is_c_band():
    """Sentinel-2 bands ascend in wavelength; Sentinel-1 is 5.405 GHz; 20 m bands are the known six."""
    wavelengths = [band.wavelength_nm for band in facts.bands("sen2")]

    assert wavelengths == sorted(wavelengths)
    assert all(400 < w < 2500 for w in wavelengths)
    assert all(math.isclose(b.wavelength_nm, 299_792_458 / 5.405, rel_tol=1e-6) for b in facts.bands("sen1"))
    coarse = [band.name for band in facts.bands() if band.resolution == 20]
    assert coarse == ["B05", "B06", "B07", "B8A", "B11", "B12"]
    assert {band.resolution for band in facts.bands()} == {10, 20}


# classes


def test_classes_are_complete():
    """17 classes in label order: codes 1 to 10 are built, A to G are not, names and colours are unique."""
    classes = facts.classes()

    assert [lcz.index for lcz in classes] == list(range(17))
    assert [lcz.code for lcz in classes] == [*map(str, range(1, 11)), *"ABCDEFG"]
    assert [lcz.built for lcz in classes] == [lcz.code.isdigit() for lcz in classes]
    assert len({lcz.name for lcz in classes}) == len({lcz.color for lcz in classes}) == 17
    assert all(re.fullmatch("#[0-9a-f]{6}", lcz.color) for lcz in classes)
    assert facts.class_names()[0] == "Compact high-rise"
    assert facts.class_names()[16] == "Water"


@pytest.mark.parametrize("stem", STEMS)
def test_class_counts_add_up_to_the_rows(stem):
    """The classes of a file add up to its rows, and none is empty."""
    counts = facts.class_counts(stem)

    assert len(counts) == 17
    assert min(counts) > 0
    assert sum(counts) == STEMS[stem] == facts.source_files(f"{stem}.h5")[0].rows


def test_class_totals():
    """All three files together hold 400,673 patches, 54,508 of them water, 2,799 bare rock."""
    total = [sum(column) for column in zip(*map(facts.class_counts, STEMS), strict=True)]

    assert sum(total) == 400_673
    assert total[16] == 54_508
    assert total[14] == 2_799


# statistics


@pytest.mark.parametrize("key", FULL_KEYS)
def test_statistics_cover_every_band(key):
    """Mean and deviation are there for all 18 bands in order, and the deviation is positive."""
    names = [band.name for band in facts.bands()]
    numbers = facts.statistics(key)

    assert list(numbers.mean) == list(numbers.std) == names
    assert min(numbers.std.values()) > 0
    assert numbers.source
    assert numbers.key == key


def test_rows_of_random_join_its_means_to_those_of_version_2():
    """At these counts, and at no other, all 8 Sentinel-1 means of version 3 and version 2 are one."""
    parts = [facts.statistics(key) for key in ("2/training", "2/validation", "2/testing")]
    train, test = facts.statistics("3/random/training"), facts.statistics("3/random/testing")
    total = sum(part.rows for part in parts)
    assert train.rows + test.rows == total
    for band in facts.bands("sen1"):
        mean = sum(part.rows * part.mean[band.name] for part in parts) / total
        rows = total * (mean - test.mean[band.name]) / (train.mean[band.name] - test.mean[band.name])
        assert abs(rows - train.rows) < 0.01


def test_training_extremes_enclose_the_mean():
    """Where extremes are published, they enclose the mean, and counts fit into the 360,822,784 pixels."""
    numbers = facts.statistics("2/training")

    for band in facts.bands():
        assert numbers.min[band.name] < numbers.mean[band.name] < numbers.max[band.name]
        pixels = numbers.zeros[band.name] + numbers.negatives[band.name]
        assert 0 <= pixels < 352_366 * 32 * 32
        assert (numbers.negatives[band.name] > 0) == (numbers.min[band.name] < 0)


def test_pooled_moments_follow_from_the_three_files():
    """The pooled sen2 mean and deviation are those of training, validation and testing together."""
    pooled, parts = facts.statistics("pooled"), [facts.statistics(f"2/{stem}") for stem in STEMS]
    total = sum(part.rows for part in parts)

    assert list(pooled.mean) == [band.name for band in facts.bands("sen2")]
    assert total == pooled.rows == 400_673
    for name, mean in pooled.mean.items():
        first = sum(part.rows * part.mean[name] for part in parts) / total
        second = sum(part.rows * (part.std[name] ** 2 + part.mean[name] ** 2) for part in parts) / total
        assert mean == pytest.approx(first, abs=1e-7)
        assert pooled.std[name] == pytest.approx(math.sqrt(second - first**2), abs=1e-7)


def test_random_split_means_agree_on_its_size():
    """Each sen2 band says that random training has about 320,777 rows, as far as its eight digits allow."""
    train, test = (facts.statistics(f"3/random/{stem}").mean for stem in ("training", "testing"))

    for name, mean in facts.statistics("pooled").mean.items():
        share = (mean - test[name]) / (train[name] - test[name])
        # Three means are rounded, each by half a digit in the eighth place.
        rounding = 1.5e-8 / abs(train[name] - test[name])
        assert share * 400_673 == pytest.approx(320_777, abs=20 + rounding * 400_673), name


# similarity, citation


def test_similarity_is_symmetric_in_whole_twelfths():
    """The matrix is symmetric, 1 on the diagonal only, and every entry the float nearest a twelfth."""
    matrix = facts.similarity()

    assert len(matrix) == 17
    assert list(zip(*matrix, strict=True)) == list(matrix)
    for row, values in enumerate(matrix):
        assert len(values) == 17
        assert all((value == 1) == (row == column) for column, value in enumerate(values))
        assert all(value == round(value * 12) / 12 and 0 <= value <= 1 for value in values)


def test_similarity_agrees_with_the_transcription(real):
    """To two decimals the matrix is the transcribed one."""
    with real("lcz_similarity.csv").open() as file:
        header, *rows = csv.reader(file)

    assert header[1:] == [row[0] for row in rows] == [lcz.code for lcz in facts.classes()]
    assert [[f"{value:.2f}" for value in row] for row in facts.similarity()] == [row[1:] for row in rows]


def test_citation_names_the_paper_and_every_doi():
    """The BibTeX has the paper and each version that has a DOI, with balanced braces."""
    text = facts.citation()

    assert "10.1109/MGRS.2020.2964708" in text
    assert all(version.doi in text for version in facts.versions() if version.doi)
    assert text.count("{") == text.count("}")


# the reader


@pytest.mark.parametrize(
    ("ask", "name", "known"),
    [
        (facts.band, "B01", "VH_real, VH_imag"),
        (facts.bands, "sen3", "sen1, sen2"),
        (facts.city, "Munich", "amsterdam, beijing"),
        (facts.version, "5", "1, 2, 3, 4"),
        (facts.statistics, "2/train", "2/training, 2/validation"),
        (facts.class_counts, "train", "training, validation, testing"),
    ],
)
def test_unknown_names_are_refused(ask, name, known):
    """Asking for what is not there says what was asked for and what is known."""
    with pytest.raises(So2SatError, match=re.escape(repr(name))) as refusal:
        ask(name)

    assert known in str(refusal.value)


def test_known_names_are_found():
    """What a listing holds, its name finds."""
    assert all(facts.band(band.name) == band for band in facts.bands())
    assert all(facts.city(city.key) == city for city in facts.cities())
    assert all(facts.version(version.name) == version for version in facts.versions())
    assert all(city in facts.cities_of_zone(city.epsg) for city in facts.cities())
    assert facts.cities_of_zone(32601) == ()


def test_the_cost_of_reading_is_that_of_the_results():
    """What ``benchmarks/hub.py`` measured last, and nobody edited since."""
    script = Path(__file__).parents[2] / "benchmarks" / "hub.py"
    if not script.is_file():
        pytest.skip("the wheel is tested, away from its sources: there are no benchmarks")

    done = subprocess.run([sys.executable, script, "--check"], check=False)

    assert done.returncode == 0, "run python benchmarks/hub.py --write"


def test_every_way_of_reading_was_measured_to_the_end():
    """All patches where nothing was left out; and leaving out columns is worth the while."""
    access = facts.access()
    patches = {name: pattern.rows for name, pattern in access.patterns.items()}

    for name in ("whole", "whole, small blocks", "sen1", "sen2", "columns", "index", "rgb", "workers"):
        assert patches[name] == access.rows, name
    assert patches["rank"] == access.rows // 2
    for name in ("resume", "resume, row groups"):
        assert patches[name] == access.rows - access.interrupted_after, name
    assert access.share("whole") > 0.99
    assert access.share("columns, small blocks") < access.share("columns") / 10
    assert access.share("sen2, small blocks") < access.share("sen2") < access.share("sen1") < 1
    assert access.share("resume, row groups") < access.share("resume")


def test_examples_in_docstrings_are_true():
    """Every doctest of the reader passes."""
    result = doctest.testmod(facts)

    assert result.attempted > 0
    assert result.failed == 0


def test_import_reads_nothing_and_loads_nothing_heavy():
    """Importing the room brings in no numpy and opens no data file."""
    code = (
        "import sys; seen = []; "
        "sys.addaudithook(lambda event, args: event == 'open' and seen.append(str(args[0]))); "
        "import so2sat_hf.facts; "
        "bad = [f for f in seen if f.endswith(('.toml', '.csv', '.json', '.bib'))]; "
        "sys.exit(str(bad) if bad or 'numpy' in sys.modules else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
