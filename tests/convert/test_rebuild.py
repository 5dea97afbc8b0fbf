"""Building again: resumed, mended, replaced in place, refused; never a mixture, never a half file."""

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from datasets import load_dataset
from folders import published

from so2sat_hf.convert import build as build_module
from so2sat_hf.convert.build import build
from so2sat_hf.convert.built import open_built
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource, open_raw
from so2sat_hf.convert.shard import FileTask
from so2sat_hf.convert.workspace import WORK, Workspace, locked
from so2sat_hf.errors import FolderError, SourceError
from so2sat_hf.synthetic import write_raw

Write = Callable[..., Path]


def test_a_rebuild_in_place_shows_the_new_values(tmp_path: Path) -> None:
    """A process that has loaded the old rows sees the new ones after a rebuild; nothing old stays behind."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_raw(raw, train=40, validation=0, test=10, seed=1)
    build(open_raw(raw), out, BuildOptions(rows_per_shard=10), jobs=1)
    before = load_dataset(str(out), split="train")["sen2"][0]
    foreign = out / "data" / "train" / "mine.txt"
    foreign.write_text("not ours")
    shutil.rmtree(raw)
    write_raw(raw, train=30, validation=0, test=10, seed=2)

    report = build(open_raw(raw), out, BuildOptions(rows_per_shard=10), jobs=1)
    after = load_dataset(str(out), split="train")

    assert (report.written, report.reused) == (4, 0)
    assert len(after) == 30
    assert after["sen2"][0] != before
    assert foreign.is_file()
    assert len(list((out / "data" / "train").glob("*.parquet"))) == 3


def test_only_unfinished_shards_are_done_again(
    source: RawSource, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failure in the middle, a rerun writes the rest and the result is the same."""
    options = BuildOptions(rows_per_shard=60)
    real, calls = build_module.write_file, []

    def failing(task: object) -> object:
        calls.append(task)
        if len(calls) == 4:
            raise FolderError("out", found="No space left on device")
        return real(task)

    monkeypatch.setattr(build_module, "write_file", failing)
    with pytest.raises(FolderError, match="No space left on device"):
        build(source, tmp_path / "out", options, jobs=1)
    monkeypatch.undo()

    assert published(tmp_path / "out") == {}
    report = build(source, tmp_path / "out", options, jobs=1)

    assert (report.written, report.reused) == (6, 3)
    assert published(tmp_path / "out") == published(out)


