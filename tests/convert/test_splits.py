"""``--split``: the same as if SOURCE held nothing else, whatever SOURCE is."""

import gzip
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from datasets import load_dataset
from folders import published
from regrouped import write_version_3

from so2sat_hf.cli import cli
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.raw import open_raw
from so2sat_hf.convert.source import open_source
from so2sat_hf.errors import SourceError


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args])


def ran(*args: object) -> Result:
    result = run(*args)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def everything(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All splits, with the cells of version 3 and companions."""
    folder = tmp_path_factory.mktemp("splits")
    write_version_3(raw, folder / "v3", seed=4)
    for name in ("random", "block"):
        ran("match", folder / "v3" / name, "--against", raw, "-o", folder / "membership.parquet", "-j", 1)
    ran("build", raw, folder / "out", "--membership", folder / "membership.parquet", "-j", 1)
    return folder / "out"


@pytest.mark.parametrize("splits", [("test",), ("validation", "train")])
def test_a_split_is_what_its_files_alone_would_give(
    raw: Path, tmp_path: Path, splits: tuple[str, ...]
) -> None:
    """The same bytes as from a folder without the other files: companions, statistics, card, manifest."""
    (tmp_path / "some").mkdir()
    for split in splits:
        stem = {"train": "training", "validation": "validation", "test": "testing"}[split]
        for name in (f"{stem}.h5", f"{stem}_geo.h5"):
            (tmp_path / "some" / name).symlink_to(raw / name)
    chosen = [word for split in splits for word in ("--split", split)]

    ran("build", tmp_path / "some", tmp_path / "expected", "-j", 1)
    ran("build", raw, tmp_path / "out", *chosen, "-j", 1)
    ran("build", raw, tmp_path / "all", "-j", 1)
    ran("build", tmp_path / "all", tmp_path / "again", *chosen, "-j", 1)

    assert published(tmp_path / "out") == published(tmp_path / "expected")
    assert published(tmp_path / "again") == published(tmp_path / "expected")
    assert list(Manifest.read(tmp_path / "out").splits) == [
        s for s in ("train", "validation", "test") if s in splits
    ]


def test_cells_of_version_3_stay(everything: Path, tmp_path: Path) -> None:
    """A build from Parquet keeps them; splits of version 3 need all three, and are not promised."""
    ran("build", everything, tmp_path / "out", "--split", "test", "--format", "arrow", "-j", 1)

    before, after = Manifest.read(everything), Manifest.read(tmp_path / "out")
    assert list(after.cells) == [key for key in before.cells if key.startswith("test/")]
    assert len(after.cells) == 4
    assert [cell.rows for cell in after.cells.values()] == [before.cells[key].rows for key in after.cells]
    assert list(after.configs) == ["culture_10"]
    assert {companion.name for companion in after.companions} == {"index", "rgb", "mini"}
    assert "split: train" not in (tmp_path / "out" / "README.md").read_text()
    assert {name: len(data) for name, data in load_dataset(str(tmp_path / "out")).items()} == {"test": 70}


def test_folders_of_version_3_are_matched_with_all_files(raw: Path, everything: Path, tmp_path: Path) -> None:
    """A random split has patches of every file, so matching needs them all; only the split is built."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for path in raw.glob("*.h5"):
        (folder / path.name).symlink_to(path)
    for name in ("random", "block"):
        (folder / name).symlink_to(everything.parent / "v3" / name)

    ran("build", folder, tmp_path / "out", "--split", "test", "-j", 1)
    table = everything.parent / "membership.parquet"
    ran("build", raw, tmp_path / "from_table", "--split", "test", "--membership", table, "-j", 1)

    assert published(tmp_path / "out") == published(tmp_path / "from_table")
    assert len(Manifest.read(tmp_path / "out").cells) == 4


def test_a_split_of_version_3_by_itself(everything: Path, tmp_path: Path) -> None:
    """It stays one of version 3, though its other file is left alone."""
    source = open_raw(everything.parent / "v3" / "random", drop_geo=True, splits=("test",))

    assert source.layout == "random"
    assert dict(source.num_rows) == {"test": 84}
    assert next(source.blocks("test", range(1), columns=("id",), size=1)).ids == ["random/testing/000000"]


def test_archives_of_other_splits_are_not_unpacked(raw: Path, tmp_path: Path) -> None:
    """52 GB would be a high price for a test split."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for path in raw.glob("*.h5"):
        with path.open("rb") as plain, gzip.open(folder / f"{path.name}.gz", "wb", 1) as packed:
            shutil.copyfileobj(plain, packed)

    ran("build", folder, tmp_path / "out", "--split", "test", "--companions", "", "-j", 1)

    assert sorted(path.name for path in folder.glob("*.h5")) == ["testing.h5", "testing_geo.h5"]


def test_verify_knows_what_was_left_out(raw: Path, tmp_path: Path) -> None:
    """It compares what was built and names the rest; a split that got lost is still a problem."""
    ran("build", raw, tmp_path / "out", "--split", "test", "--companions", "", "-j", 1)

    result = ran("verify", tmp_path / "out", "--against", raw, "-j", 1)

    assert "was built without train, validation: nothing is compared with them" in result.stderr
    assert "70 patches" in result.stdout
    assert "equal the HDF5" in result.stdout


@pytest.mark.parametrize("kind", ["raw", "built"])
def test_a_split_that_is_not_there_is_named(raw: Path, everything: Path, tmp_path: Path, kind: str) -> None:
    """With those that are."""
    folder = {"raw": tmp_path, "built": everything}[kind]
    (tmp_path / "training.h5").symlink_to(raw / "training.h5")
    source = open_source(folder, splits=("train",))

    with pytest.raises(SourceError, match=r"no split validation; expected train\n"):
        source.only(("validation",))
    if kind == "raw":
        with pytest.raises(SourceError, match="no split test; expected train"):
            open_source(folder, splits=("test", "train"))
