"""A token of the Hub is in no output, log, file or message of any command that asks there."""

import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hub_folders import put
from local_hub import LocalHub
from tiny_models import tiny
from trained import train_args

from so2sat_hf.cli import cli
from so2sat_hf.convert.build import build
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.errors import So2SatError
from so2sat_hf.vision.catalogue import preset
from so2sat_hf.vision.processor import image_processor

REPO, MODEL = "zhu-xlab/So2Sat-LCZ42", "maria/lcz"
WRONG = "hf_wrongWRONGwrongWRONGwrongWRONGwrong"


@pytest.fixture(scope="module")
def out(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens") / "out"
    build(source, folder, jobs=1)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with its processor and a card of somebody."""
    folder = tmp_path_factory.mktemp("tokens") / "model"
    eats = replace(preset("dinov2"), size=32)
    tiny("vit", image_size=32, patch_size=8).save_pretrained(folder)
    image_processor(eats).save_pretrained(folder)
    (folder / "README.md").write_text("# A model\n")
    return folder


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The most that any library says, those included that keep their logs to themselves."""
    names = ("huggingface_hub", "datasets", "transformers", "httpx", "httpx2", "httpcore2", "fsspec")
    loggers = [logging.getLogger(name) for name in names]
    kept = [(each.level, each.propagate) for each in loggers]
    for each in loggers:
        each.setLevel(logging.DEBUG)
        each.propagate = True
    with caplog.at_level(logging.DEBUG):
        yield caplog
    for each, (level, propagate) in zip(loggers, kept, strict=True):
        each.setLevel(level)
        each.propagate = propagate


COMMANDS = {
    "build": ["build", REPO, "{to}/built", "--split", "test"],
    "push": ["push", "{out}", REPO],
    "push a model": ["push", "{model}", MODEL],
    "download": ["download", "{to}/raw", "--files", "testing_geo"],
    "export": ["export", REPO, "{to}/tif", "--ids", "testing/000003", "--sensor", "sen2"],
    "browse": ["browse", REPO, "-o", "{to}/browse.html", "--pictures", "2"],
    "neighbours": ["neighbours", REPO, "--json", "{to}/neighbours.json"],
    "split": ["split", REPO, "-o", "{to}/folds.parquet", "--folds", "2"],
    "presets": ["presets", "s2", "--data", REPO],
    "evaluate": ["evaluate", MODEL, "--data", REPO, "-o", "{to}/report", "--device", "cpu"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_shows_or_keeps_a_token(
    hub: LocalHub,
    login: Callable[[str], None],
    out: Path,
    model: Path,
    tmp_path: Path,
    everything_logged: pytest.LogCaptureFixture,
    name: str,
) -> None:
    """Refused with a wrong token, done with a right one."""
    put(hub, out, private=True)
    hub.create_repo(MODEL, kind="model", files={path.name: path.read_bytes() for path in model.iterdir()})
    to = tmp_path / "to"
    to.mkdir()
    args = [word.format(to=to, out=out, model=model) for word in COMMANDS[name]]
    good = hub.add_user("maria", orgs={"zhu-xlab": "write"})

    for token in (WRONG, good):
        login(token)
        result = CliRunner().invoke(cli, args)

        assert "Traceback" not in result.output
        assert (result.exit_code == 0) == (token == good and name != "download"), result.output
        assert_nowhere(token, result, everything_logged, to, out, model)


def assert_nowhere(token: str, result: Result, log: pytest.LogCaptureFixture, *folders: Path) -> None:
    """Not in what is printed, logged, raised or written."""
    assert token not in result.output + repr(result.exception)
    assert not [each for each in log.records if token in each.getMessage()]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in files if token.encode() in path.read_bytes()]


def test_a_token_on_the_command_line_of_a_training_is_refused(out: Path, tmp_path: Path) -> None:
    """training_args.bin would keep it; nor is it repeated where a flag is mistyped."""
    from so2sat_hf.training.arguments import parse

    for flag in ("--hub_token", "--hub_tokn"):
        args = [*train_args(out, tmp_path / "run"), flag, WRONG]
        with pytest.raises(So2SatError) as refused:
            parse(args)
        assert WRONG not in str(refused.value)
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
