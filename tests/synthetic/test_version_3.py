"""Generated version 3: the patches of version 2, each once in every split, grouped as the split says."""

import os
import shutil
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from so2sat_hf.cli import cli
from so2sat_hf.convert.raw import open_raw
from so2sat_hf.errors import FolderError, So2SatError, SourceError
from so2sat_hf.synthetic import lay_out, write_raw, write_version_3

COUNTS = {"train": 500, "validation": 90, "test": 70}
STEMS = {"train": "training", "validation": "validation", "test": "testing"}
FOLDERS = ("random", "block", "culture_10")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("version_3") / "raw"
    write_raw(folder, **COUNTS, seed=5, geo="none")
    write_version_3(folder, seed=5)
    return folder


def read(path):
    """One array (n, 18449) of all values of a file: sen1, sen2, label."""
    with h5py.File(path) as file:
        return np.concatenate(
            [file[key][:].reshape(len(file[key]), -1) for key in ("sen1", "sen2", "label")], 1
        )


def everything(raw):
    return np.concatenate([read(raw / f"{stem}.h5") for stem in STEMS.values()])


def origins(raw, folder):
    """For the training and the testing file of a folder, which row of version 2 each row is."""
    rows_by_bytes = {row.tobytes(): index for index, row in enumerate(everything(raw))}
    return [
        np.array([rows_by_bytes[row.tobytes()] for row in read(raw / folder / f"{stem}.h5")])
        for stem in ("training", "testing")
    ]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_patch_is_once_in_every_split(raw, folder):
    """Down to the last bit of sen1, sen2 and label."""
    train, test = origins(raw, folder)

    assert sorted([*train, *test]) == list(range(660))


def test_files_are_laid_out_as_published(raw):
    """Three contiguous arrays behind 2,048 bytes; no validation file, no geo file."""
    for folder in FOLDERS:
        assert sorted(path.name for path in (raw / folder).iterdir()) == ["testing.h5", "training.h5"]
        for path in (raw / folder).iterdir():
            with h5py.File(path) as file:
                rows = len(file["label"])
                assert all(dataset.chunks is None and dataset.dtype == "<f8" for dataset in file.values())
            assert path.stat().st_size == 2048 + rows * 147_592


@pytest.mark.parametrize("folder", ["random", "block"])
def test_four_fifths_are_for_training_and_the_order_is_a_shuffled_one(raw, folder):
    """Neighbouring rows come from anywhere in the three files of version 2."""
    train, test = origins(raw, folder)

    assert len(train) == pytest.approx(0.8006 * 660, abs=1 if folder == "random" else 40)
    for rows in (train, test):
        assert np.mean(np.diff(rows) == 1) < 0.05
        assert np.ptp(rows) > 600


def test_random_takes_from_every_file_alike(raw):
    """A share of 80 % of training.h5 and of the two others."""
    train, _ = origins(raw, "random")

    assert np.mean(train < 500) == pytest.approx(500 / 660, abs=0.05)


def test_block_cuts_every_city_once(raw):
    """Whatever is trained on lies west of whatever is tested on, in each city."""
    train, _ = origins(raw, "block")
    layouts = [lay_out(split, count, seed=5) for split, count in COUNTS.items()]
    city = np.concatenate([layout.city for layout in layouts])
    x_ul = np.concatenate([layout.x_ul for layout in layouts])
    is_train = np.isin(np.arange(660), train)

    cut = 0
    for index in np.unique(city):
        west, east = x_ul[(city == index) & is_train], x_ul[(city == index) & ~is_train]
        if len(west) and len(east):
            assert west.max() < east.min()
            assert len(west) > len(east)
            cut += 1
    assert cut > 25


def test_culture_10_is_training_as_it_is_and_the_rest(raw):
    """Validation before testing."""
    assert (raw / "culture_10" / "training.h5").read_bytes() == (raw / "training.h5").read_bytes()
    train, test = origins(raw, "culture_10")
    assert train.tolist() == list(range(500))
    assert test.tolist() == list(range(500, 660))


def test_culture_10_is_a_copy_where_nothing_can_be_linked(tmp_path, monkeypatch):
    """As on file systems without hard links."""
    write_raw(tmp_path, train=60, validation=20, test=20, geo="none")

    def refuse(*_):
        raise OSError("not supported")

    monkeypatch.setattr(os, "link", refuse)
    write_version_3(tmp_path)

    copy = tmp_path / "culture_10" / "training.h5"
    assert copy.stat().st_nlink == 1
    assert copy.read_bytes() == (tmp_path / "training.h5").read_bytes()


