"""``so2sat stats``: tables for people, JSON for programs, an exit code for the publisher."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from so2sat_hf import facts
from so2sat_hf.cli import Group
from so2sat_hf.cli.measure import stats
from so2sat_hf.companions import published
from so2sat_hf.convert.raw import RawSource


def run(*args: object) -> Result:
    return CliRunner().invoke(Group(commands={"stats": stats}), ["stats", *map(str, args), "--jobs", "1"])


def test_versions_with_the_same_split_share_a_table(raw: Path) -> None:
    """A line for each band; units beside them."""
    result = run(raw)

    assert result.exit_code == 0, result.output
    assert "culture_10/train, v1/train, culture_10_v3/train: 260 patches" in result.stdout
    assert "culture_10_v3/test: 160 patches" in result.stdout
    for band in facts.bands():
        assert result.stdout.count(f"\n{band.name} ") == 4
    assert "LCZ" not in result.stdout


def test_classes_on_request(raw: Path) -> None:
    """A line for each class that has patches, for mean and for deviation of both sensors."""
    result = run(raw, "--split", "test", "--per-class")

    assert result.exit_code == 0, result.output
    assert result.stdout.count("mean of each class") == 2
    assert result.stdout.count("std of each class") == 2
    assert "nan" not in result.stdout
    assert len([line for line in result.stdout.splitlines() if line.startswith("G ")]) == 4


def test_classes_without_patches_are_left_out(write_h5: Callable[..., Path]) -> None:
    """Rather than a line of nothing; a folder with one file has the splits of that file."""
    path = write_h5(label=np.eye(17)[[0, 0, 4, 4, 4, 16]])

    result = run(path.parent, "--per-class")

    assert result.exit_code == 0, result.output
    assert "culture_10/train: 6 patches" in result.stdout
    assert "nan" not in result.stdout
    heads = [line.split()[0] for line in result.stdout.splitlines() if line]
    assert [head for head in heads if head in ("1", "2", "5", "G")] == ["1", "5", "G"] * 4


def test_json_holds_everything(raw: Path, source: RawSource, tmp_path: Path) -> None:
    """Versions, splits, bands, percentiles, classes."""
    result = run(raw, "--json", tmp_path / "stats.json")

    written = json.loads((tmp_path / "stats.json").read_text())
    assert result.exit_code == 0, result.output
    assert {config: list(splits) for config, splits in written["versions"].items()} == {
        "culture_10": ["train", "validation", "test"],
        "v1": ["train", "validation"],
        "culture_10_v3": ["train", "test"],
    }
    band = written["versions"]["culture_10"]["train"]["bands"]["VV_lee"]
    assert band["count"] == 260 * 1024
    assert band["percentiles"]["1"] < band["percentiles"]["99"]
    assert sum(each["count"] for each in band["classes"].values()) == band["count"]
    assert written["percentile_error"] == {"sen1": 2**-11, "sen2": 0}


def test_generated_patches_are_not_the_published_ones(raw: Path) -> None:
    """Exit code 1 and both numbers of patches; no table of meaningless differences."""
    result = run(raw, "--check")

    assert result.exit_code == 1
    assert "culture_10/train, 260 patches, beside published 2/training" in result.stdout
    assert "not compared: 260 patches, published are 352,366" in result.stdout
    assert "B02" not in result.stdout
    assert "Not as published: culture_10/train" in result.stderr


@pytest.mark.parametrize(("shift", "exit_code"), [(0, 0), (1e-3, 1)])
def test_a_check_says_which_numbers_differ(
    raw: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shift: float, exit_code: int
) -> None:
    """Each number beside the published one; exit code 1 if one of them is off."""
    run(raw, "--json", tmp_path / "stats.json")
    bands = json.loads((tmp_path / "stats.json").read_text())["versions"]["culture_10"]["test"]["bands"]
    names = [band.name for band in facts.bands()]
    numbers = {key: {name: bands[name][key] for name in names} for key in ("mean", "std")}
    numbers["mean"]["B03"] += shift
    known = facts.BandStatistics("2/testing", 70, "test", min={}, max={}, zeros={}, negatives={}, **numbers)
    monkeypatch.setattr(published.facts, "statistics", lambda _: known)

    result = run(raw, "--split", "test", "--check", "--json", tmp_path / "check.json")

    assert result.exit_code == exit_code, result.output
    assert result.stdout.count("differs") == exit_code
    assert ("Every number is the published one" in result.stderr) == (exit_code == 0)
    (comparison,) = json.loads((tmp_path / "check.json").read_text())["published"]
    assert len(comparison["differences"]) == 36


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("absent",), "absent"),
        (("RAW", "--split", "tset"), "split 'tset': unknown"),
        (("RAW", "--json", "absent/stats.json"), "absent: no such folder"),
    ],
)
def test_bad_input_gets_one_clear_error(raw: Path, args: tuple[str, ...], message: str) -> None:
    """Exit code 1, a message that names the thing, no traceback, nothing measured."""
    result = run(*(raw if arg == "RAW" else arg for arg in args))

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert result.stdout == ""
