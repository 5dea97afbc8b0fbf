"""A folder of published files: what belongs together, what is published, what is unpacked."""

import contextlib
import fcntl
import gzip
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from so2sat_hf.convert import unpack as unpack_module
from so2sat_hf.convert.as_published import checksummed, differences, require_published
from so2sat_hf.convert.raw import open_raw
from so2sat_hf.convert.source import open_source
from so2sat_hf.convert.unpack import hdf5_size, unpack, unpacked_size
from so2sat_hf.errors import FolderError, So2SatError, SourceError

Write = Callable[..., Path]


def test_splits_come_in_the_order_of_the_paper(raw: Path) -> None:
    """train, validation, test with their rows, and every column of the contract."""
    source = open_raw(raw)

    assert source.num_rows == {"train": 260, "validation": 90, "test": 70}
    assert list(source.num_rows) == ["train", "validation", "test"]
    assert source.columns[-1] == "latitude"
    assert source.geo_generation == "2026"


def test_without_geo_files_the_geo_columns_are_absent(write_h5: Write) -> None:
    """Versions 1 to 3 have pixels and labels only."""
    source = open_raw(write_h5().parent)

    assert source.columns == ("id", "sen1", "sen2", "label")
    assert source.geo_generation is None


def test_geo_files_for_some_splits_only_are_refused(write_h5: Write, write_geo: Write) -> None:
    """All splits or none; --drop-geo is the way on."""
    write_geo(write_h5("training.h5"))
    folder = write_h5("testing.h5").parent

    with pytest.raises(SourceError, match=r"no geo file for testing.*\n.*--drop-geo"):
        open_raw(folder)
    assert "city" not in open_raw(folder, drop_geo=True).columns


def test_geo_files_of_two_generations_are_refused(write_h5: Write, write_geo: Write) -> None:
    """A mixture means that the files come from two releases."""
    write_geo(write_h5("training.h5"))
    image = write_h5("testing.h5")
    tfw = [[691_600.0, 10, 0, 5_334_800, 0, 10]] * 6
    write_geo(image, tfw=tfw, city=None)

    with pytest.raises(SourceError, match="training 2026, testing 2025"):
        open_raw(image.parent)


@pytest.mark.parametrize("kind", ["empty", "absent", "file"])
def test_what_is_no_folder_of_published_files_is_refused(tmp_path: Path, write_h5: Write, kind: str) -> None:
    """Each mistake has its own words."""
    path = {"empty": tmp_path, "absent": tmp_path / "absent", "file": write_h5("x.h5")}[kind]

    with pytest.raises(SourceError, match=r"neither training\.h5|no such folder|a file; expected the folder"):
        open_source(path)


def test_a_file_that_is_not_the_published_one_is_described(raw: Path) -> None:
    """Rows and bytes of both are in the warning; strict makes it an error."""
    source = open_raw(raw)

    assert "260 rows" in differences(source)[0]
    assert "352,366 rows, 52,006,404,720 bytes" in differences(source)[0]
    with pytest.raises(SourceError, match="not the published file"):
        require_published(source)


def test_a_file_of_the_published_size_is_accepted(tmp_path: Path) -> None:
    """A sparse file of the right layout has the published rows and bytes to the byte."""
    with h5py.File(tmp_path / "validation.h5", "w") as file:
        for key, shape in (("label", (17,)), ("sen1", (32, 32, 8)), ("sen2", (32, 32, 10))):
            file.create_dataset(key, (24_119, *shape), "<f8")
            file[key][-1] = 0  # allocates the whole dataset, sparsely
    source = open_raw(tmp_path)

    assert differences(source) == []
    with pytest.raises(SourceError, match=r"validation\.h5: sha256"):
        checksummed(source, strict=True)


def test_hashes_are_recorded(raw: Path) -> None:
    """With checksums asked for, every file has its hash on record."""
    records = checksummed(open_raw(raw)).records()

    assert [record.name for record in records][:2] == ["training.h5", "training_geo.h5"]
    assert records[0].sha256 == hashlib.sha256((raw / "training.h5").read_bytes()).hexdigest()


@pytest.fixture
def archive(raw: Path, tmp_path: Path) -> Path:
    """Every file of ``raw``, gzipped as on the Hub."""
    folder = tmp_path / "gz"
    folder.mkdir()
    for path in raw.iterdir():
        with path.open("rb") as plain, gzip.open(folder / f"{path.name}.gz", "wb", compresslevel=1) as packed:
            shutil.copyfileobj(plain, packed)
    return folder


