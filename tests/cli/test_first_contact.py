"""What somebody meets who types a command for the first time: an example, a way out, the next step."""

import ast
import builtins
import re
import shlex
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from trained import NEEDS_TRAIN

import so2sat_hf
from so2sat_hf import errors
from so2sat_hf.assemble import extras
from so2sat_hf.cli import cli
from so2sat_hf.cli.group import example_of
from so2sat_hf.convert.build import build
from so2sat_hf.convert.inspect import describe
from so2sat_hf.convert.raw import RawSource

PACKAGE = Path(so2sat_hf.__file__).parent
NAMES = sorted(cli.commands)
KINDS = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
SILENT = {"demo"}
"""Commands whose last line comes from elsewhere; `tests/test_demo.py` reads it."""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Type a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda line: CliRunner().invoke(cli, shlex.split(line)[1:])


@pytest.fixture(scope="module")
def built(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `so2sat build` writes, companions included."""
    folder = tmp_path_factory.mktemp("first") / "out"
    build(source, folder, extras=extras(source), jobs=1)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_an_example_that_would_run(name: str) -> None:
    """Of the command itself, with options and commands that there are."""
    lines = re.findall(r"so2sat [a-z].*", example_of(cli.commands[name]))

    assert any(line.startswith(f"so2sat {name}") for line in lines)
    for line in lines:
        command = cli.commands[shlex.split(line)[1]]
        known = {option for parameter in command.params for option in parameter.opts}
        if command.name != "train":  # its flags are checked by tests/test_docs.py
            assert set(re.findall(r"--[a-z0-9_-]+", line)) <= known, line


@pytest.mark.parametrize("name", NAMES)
def test_every_command_says_what_comes_next(name: str) -> None:
    """Somewhere in what it prints; the tests below and those of each command see the words."""
    source = Path(cli.commands[name].callback.__code__.co_filename).read_text()
    words = source if name != "train" else (PACKAGE / "training" / "outcome.py").read_text()
    if name == "push":
        words += (PACKAGE / "hub" / "push_words.py").read_text()

    assert name in SILENT or "Next: " in words


def test_every_command_is_listed_once_in_the_order_of_the_work(run) -> None:
    """The first thing that somebody sees who types no more than the name."""
    text = run("so2sat --help").output

    listed = re.findall(r"^  ([a-z]+)  +[A-Z]", text, re.MULTILINE)
    assert sorted(listed) == NAMES
    assert text.index("  build  ") < text.index("  verify  ") < text.index("  push  ")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_every_error_says_what_was_expected_or_what_helps(path: Path) -> None:
    """What is wrong is not enough."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
            given = {keyword.arg for keyword in node.keywords}
            assert given & {"expected", "remedy", None}, f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize(
    "line", ["so2sat build raw", "so2sat info", "so2sat push out --dry", "so2sat map a b"]
)
def test_who_mistypes_sees_an_example(run, line: str) -> None:
    """Under what is wrong."""
    result = run(line)

    assert result.exit_code == 2
    assert f"Example:  {' '.join(line.split()[:2])}" in result.stderr


@pytest.mark.parametrize(
    ("line", "library", "extra"),
    [
        ("so2sat neighbours out", "scipy", "geo"),
        ("so2sat split out", "scipy", "geo"),
        ("so2sat train --data out --output_dir run", "torch", "train"),
        ("so2sat evaluate run --data out", "accelerate", "train"),
    ],
)
def test_a_library_that_is_missing_is_one_line(run, monkeypatch, line: str, library: str, extra: str) -> None:
    """With the command that brings it."""
    if extra == "train":
        pytest.importorskip("accelerate", reason=NEEDS_TRAIN)
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.partition(".")[0] == library:
            raise ModuleNotFoundError(f"No module named {library!r}", name=library)
        return real(name, *rest, **more)

    for name in [name for name in sys.modules if name.startswith("so2sat_hf.maps")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    result = run(line)

    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: library {library}: not installed")
    assert f"pip install 'so2sat_hf[{extra}]'" in result.stderr


def test_folders_in_the_wrong_order_are_told_apart(run, source: RawSource, tmp_path: Path) -> None:
    """SOURCE comes before OUT, and what was not built is not verified."""
    (tmp_path / "raw").symlink_to(source.paths()[0].parent)
    build(source, tmp_path / "out", jobs=1)

    assert "the folder to read comes first: so2sat build raw OUT" in run("so2sat build out raw").stderr
    assert "`so2sat build raw OUT` makes a dataset" in run("so2sat verify raw --against out").stderr
    assert "no such folder" in run("so2sat verify oat").stderr
    assert "so2sat push OUT OWNER/NAME" in run("so2sat push zhu-xlab/So2Sat-LCZ42 out").stderr


@pytest.mark.parametrize(
    "line",
    [
        "so2sat info out", "so2sat verify out", "so2sat card out", "so2sat show out", "so2sat stats out",
        "so2sat browse out", "so2sat neighbours out", "so2sat split out", "so2sat presets",
        "so2sat presets s2", "so2sat classes", "so2sat classes --qml lcz.qml", "so2sat export out tif",
    ],
)  # fmt: skip
def test_success_names_the_next_step(run, built: Path, line: str) -> None:
    """On standard error, so that what is printed can be read by programs."""
    Path("out").symlink_to(built)

    result = run(line)

    assert result.exit_code == 0, result.output
    assert "Next: " in result.stderr
    assert "Next: " not in result.stdout


def test_looking_at_every_row_shows_how_far_it_is(source: RawSource) -> None:
    """Of files of gigabytes that takes long."""
    seen: list[tuple[str, int, int]] = []

    describe(source.paths()[0], every_row=True, looking=lambda *each: seen.append(each))

    done = [each[1] for each in seen]
    assert done == sorted(done)
    assert done[-1] == seen[-1][2] == 2 * source.num_rows["train"]


def test_training_without_a_folder_does_not_begin(run) -> None:
    """Transformers would choose `trainer_output`, and train for hours."""
    pytest.importorskip("torch")

    result = run("so2sat train --data out")

    assert result.exit_code == 1
    assert "--output_dir: missing" in result.stderr


def test_the_defaults_in_the_help_of_train_are_those_of_the_training() -> None:
    """They are written there, because looking them up would import transformers."""
    pytest.importorskip("torch")
    from so2sat_hf.cli.train import TRAINING
    from so2sat_hf.training.arguments import FineTuneArguments

    known = FineTuneArguments(output_dir="run", use_cpu=True)
    for name, told in TRAINING:
        default = re.search(r"\[default: (.*)\]", told)
        assert default is None or float(getattr(known, name)) == float(default[1].replace("False", "0"))
    assert isinstance(cli.commands["train"], click.Command)
