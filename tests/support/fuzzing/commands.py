"""The command line: any value for any option of any command."""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import click
from click.testing import CliRunner

from fuzzing.base import linked, made
from fuzzing.worker import REFUSED

Attempt = Callable[[Random, Path], str | None]
ODD_TEXTS = (
    *("", " ", "x", "-", "--", "/", ".", "..", "nowhere", "/dev/null", "/proc/self/mem", "a\nb", "ä", "*"),
    *("x" * 300, "x" * 5000, "train", "random/train", "10", "water", "munich", "owner/name", "owner/name@x"),
    *("hf://datasets/x", "https://x/y", "sen1,sen2", "sen2,,", "index,rgb", "0", "-1", "nan", "inf", "1e400"),
    *("9" * 40, "testing/000001", "testing/000001,x", "1,2,3,4", "11,48,12,49", "nan,nan,nan,nan"),
    *("EPSG:32632", "EPSG:4326", "EPSG:326\u0663\u0662", "B02,B03", "cuda", "meta", "s2", "rgb"),
)
PLACES = (
    "raw",
    "out",
    "shards",
    "model",
    "scene.tif",
    "scene.SAFE",
    "out/index",
    "raw/training.h5",
    "out/manifest.json",
)
NOT_TRIED = {"demo", "train"}
"""Whole runs; the arguments of a training are tried by tests/training."""

SMALL = {"train": 3, "validation": 3, "test": 3, "pictures": 5, "count": 6, "jobs": 1, "folds": 4}
"""Options of which a large value is a wish to be granted, not an error; and their largest here."""

CALM = ("serve", "v3")
"""Flags that are never set: a server, and a generator that wants many patches."""


def commands(base: Path) -> Attempt:
    """Run a command in a folder with one of everything."""
    from so2sat_hf.cli import cli

    for name in ("raw", "out", "shards", "model", "scene"):
        made(base, name)
    names = sorted(set(cli.commands) - NOT_TRIED)

    def attempt(rng: Random, folder: Path) -> str | None:
        for name in ("raw", "out", "shards", "model"):
            linked(made(base, name), folder / name)
        os.link(made(base, "scene") / "scene.tif", folder / "scene.tif")
        linked(next(made(base, "scene").glob("*.SAFE")), folder / "scene.SAFE")
        os.chdir(folder)
        name = rng.choice(names)
        arguments = [name, *_arguments(cli.commands[name], rng)]
        try:
            result = CliRunner().invoke(cli, arguments)
        finally:
            os.chdir("/")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        told = f"{arguments!r:.300}: exit code {result.exit_code}"
        assert result.exit_code in (0, 1, 2), told
        assert "Traceback" not in result.output, told
        assert result.exit_code == 0 or result.output.strip(), f"{told}, and not a word"
        return REFUSED if result.exit_code else None

    return attempt


def _arguments(command: click.Command, rng: Random) -> list[str]:
    """Return a command line: most often places that are there, and one or two odd values."""
    found: list[str] = []
    for each in command.params:
        if isinstance(each, click.Argument):
            found += [_place(rng) for _ in range(1 if each.nargs == 1 else rng.choice((1, 2)))]
            if not each.required and rng.random() < 0.5:
                found.pop()
        elif each.name in ("help", *CALM):
            continue
        elif each.name == "jobs" or (each.name in SMALL and command.name == "synth"):
            found += [each.opts[0], str(rng.randint(0, SMALL[str(each.name)]))]
        elif each.required or rng.random() < 0.25:
            found.append(each.opts[0])
            if not getattr(each, "is_flag", False):
                found.append(_value(each, rng))
    return found


def _place(rng: Random) -> str:
    return rng.choice(PLACES) if rng.random() < 0.8 else rng.choice(ODD_TEXTS)


def _value(option: click.Parameter, rng: Random) -> str:
    kind = option.type
    if isinstance(kind, click.Choice) and rng.random() < 0.8:
        return str(rng.choice(list(kind.choices)))
    if option.name in SMALL:
        return str(rng.randint(-1, SMALL[option.name]))
    if isinstance(kind, click.Path) or option.name in ("data", "against"):
        return rng.choice((*PLACES, *ODD_TEXTS, "new/file", "new.png", "new.csv", "new.parquet"))
    if isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
        return rng.choice(("0", "1", "-1", "7", "64", "1000", "nan", "inf", "-inf", "1e300", "x", "9" * 30))
    return rng.choice(ODD_TEXTS)
