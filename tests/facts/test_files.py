"""What versions.toml promises: four versions, sizes that follow from rows, hashes that belong together."""

import re

import pytest

from so2sat_hf import facts

STEMS = {"training": 352_366, "validation": 24_119, "testing": 24_188}
ALL_FILES = [file for version in facts.versions() for file in version.files]


def identify(file):
    return f"v{file.version}/{file.path}/{file.generation or ''}"


def is_plain_image(file):
    return file.generation is None and not file.path.endswith(".gz")


def test_versions_are_the_four():
    """Version names are strings 1 to 4; all are CC BY 4.0; DOIs are unique where there is one."""
    assert [version.name for version in facts.versions()] == ["1", "2", "3", "4"]
    assert {version.licence for version in facts.versions()} == {"CC-BY-4.0"}
    assert [bool(version.doi) for version in facts.versions()] == [True, True, False, True]
    assert len({version.doi for version in facts.versions()}) == 4
    assert [len(version.files) for version in facts.versions()] == [2, 3, 6, 12]
    assert all(version.urls[0].startswith("https://mediatum.ub.tum.de/") for version in facts.versions())


@pytest.mark.parametrize("file", ALL_FILES, ids=identify)
def test_file_is_well_formed(file):
    """Hashes have the right length, the split fits the name, and what is inferred is there."""
    stem = re.fullmatch(r"(?:\w+/)?(training|validation|testing)(_geo)?\.h5(\.gz)?", file.path)

    assert stem
    assert file.split == {"training": "train", "validation": "validation", "testing": "test"}[stem[1]]
    assert bool(stem[2]) == (file.generation is not None)
    assert file.generation in (None, 2025, 2026)
    for name, length in {"md5": 32, "sha256": 64, "sha512": 128}.items():
        assert re.fullmatch(f"[0-9a-f]{{{length}}}", getattr(file, name) or "0" * length), name
    assert all(getattr(file, name) is not None for name in file.inferred)
    assert set(file.inferred) <= {"rows", "bytes", "md5", "sha256", "sha512"}
    assert file.source


@pytest.mark.parametrize("file", [f for f in ALL_FILES if is_plain_image(f)], ids=identify)
def test_size_follows_from_rows(file):
    """An uncompressed file of patches has 2,048 + rows x 147,592 bytes, or neither number is known."""
    if file.version == "3" and file.path.startswith("block"):
        assert file.rows is file.bytes is None
    else:
        assert file.bytes == file.rows * 147_592 + 2_048


def test_geolocation_of_2025_follows_the_layout():
    """A geo file of 2025 has 2,048 + rows x 100 bytes: two times six float64 and one int32 per row."""
    files = [file for file in ALL_FILES if file.generation == 2025]

    assert [file.bytes for file in files] == [file.rows * 100 + 2_048 for file in files]
    assert len(files) == 3


@pytest.mark.parametrize("stem", STEMS)
def test_a_file_is_the_same_in_all_versions(stem):
    """Versions 1, 2 and 4 hold the same file under a name, and version 3 repeats the training file."""
    same = [file for file in facts.source_files(f"{stem}.h5") if "/" not in file.path]
    if stem == "training":
        same += facts.source_files("culture_10/training.h5")

    assert len(same) == {"training": 4, "validation": 3, "testing": 2}[stem]
    assert len({(file.rows, file.bytes, file.md5, file.sha256, file.sha512) for file in same}) == 1
    assert same[0].rows == STEMS[stem]


def test_different_files_have_different_hashes():
    """No hash stands for two files of different size."""
    for name in ("md5", "sha256", "sha512"):
        pairs = {(getattr(file, name), file.bytes) for file in ALL_FILES if getattr(file, name)}
        assert len(pairs) == len({digest for digest, _ in pairs})


def test_source_files_are_found_by_the_end_of_their_path():
    """A stem finds plain and gzipped files but no geo files; folders are compared as a whole."""
    assert {file.path for file in facts.source_files("validation")} == {"validation.h5", "validation.h5.gz"}
    assert [f.version for f in facts.source_files("random/training")] == ["3"]
    assert [f.generation for f in facts.source_files("testing_geo.h5")] == [2025, 2026]
    assert (
        facts.source_files("dom/training.h5")
        == facts.source_files("munich.h5")
        == facts.source_files("")
        == ()
    )


def test_a_file_at_hand_is_recognised_by_name_and_size():
    """The size picks the generation; a size nobody published finds nothing, nor does an unknown size."""
    assert [f.generation for f in facts.published(2_413_948, "validation_geo.h5")] == [2025]
    assert [f.version for f in facts.published(52_006_404_720, "training.h5")] == ["1", "2", "3", "4"]
    assert facts.published(1, "training.h5") == ()


def test_mirrors_have_files_with_known_sizes():
    """Version 4 has two mirrors; the Hub has one file of each path, mediaTUM one for each generation."""
    version = facts.version("4")
    on = {name: [f for f in version.files if name in f.mirrors] for name in ("hub", "mediatum")}

    assert [mirror.name for mirror in version.mirrors] == list(on)
    assert not any(facts.version(name).mirrors for name in "123")
    assert {name for file in ALL_FILES for name in file.mirrors} == set(on)
    assert all(file.mirrors for file in version.files)
    assert sorted(f.path for f in on["hub"]) == sorted(
        [f"{stem}{end}" for stem in STEMS for end in (".h5.gz", "_geo.h5")]
    )
    assert [f.path for f in on["mediatum"] if f.generation is None] == [f"{stem}.h5" for stem in STEMS]
    assert [f.generation for f in on["hub"] if f.generation] == [2026] * 3
    assert all(file.bytes for files in on.values() for file in files)
    sizes = [(file.path, file.bytes) for file in on["mediatum"]]
    assert len(set(sizes)) == len(sizes)


def test_every_file_of_the_hub_has_a_hash():
    """What is fetched by default is compared by sha256; of mediaTUM only the bad geo file cannot be."""
    unknown = [f for f in facts.version("4").files if not (f.sha256 or f.sha512 or f.md5)]

    assert all(file.sha256 for file in facts.version("4").files if "hub" in file.mirrors)
    assert [(f.path, f.generation, f.mirrors) for f in unknown] == [("training_geo.h5", 2025, ("mediatum",))]


def test_mirrors_say_where_files_are():
    """The Hub by repository and pinned commit, mediaTUM by a web folder with a public user."""
    hub, mediatum = facts.version("4").mirrors

    assert hub.repo_id == "zhu-xlab/So2Sat-LCZ42"
    assert re.fullmatch("[0-9a-f]{40}", hub.revision)
    assert f"{hub.page}/resolve/main/{hub.folder}/" in facts.version("4").urls
    assert (hub.user, hub.without_ranges) == (None, ())
    assert mediatum.folder in facts.version("4").urls
    assert mediatum.page in facts.version("4").urls
    assert mediatum.user == mediatum.password == "m1836598"
    assert mediatum.without_ranges == ("training.h5",)
    assert mediatum.repo_id is mediatum.revision is None
    assert facts.version("4").mirror("mediatum") == mediatum
