"""``so2sat show`` and ``so2sat demo`` as typed: what is printed where, and with which exit code."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from so2sat_hf.cli import cli

REAL = Path(__file__).parents[3] / "shared" / "data" / "real_training_5.h5"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def raw(tmp_path):
    """A folder with 34 patches, two of each class, without geolocation."""
    folder = tmp_path / "raw"
    folder.mkdir()
    with h5py.File(folder / "training.h5", "w") as file:
        file["sen1"] = np.ones((34, 32, 32, 8))
        file["sen2"] = np.full((34, 32, 32, 10), 0.1)
        file["label"] = np.eye(17)[np.arange(34) % 17]
    return folder


def test_show_writes_a_sheet_and_says_where(run, raw):
    """The path goes to standard output, the hint for the next step to standard error."""
    result = run("show", raw, "--count", 17)

    assert result.exit_code == 0, result.output
    assert result.stdout == "contact_sheet.png\n"
    assert "Drew 17. Others: --seed 1; one class: --label water" in result.stderr
    assert "--city" not in result.stderr
    with Image.open("contact_sheet.png") as image:
        assert image.format == "PNG"
        assert image.width > 1000


def test_show_is_repeatable(run, raw):
    """Same options, same bytes; another seed, another sheet."""
    for seed, name in ((0, "a.png"), (0, "b.png"), (1, "c.png")):
        assert run("show", raw, "-n", 5, "--seed", seed, "-o", name).exit_code == 0

    assert Path("a.png").read_bytes() == Path("b.png").read_bytes() != Path("c.png").read_bytes()


def test_show_takes_a_single_file(run, raw):
    """An HDF5 file alone is enough."""
    result = run("show", raw / "training.h5", "--label", "water", "--split", "train")

    assert result.exit_code == 0, result.output
    assert "Drew 2. " in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--label", "17"], "Error: --label 17: no such class; expected one of 1 Compact high-rise, "),
        (["--label", "low"], "Error: --label low: may be Compact low-rise or Open low-rise or "),
        (["--city", "munich"], "Error: --city: the source has no geolocation; "),
        (["--split", "test"], "Error: split test: not in the source; expected one of train"),
        (["--output", "no/where.png"], "no: no such folder; "),
        (["--output", "sheet.gif"], "Error: sheet.gif: ends in '.gif'; "),
    ],
)
def test_show_refuses_in_one_message(run, raw, options, message):
    """Exit code 1, no traceback, and no sheet."""
    result = run("show", raw, *options)

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert message in result.stderr
    assert not list(Path().glob("*.png"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing", "missing: no such folder"),
        ("text.h5", "text.h5: not an HDF5 file"),
        ("training.h5.gz", "training.h5.gz: a file; expected the folder that holds training.h5"),
    ],
)
def test_show_refuses_what_is_no_source(run, source, message):
    """A wrong path, a wrong file, an archive alone."""
    Path("text.h5").write_text("not HDF5")
    Path("training.h5.gz").write_text("not gzip")

    result = run("show", source)

    assert result.exit_code == 1
    assert message in result.stderr


@pytest.mark.parametrize(
    "options", [["--count", "0"], ["--count", "401"], ["--seed", "-1"], ["--split", "dev"]]
)
def test_show_refuses_options_out_of_range(run, raw, options):
    """Click's own message and exit code 2."""
    assert run("show", raw, *options).exit_code == 2


def test_show_draws_the_real_patches(run):
    """Five published patches, straight from the file."""
    if not REAL.exists():
        pytest.skip(f"needs the real file {REAL}, which is absent")

    result = run("show", REAL)

    assert result.exit_code == 0, result.output
    assert "Drew 5. " in result.stderr


def test_demo_runs_in_the_folder_given(run, monkeypatch):
    """``so2sat demo`` calls one function, with so2sat-demo unless told otherwise."""
    folders = []
    monkeypatch.setattr("so2sat_hf.demo.run", folders.append)

    assert run("demo").exit_code == run("demo", "elsewhere").exit_code == 0
    assert folders == [Path("so2sat-demo"), Path("elsewhere")]


@pytest.mark.parametrize("command", ["show", "demo"])
def test_help_has_an_example_on_its_own_line(run, command):
    """The examples are not wrapped into the text."""
    assert f"\n  Example:  so2sat {command}" in run(command, "--help").stdout


def test_the_command_line_imports_no_picture_library():
    """``so2sat --help`` stays instant: neither Pillow nor numpy is loaded."""
    code = "import sys, so2sat_hf.cli.look; print({'PIL', 'numpy', 'h5py'} & set(sys.modules))"

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "set()"
