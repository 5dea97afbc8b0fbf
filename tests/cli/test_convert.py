"""The commands as typed: output, exit codes, and one clear error instead of a traceback."""

import gzip
import shutil
from pathlib import Path

import h5py
import pytest
from click.testing import CliRunner, Result

from so2sat_hf.cli import cli
from so2sat_hf.convert.manifest import Manifest


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def out(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "out"
    assert run("build", raw, folder, "-j", 1).exit_code == 0
    return folder


def test_build_says_what_it_made_and_what_is_next(raw: Path, tmp_path: Path) -> None:
    """Splits, files, size; the next command; no progress bar outside a terminal."""
    result = run("build", raw, tmp_path / "out", "-j", 1)

    assert result.exit_code == 0
    assert "420 patches (train 260, validation 90, test 70)" in result.stdout
    assert f"Next: so2sat verify {tmp_path / 'out'} --against {raw}" in result.stderr
    assert "it/s" not in result.output
    again = run("build", raw, tmp_path / "out", "-j", 1)
    assert "(12 files were there already)" in again.stdout


def test_build_takes_its_options(raw: Path, tmp_path: Path) -> None:
    """Format, columns, dtype, rows, checksums end up in the manifest."""
    options = "--format arrow --columns sen2,geo --sen2-dtype uint16 --rows-per-shard 100 --checksum -j 1"

    result = run("build", raw, tmp_path / "out", *options.split())

    assert result.exit_code == 0, result.output
    manifest = Manifest.read(tmp_path / "out")
    assert (manifest.file_format, manifest.sen2_dtype) == ("arrow", "uint16")
    assert "sen1" not in manifest.columns
    assert len(manifest.shards) == 3 + 1 + 1
    assert all(len(record.sha256) == 64 for record in manifest.sources)


def test_strict_refuses_what_is_not_published(raw: Path, tmp_path: Path) -> None:
    """Without it a difference is a warning."""
    result = run("build", raw, tmp_path / "out", "--strict")

    assert result.exit_code == 1
    assert "Error:" in result.stderr
    assert "training.h5 is not the published file" in result.stderr
    assert not (tmp_path / "out").exists()


def test_gzipped_files_are_unpacked_into_work(raw: Path, tmp_path: Path) -> None:
    """As downloaded from the Hub."""
    packed = tmp_path / "v4"
    packed.mkdir()
    for name in ("testing.h5", "testing_geo.h5"):
        with (raw / name).open("rb") as plain, gzip.open(packed / f"{name}.gz", "wb", 1) as archive:
            shutil.copyfileobj(plain, archive)

    info = run("info", packed)
    result = run("build", packed, tmp_path / "out", "--work", tmp_path / "work", "-j", 1)

    assert "gzip        unpacks to 10,333,488 bytes" in info.stdout
    assert result.exit_code == 0, result.output
    assert (tmp_path / "work" / "testing.h5").read_bytes() == (raw / "testing.h5").read_bytes()
    checked = run("verify", tmp_path / "out", "--against", packed, "--work", tmp_path / "work", "-j", 1)
    assert checked.exit_code == 0, checked.output


def test_verify_fails_loudly(out: Path, raw: Path, tmp_path: Path) -> None:
    """Exit code 1 and the file, after one byte was flipped."""
    assert run("verify", out, "--against", raw, "-j", 1).exit_code == 0
    copy = shutil.copytree(out, tmp_path / "out")
    victim = copy / Manifest.read(copy).shards[0].path
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)

    result = run("verify", copy, "-j", 1)

    assert result.exit_code == 1
    assert "data/train/00000-of-00001.parquet: sha256 differs" in result.stdout


def test_info_tells_what_a_folder_is(raw: Path, out: Path) -> None:
    """Image files, geo files and built folders."""
    text = run("info", raw, "--checksum").stdout

    assert "patches     260 of 32 x 32 pixels, 8 + 10 bands, float64" in text
    assert "G  Water" in text
    assert "lossless    sen1 as float32: yes, sen2 as k / 10000: yes" in text
    assert "geolocation of generation 2026" in text
    assert "or 52,006,404,720 bytes" in text
    assert "not a published one" in text
    assert "The files belong together." in text
    built = run("info", out).stdout
    assert "rounding    none: every value is exact" in built
    assert "train       260 patches in 1 files" in built


def test_info_says_what_is_wrong_with_positions(raw: Path, tmp_path: Path) -> None:
    """The file is described all the same, and what a build would say of the folder."""
    folder = shutil.copytree(raw, tmp_path / "raw")
    with h5py.File(folder / "testing_geo.h5", "a") as file:
        file["tfw"][3, 5] = 1.0

    result = run("info", folder)

    assert result.exit_code == 0
    assert "WRONG       1 of 70 positions are more than 150 km" in result.stdout
    assert "A build would stop." in result.stdout
    assert "--drop-geo" in result.stdout
    assert "patches     260 of 32 x 32 pixels" in result.stdout


def test_synth_writes_what_build_reads(tmp_path: Path) -> None:
    """Generated files of the published layout, to the byte."""
    result = run("synth", tmp_path / "raw", "--train", 20, "--validation", 0, "--test", 5, "--geo", "2025")

    assert result.exit_code == 0, result.output
    assert (tmp_path / "raw" / "training.h5").stat().st_size == 2048 + 20 * 147_592
    assert not (tmp_path / "raw" / "validation.h5").exists()
    assert f"Next: so2sat build {tmp_path / 'raw'} OUT" in result.stderr
    assert run("synth", tmp_path / "raw").exit_code == 1


@pytest.mark.parametrize(
    "args",
    [
        ("build", "absent", "out"),
        ("build", ".", "out"),
        ("build", "file.h5", "out"),
        ("build", "bad", "out"),
        ("verify", "absent"),
        ("verify", ".", "--against", "absent"),
        ("info", "absent"),
        ("info", "file.h5"),
        ("info", "."),
        ("show", "absent"),
        ("show", "bad"),
    ],
)
def test_bad_input_gets_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    """Exit code 1, a message that names the thing, no traceback, nothing written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.h5").write_text("no")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "training.h5").write_text("no")

    result = run(*args)

    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("Error: ")
    assert not (tmp_path / "out").exists()


def test_source_and_out_must_differ(out: Path) -> None:
    """A built folder cannot be converted onto itself."""
    result = run("build", out, out, "--format", "arrow")

    assert result.exit_code == 1
    assert "the same folder" in result.stderr


@pytest.mark.parametrize("option", ["--drop-geo", "--strict", "--checksum", "--allow-rounding"])
def test_options_for_hdf5_are_not_ignored_with_a_built_folder(out: Path, tmp_path: Path, option: str) -> None:
    """An option that would have no effect is refused."""
    result = run("build", out, tmp_path / "shards", option)

    assert result.exit_code == 1
    assert f"{option}: SOURCE was built before" in result.stderr


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_has_help_with_an_example(name: str) -> None:
    """``so2sat COMMAND --help`` shows how it is used."""
    result = run(name, "--help")

    assert result.exit_code == 0
    assert f"Example:  so2sat {name}" in result.stdout