def test_a_third_plan_after_a_killed_publication_leaves_nothing_old(
    source: RawSource, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever earlier builds left under other names is gone, or load_dataset would read it too."""
    folder = tmp_path / "out"
    build(source, folder, BuildOptions(rows_per_shard=30), jobs=1)
    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "_remove_replaced", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build(source, folder, BuildOptions(rows_per_shard=90), jobs=1)
    with pytest.raises(FileNotFoundError, match="data files found"):
        load_dataset(str(folder))
    assert not (folder / "manifest.json").exists()

    build(source, folder, BuildOptions(rows_per_shard=60), jobs=1)

    assert published(folder) == published(out)


def test_a_killed_publication_is_finished_by_the_next_run(
    source: RawSource, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All shards have their names already, but README and manifest are missing."""
    folder, options = tmp_path / "out", BuildOptions(rows_per_shard=60)
    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "_remove_replaced", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build(source, folder, options, jobs=1)

    report = build(source, folder, options, jobs=1)

    assert (report.written, report.reused) == (0, 9)
    assert published(folder) == published(out)


def test_a_file_of_another_build_is_never_taken_for_a_finished_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrow files of equal row counts have equal sizes; only published ones count as moved."""
    raw, out, options = tmp_path / "raw", tmp_path / "out", BuildOptions(file_format="arrow")
    write_raw(raw, train=20, validation=0, test=20, seed=1)
    old = build(open_raw(raw), out, options, jobs=1).manifest
    shutil.rmtree(raw)
    write_raw(raw, train=20, validation=0, test=20, seed=2)
    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "publish", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build(open_raw(raw), out, options, jobs=1)
    shutil.rmtree(next(out.glob(f"{WORK}/*/data")))

    report = build(open_raw(raw), out, options, jobs=1)

    assert (report.written, report.reused) == (2, 0)
    assert {shard.sha256 for shard in report.manifest.shards}.isdisjoint(s.sha256 for s in old.shards)


@pytest.mark.parametrize("damage", ["removed", "shortened"])
def test_a_damaged_file_is_written_again(source: RawSource, out: Path, tmp_path: Path, damage: str) -> None:
    """A rerun over a finished folder mends what is missing or has the wrong size."""
    shutil.copytree(out, tmp_path / "out")
    victim = tmp_path / "out" / Manifest.read(out).shards[1].path
    victim.unlink() if damage == "removed" else victim.write_bytes(victim.read_bytes()[:-1])

    report = build(source, tmp_path / "out", BuildOptions(rows_per_shard=60), jobs=1)

    assert (report.written, report.reused) == (1, 8)
    assert published(tmp_path / "out") == published(out)


def test_a_changed_source_redoes_everything(write_h5: Write, tmp_path: Path) -> None:
    """Size and time of the sources are part of the plan."""
    path = write_h5(num_rows=6)
    build(open_raw(path.parent), tmp_path / "out", jobs=1)
    write_h5(num_rows=6, label=np.eye(17)[[1, 2, 3, 4, 5, 6]])

    report = build(open_raw(path.parent), tmp_path / "out", jobs=1)

    assert report.reused == 0
    assert load_dataset(str(tmp_path / "out"), split="train")["label"][:] == [1, 2, 3, 4, 5, 6]


def test_a_bad_value_leaves_no_dataset(write_h5: Write, tmp_path: Path) -> None:
    """A worker's error arrives whole, and OUT has no final file."""
    label = np.eye(17)[np.zeros(6, int)]
    label[4, 7] = 1
    folder = write_h5(label=label).parent

    with pytest.raises(SourceError, match="label of row 4"):
        build(open_raw(folder), tmp_path / "out", BuildOptions(rows_per_shard=1), jobs=2)
    assert published(tmp_path / "out") == {}


@pytest.mark.parametrize("kind", ["foreign", "file", "busy", "below a file"])
def test_a_folder_that_cannot_be_used_is_refused(source: RawSource, tmp_path: Path, kind: str) -> None:
    """Foreign files stay untouched, and two builds never write into one folder."""
    out = tmp_path / "out"
    if kind == "foreign":
        out.mkdir()
        (out / "thesis.doc").write_text("mine")
    elif kind == "file":
        out.write_text("mine")
    elif kind == "below a file":
        out.write_text("mine")
        out = out / "deeper"
    if kind == "busy":
        with locked(out), pytest.raises(FolderError, match="another build is writing here"):
            build(source, out, jobs=1)
    else:
        with pytest.raises(FolderError, match=r"not empty|a file|not a folder"):
            build(source, out, jobs=1)


def test_a_folder_of_somebody_else_with_a_manifest_is_not_ours(source: RawSource, tmp_path: Path) -> None:
    """Web pages have a manifest.json too."""
    (tmp_path / "manifest.json").write_text('{"name": "my web app"}')

    with pytest.raises(FolderError, match="not empty"):
        build(source, tmp_path, jobs=1)
    assert (tmp_path / "manifest.json").read_text() == '{"name": "my web app"}'


def test_workers_that_see_another_folder_are_found_out(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receipt without a file publishes nothing, and the old dataset stays."""
    copy, files = tmp_path / "out", shutil.copytree(raw, tmp_path / "raw")
    options = BuildOptions(file_format="arrow", rows_per_shard=60)  # files of equal rows have equal sizes
    build(open_raw(files), copy, options, jobs=1)
    (copy / "notes.part").write_text("not ours")
    before, real = published(copy), build_module.write_file
    os.utime(files / "training.h5")  # another source, as far as sizes and times tell

    def elsewhere(task: FileTask) -> object:
        return real(dataclasses.replace(task, stage=tmp_path / "elsewhere"))

    monkeypatch.setattr(build_module, "write_file", elsewhere)
    with pytest.raises(FolderError, match="a worker wrote it"):
        build(open_raw(files), copy, options, jobs=1)
    assert published(copy) == before


def test_a_damaged_built_folder_is_no_source(out: Path, tmp_path: Path) -> None:
    """A flipped byte does not travel on into a folder that calls itself checked."""
    copy = shutil.copytree(out, tmp_path / "copy")
    victim = copy / Manifest.read(copy).shards[3].path
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)

    with pytest.raises(SourceError, match="another sha256"):
        build(open_built(copy), tmp_path / "arrow", BuildOptions(file_format="arrow"), jobs=1)


def test_statistics_come_and_go_with_the_build(source: RawSource, tmp_path: Path) -> None:
    """Removed when a rebuild has none, written again when they are missing."""
    folder = tmp_path / "out"
    build(source, folder, jobs=1)
    (folder / "statistics.json").unlink()
    assert build(source, folder, jobs=1).written == 0
    assert (folder / "statistics.json").is_file()

    build(source, folder, BuildOptions(columns=("label",)), jobs=1)

    assert not (folder / "statistics.json").exists()


def test_a_source_that_changes_during_the_build_is_noticed(
    write_h5: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of two files under one name are never published."""
    path, real = write_h5(num_rows=6), build_module.write_file

    def replacing(task: FileTask) -> object:
        receipt = real(task)
        os.utime(path, ns=(1, 1))
        return receipt

    monkeypatch.setattr(build_module, "write_file", replacing)
    with pytest.raises(SourceError, match="changed or replaced"):
        build(open_raw(path.parent), tmp_path / "out", jobs=1)
    assert published(tmp_path / "out") == {}