def test_archives_are_unpacked_once(archive: Path, raw: Path, tmp_path: Path) -> None:
    """The files are the same, a second call does nothing, the archives stay as they are."""
    seen: list[tuple[str, int, int]] = []
    work = tmp_path / "work"

    source = open_raw(archive, work=work, progress=lambda *step: seen.append(step))
    first = len(seen)
    open_raw(archive, work=work, progress=lambda *step: seen.append(step))

    assert len(seen) == first > 0
    assert all(done <= total for _, done, total in seen)
    assert all((work / path.name).read_bytes() == path.read_bytes() for path in raw.iterdir())
    assert source.num_rows["train"] == 260
    assert sorted(path.suffix for path in archive.iterdir()) == [".gz"] * 6


def test_the_size_of_an_archive_is_read_from_the_header_inside(archive: Path, raw: Path) -> None:
    """Exact, although gzip itself keeps the size only modulo 4 GiB."""
    assert unpacked_size(archive / "training.h5.gz") == (raw / "training.h5").stat().st_size


@pytest.mark.parametrize("libver", ["earliest", "v108", "v110", "latest"])
def test_every_superblock_tells_the_size(tmp_path: Path, libver: str) -> None:
    """HDF5 has four layouts of its first bytes."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver=libver) as file:
        file["x"] = list(range(1000))

    assert hdf5_size(path.read_bytes()[:64]) == path.stat().st_size


def test_too_little_space_is_said_before_anything_is_written(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has both numbers and the way out."""
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(unpack_module.shutil, "disk_usage", lambda _: usage)

    with pytest.raises(FolderError, match=r"0\.0 GB free; expected 0\.0 GB to unpack .*\n.*--work"):
        unpack(archive / "training.h5.gz", tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "flipped", "not gzip", "no hdf5"])
def test_damaged_archives_leave_nothing_behind(archive: Path, tmp_path: Path, damage: str) -> None:
    """A cut or flipped archive is refused and no half-written file stays."""
    path, work = archive / "testing.h5.gz", tmp_path / "work"
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flipped":
        data[len(data) // 2] ^= 0xFF
    elif damage == "not gzip":
        data = bytearray(b"hello" * 100)
    else:
        data = bytearray(gzip.compress(b"hello" * 100))
    path.write_bytes(data)

    with pytest.raises(SourceError, match=r"testing\.h5\.gz"):
        unpack(path, work)
    assert not work.exists() or list(work.iterdir()) == []


def test_two_processes_do_not_unpack_one_archive_at_once(archive: Path, tmp_path: Path) -> None:
    """The second is told so, and the first is not disturbed."""
    with (tmp_path / "testing.h5.part").open("ab") as part:
        fcntl.flock(part, fcntl.LOCK_EX)

        with pytest.raises(FolderError, match="another process is unpacking"):
            unpack(archive / "testing.h5.gz", tmp_path)
    assert unpack(archive / "testing.h5.gz", tmp_path).is_file()


def test_an_archive_newer_than_the_file_beside_it_is_not_ignored(archive: Path) -> None:
    """After a new download the old unpacked file must not win."""
    open_raw(archive)
    later = (archive / "testing.h5").stat().st_mtime_ns + 10**9
    os.utime(archive / "testing.h5.gz", ns=(later, later))

    with pytest.raises(SourceError, match=r"testing\.h5: older than testing\.h5\.gz"):
        open_raw(archive)


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_split_is_never_dropped_silently(write_h5: Write, kind: str) -> None:
    """A folder or a dead link under a published name is an error, not an absent split."""
    folder = write_h5("training.h5").parent
    path = folder / "validation.h5"
    path.mkdir() if kind == "folder" else path.symlink_to(folder / "gone")

    with pytest.raises(SourceError, match=r"validation\.h5: a (folder|link that leads nowhere)"):
        open_raw(folder)


def test_damaged_metadata_is_one_clear_error(write_h5: Write) -> None:
    """Whatever bit is flipped in the header: h5py's many exceptions become one of ours."""
    path = write_h5(num_rows=3)
    whole = path.read_bytes()
    for position in range(0, 2048 * 8, 7):
        data = bytearray(whole)
        data[position // 8] ^= 1 << (position % 8)
        path.write_bytes(data)

        with contextlib.suppress(So2SatError):
            source = open_raw(path.parent, allow_rounding=True)
            rows = range(source.num_rows["train"])
            for _ in source.blocks("train", rows, columns=("sen1", "sen2"), size=64):
                pass