def test_the_same_seed_gives_the_same_bytes(raw, tmp_path):
    """Another seed gives other groups and another order."""
    write_raw(tmp_path / "again", **COUNTS, seed=5)
    write_version_3(tmp_path / "again", seed=5)
    write_raw(tmp_path / "other", **COUNTS, seed=6)
    write_version_3(tmp_path / "other", seed=6)

    for folder in ("random", "block"):
        for stem in ("training", "testing"):
            name = f"{folder}/{stem}.h5"
            assert (tmp_path / "again" / name).read_bytes() == (raw / name).read_bytes()
    assert origins(tmp_path / "other", "random")[1].tolist() != origins(raw, "random")[1].tolist()


def test_the_converter_opens_each_split_by_itself(raw):
    """A version-3 folder is a source of two splits."""
    for folder in FOLDERS:
        source = open_raw(raw / folder)
        assert list(source.num_rows) == ["train", "test"]
        assert sum(source.num_rows.values()) == 660


def copy_of_version_2(raw, folder, **replace):
    folder.mkdir()
    for stem in STEMS.values():
        if stem not in replace:
            shutil.copy(raw / f"{stem}.h5", folder)
    return folder


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


VERSION_2 = ["testing.h5", "training.h5", "validation.h5"]


def test_progress_is_told_and_an_interrupted_run_leaves_nothing(raw, tmp_path):
    """No file has its name before all are complete; half files and new folders go."""
    folder = copy_of_version_2(raw, tmp_path / "raw")
    calls = []

    def interrupt(*call):
        calls.append(call)
        if call[0] == "culture_10/testing.h5":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_version_3(folder, seed=5, progress=interrupt)

    assert calls[:3] == [("random/training.h5", rows, 528) for rows in (256, 512, 528)]
    assert {name for name, done, total in calls if done == total} == {
        "random/training.h5",
        "random/testing.h5",
        "block/training.h5",
        "block/testing.h5",
        "culture_10/testing.h5",
    }
    assert names(folder) == VERSION_2


def test_existing_files_stay_as_they_are(raw, tmp_path):
    """A single file in the way stops everything before anything is written."""
    folder = copy_of_version_2(raw, tmp_path / "raw")
    (folder / "block").mkdir()
    (folder / "block" / "testing.h5").write_text("precious")

    with pytest.raises(FolderError, match=r"block/testing\.h5: exists"):
        write_version_3(folder, seed=5)

    assert names(folder) == ["block", "block/testing.h5", *VERSION_2]


def test_files_of_another_seed_are_refused(raw, tmp_path):
    """Where their patches lie is not known."""
    folder = copy_of_version_2(raw, tmp_path / "raw")

    with pytest.raises(SourceError, match=r"training\.h5: other labels .* with this seed"):
        write_version_3(folder, seed=4)

    assert names(folder) == VERSION_2


def test_all_three_files_are_needed(raw, tmp_path):
    """Version 3 regroups the whole of version 2."""
    folder = copy_of_version_2(raw, tmp_path / "raw", validation=None)

    with pytest.raises(SourceError, match=r"validation\.h5: no such file"):
        write_version_3(folder, seed=5)


def test_rows_in_chunks_are_refused(raw, tmp_path):
    """They cannot be picked one by one."""
    folder = copy_of_version_2(raw, tmp_path / "raw", testing=None)
    with h5py.File(raw / "testing.h5") as file, h5py.File(folder / "testing.h5", "w") as chunked:
        for key, dataset in file.items():
            chunked.create_dataset(key, data=dataset[:], chunks=True)

    with pytest.raises(SourceError, match=r"testing\.h5: rows in chunks"):
        write_version_3(folder, seed=5)

    assert names(folder) == VERSION_2


def test_too_few_patches_for_a_split_are_refused(tmp_path):
    """A split without a row to test on would be no split."""
    write_raw(tmp_path, train=1, validation=1, test=1, geo="none")

    with pytest.raises(So2SatError, match="split block: 3 rows to train and 0 to test"):
        write_version_3(tmp_path)

    assert names(tmp_path) == VERSION_2


def test_a_full_disk_is_noticed_first(raw, tmp_path, monkeypatch):
    """Random and block hold all rows, culture_10 those of validation and test."""
    folder = copy_of_version_2(raw, tmp_path / "raw")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000))

    with pytest.raises(FolderError, match=r"0\.0 GB free; expected 0\.2 GB"):
        write_version_3(folder, seed=5)

    assert names(folder) == VERSION_2


def test_the_command_writes_both_versions(tmp_path):
    """``so2sat synth RAW --v3``; without one of the three splits there is nothing to regroup."""
    counts = ["--train", "60", "--validation", "20", "--test", "20"]

    refused = CliRunner().invoke(cli, ["synth", str(tmp_path / "raw"), *counts[:4], "--test", "0", "--v3"])
    done = CliRunner().invoke(cli, ["synth", str(tmp_path / "raw"), *counts, "--v3"])

    assert refused.exit_code == 1
    assert "--v3: a split of 0 patches; expected some in each" in refused.stderr
    assert done.exit_code == 0, done.output
    for folder in FOLDERS:
        assert sum(open_raw(tmp_path / "raw" / folder).num_rows.values()) == 100
